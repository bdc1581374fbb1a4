"""Cartesia's two recognisers: one that is told when to finalize, and one that finds the turns itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from voicetrio.connection.websocket.socket import Message
from voicetrio.testing.standins.ear import Hearing
from voicetrio.testing.standins.server import StandinConnection
from voicetrio.testing.standins.speech import Word

__all__ = ["serve_stt", "serve_turns"]

TURN_END_S: Final = 0.6
EAGER_END_S: Final = 0.3
_ENCODINGS: Final = {"pcm_s16le": "s16le", "pcm_f32le": "f32le"}


async def serve_stt(connection: StandinConnection, vocabulary: Iterable[str], idle_s: float) -> None:
    """``/stt/websocket``: binary audio, and the words ``finalize`` and ``close``."""
    hearing = _hearing(connection, vocabulary)
    told: list[str] = []
    while True:
        message = await _next(connection, idle_s)
        if isinstance(message, bytes):
            if hearing.feed(message):
                await connection.send(_transcript(hearing, hearing.untold, told, final=False))
        elif message in ("finalize", "close"):
            words = hearing.take()
            if words:
                await connection.send(_transcript(hearing, words, told, final=True))
                told += [word.text for word in words]
            kind = "flush_done" if message == "finalize" else "done"
            await connection.send({"type": kind, "request_id": "standin"})
            if message == "close":
                await connection.close(1000)
        else:
            await connection.send(_error(f"unknown command {message!r}"))


async def serve_turns(connection: StandinConnection, vocabulary: Iterable[str], idle_s: float) -> None:
    """``/stt/turns/websocket``: binary audio, ``close`` and ``config`` as JSON; it tells the turns."""
    hearing = _hearing(connection, vocabulary)
    await connection.send({"type": "connected", "request_id": "standin"})
    is_turn = is_eager = False
    while True:
        message = await _next(connection, idle_s)
        if isinstance(message, bytes):
            is_new = hearing.feed(message)
            if is_eager and not hearing.pause_s:
                is_eager = False
                await connection.send({"type": "turn.resume", "request_id": "standin"})
            if hearing.is_speech and not is_turn:
                is_turn = True
                await connection.send({"type": "turn.start", "request_id": "standin"})
            if is_new:
                await connection.send(_turn("turn.update", hearing.untold))
            if is_turn and not is_eager and hearing.pause_s >= EAGER_END_S:
                is_eager = True
                await connection.send(_turn("turn.eager_end", hearing.untold))
            if is_turn and hearing.pause_s >= TURN_END_S:
                is_turn = is_eager = False
                await connection.send(_turn("turn.end", hearing.take()))
            continue
        try:
            command: Any = json.loads(message)["type"]
        except (ValueError, KeyError, TypeError):
            command = message
        if command == "close":
            if is_turn:
                await connection.send(_turn("turn.end", hearing.take()))
            await connection.close(1000)
        elif command != "config":
            await connection.send(_error(f"unknown command {command!r}"))


def _hearing(connection: StandinConnection, vocabulary: Iterable[str]) -> Hearing:
    query = connection.request.query
    return Hearing(int(query["sample_rate"]), vocabulary, _ENCODINGS.get(query["encoding"], "s16le"))


async def _next(connection: StandinConnection, idle_s: float) -> Message:
    message = await connection.receive(idle_s)
    if message is None:
        await connection.close(1000, "idle")
        raise AssertionError("a closed connection raises")
    return message


def _text(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)


def _turn(kind: str, words: Sequence[Word]) -> dict[str, Any]:
    return {"type": kind, "transcript": _text(words), "request_id": "standin"}


def _transcript(hearing: Hearing, words: Sequence[Word], told: list[str], *, final: bool) -> dict[str, Any]:
    """A delta: what follows the last final one, with the space between them."""
    return {
        "type": "transcript",
        "is_final": final,
        "request_id": "standin",
        "text": (" " if told else "") + _text(words),
        "duration": round(hearing.heard_s - hearing.untold_from_s, 3),
        "language": "en",
        "words": [
            {"word": word.text, "start": round(word.start_s, 3), "end": round(word.end_s, 3)}
            for word in words
        ],
    }


def _error(why: str) -> dict[str, Any]:
    return {
        "type": "error",
        "title": "Bad request",
        "message": why,
        "error_code": "bad_request",
        "status_code": 400,
        "request_id": "standin",
    }
