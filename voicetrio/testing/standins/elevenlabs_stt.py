"""ElevenLabs' realtime recognition: audio in JSON, partial and committed transcripts."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from voicetrio.testing.standins.ear import Hearing
from voicetrio.testing.standins.server import StandinConnection
from voicetrio.testing.standins.speech import Word

if TYPE_CHECKING:
    from voicetrio.testing.standins.elevenlabs import ElevenLabsStandin

__all__ = ["serve_stt"]

LEAST_S: Final = 0.3
"""A commit of less audio than this is throttled."""


async def serve_stt(owner: ElevenLabsStandin, connection: StandinConnection) -> None:
    """Serve one connection."""
    query = connection.request.query
    rate = int(query.get("audio_format", "pcm_16000").split("_")[1])
    hearing = Hearing(rate, owner.vocabulary)
    is_vad = query.get("commit_strategy") == "vad"
    pause_s = float(query.get("vad_silence_threshold_secs", "1.5"))
    config = {"sample_rate": rate, "audio_format": query.get("audio_format"), "model_id": query["model_id"]}
    await connection.send({"message_type": "session_started", "session_id": "standin", "config": config})
    while True:
        message = await connection.receive(owner.idle_s)
        if message is None:
            await connection.close(1000, "inactivity")
        chunk = _parse(message)
        if chunk is None:
            await owner.fail(connection, "input_error")
            continue
        audio, commit = chunk
        if hearing.feed(audio):
            text = _text(hearing.untold)
            await connection.send({"message_type": "partial_transcript", "text": text})
        if commit or (is_vad and hearing.pause_s >= pause_s):
            if hearing.heard_s - hearing.untold_from_s < LEAST_S:
                await owner.fail(connection, "commit_throttled")
            else:
                await _commit(connection, hearing.take())


def _parse(message: object) -> tuple[bytes, bool] | None:
    if not isinstance(message, str):
        return None
    try:
        chunk: Any = json.loads(message)
        if chunk["message_type"] != "input_audio_chunk":
            return None
        return base64.b64decode(chunk["audio_base_64"], validate=True), bool(chunk["commit"])
    except (ValueError, KeyError, TypeError, binascii.Error):
        return None


async def _commit(connection: StandinConnection, words: Sequence[Word]) -> None:
    text = _text(words)
    await connection.send({"message_type": "committed_transcript", "text": text})
    if connection.request.query.get("include_timestamps", "").lower() == "true":
        timed: list[dict[str, Any]] = []
        for word in words:
            if timed:
                gap = {
                    "text": " ",
                    "start": timed[-1]["end"],
                    "end": round(word.start_s, 3),
                    "type": "spacing",
                }
                timed.append(gap)
            times = {"start": round(word.start_s, 3), "end": round(word.end_s, 3)}
            timed.append({"text": word.text, **times, "type": "word", "logprob": -0.01})
        kind = "committed_transcript_with_timestamps"
        await connection.send({"message_type": kind, "text": text, "language_code": "en", "words": timed})


def _text(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words).capitalize()
