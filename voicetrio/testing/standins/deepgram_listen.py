"""Deepgram's ``/v1/listen``: interim and final results, Finalize, KeepAlive and CloseStream."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from voicetrio.testing.standins.ear import Hearing
from voicetrio.testing.standins.server import StandinConnection
from voicetrio.testing.standins.speech import Word

__all__ = ["serve_listen"]

FINAL_EVERY_S: Final = 4.0
"""Speech that goes on is told for good in parts of about this length."""
NOTICEABLE_S: Final = 0.1
"""A Finalize with less audio than this has no answer."""
ENCODINGS: Final = {"linear16": "s16le", "linear32": "f32le"}


async def serve_listen(
    connection: StandinConnection, vocabulary: Iterable[str], idle_s: float, *, answers_finalize: bool
) -> None:
    """Serve one connection."""
    query = connection.request.query
    endpointing = query.get("endpointing", "10")
    pause_s = float("inf") if endpointing == "false" else float(endpointing) / 1000
    hearing = Hearing(
        int(query.get("sample_rate", "16000")), vocabulary, ENCODINGS[query.get("encoding", "linear16")]
    )
    is_speech = False
    while True:
        message = await connection.receive(idle_s)
        if message is None:
            await connection.close(1011, "NET-0001")
        if isinstance(message, bytes) and message:
            is_new = hearing.feed(message)
            if hearing.is_speech and not is_speech and query.get("vad_events") == "true":
                start_s = hearing.untold[0].start_s if hearing.untold else hearing.heard_s
                await connection.send({"type": "SpeechStarted", "channel": [0], "timestamp": start_s})
            is_speech = hearing.is_speech
            is_endpoint = bool(hearing.untold) and hearing.pause_s >= pause_s
            is_long = is_new and hearing.heard_s - hearing.untold_from_s >= FINAL_EVERY_S
            if is_endpoint or is_long:
                await connection.send(_results(hearing, final=True, speech_final=is_endpoint))
            elif is_new and query.get("interim_results") == "true":
                await connection.send(_results(hearing))
            continue
        # An empty binary message closes the stream, as CloseStream does.
        match "CloseStream" if isinstance(message, bytes) else _type(message or ""):
            case "KeepAlive":
                pass
            case "Finalize":
                if hearing.heard_s - hearing.untold_from_s >= NOTICEABLE_S:
                    await connection.send(_results(hearing, final=True, from_finalize=answers_finalize))
            case "Configure":
                await connection.send({"type": "ConfigureSuccess", "request_id": "standin"})
            case "CloseStream":
                if hearing.is_speech:
                    await connection.send(_results(hearing, final=True, speech_final=True))
                await connection.send(_metadata(hearing))
                await connection.close(1000)
            case _:
                text = {"type": "Error", "variant": "SchemaError", "description": "Could not deserialize"}
                await connection.send({**text, "message": message})


def _type(message: str) -> str | None:
    try:
        return str(json.loads(message)["type"])
    except (ValueError, KeyError, TypeError):
        return None


def _results(
    hearing: Hearing, *, final: bool = False, speech_final: bool = False, from_finalize: bool = False
) -> dict[str, Any]:
    start_s, end_s = hearing.untold_from_s, hearing.heard_s
    words: Sequence[Word] = hearing.take() if final else hearing.untold
    alternative = {
        "transcript": _text(words),
        "confidence": 0.99 if words else 0.0,
        "words": [
            {
                "word": word.text,
                "start": round(word.start_s, 3),
                "end": round(word.end_s, 3),
                "confidence": 0.99,
                "punctuated_word": word.text.capitalize() if word is words[0] else word.text,
            }
            for word in words
        ],
    }
    return {
        "type": "Results",
        "channel_index": [0, 1],
        "start": round(start_s, 3),
        "duration": round(end_s - start_s, 3),
        "is_final": final,
        "speech_final": speech_final,
        "from_finalize": from_finalize,
        "channel": {"alternatives": [alternative]},
        "metadata": {
            "request_id": "standin",
            "model_info": {"name": "general-nova-3", "version": "1", "arch": "nova-3"},
            "model_uuid": "standin",
        },
    }


def _text(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words).capitalize()


def _metadata(hearing: Hearing) -> dict[str, Any]:
    return {
        "type": "Metadata",
        "transaction_key": "deprecated",
        "request_id": "standin",
        "sha256": "0" * 64,
        "created": "2026-01-01T00:00:00.000Z",
        "duration": round(hearing.heard_s, 3),
        "channels": 1,
    }
