"""Deepgram's ``/v1/speak``: text is collected until a Flush, and its audio comes as binary messages."""

from __future__ import annotations

import json
from collections import deque
from typing import Any, Final, final

import attrs
import trio

from voicetrio.testing.standins.server import StandinConnection
from voicetrio.testing.standins.speech import encode_speech, speak_words

__all__ = ["serve_speak"]

CHUNK_S: Final = 0.12
MAX_FLUSHES: Final = 20
FLUSH_WINDOW_S: Final = 60.0
MAX_CHARS: Final = 2000
ENCODINGS: Final = {"linear16": "s16le", "mulaw": "mulaw", "alaw": "alaw"}


async def serve_speak(connection: StandinConnection, speed: float) -> None:
    """Serve one connection."""
    async with trio.open_nursery() as nursery:
        await _Speaker(connection, speed, nursery).serve()


@attrs.define(eq=False)
class _Job:
    text: str
    number: int
    scope: trio.CancelScope = attrs.Factory(trio.CancelScope)


@final
class _Speaker:
    def __init__(self, connection: StandinConnection, speed: float, nursery: trio.Nursery) -> None:
        query = connection.request.query
        self._connection = connection
        self._speed = speed
        self._rate = int(query.get("sample_rate", "24000"))
        self._encoding = ENCODINGS[query.get("encoding", "linear16")]
        self._nursery = nursery
        self._text = ""
        self._flushes: deque[float] = deque(maxlen=MAX_FLUSHES)
        self._sequence = 0
        self._jobs: deque[_Job] = deque()

    async def serve(self) -> None:
        head = {"model_name": "aura-2", "model_version": "1", "model_uuid": "standin"}
        await self._connection.send({"type": "Metadata", "request_id": "standin", **head})
        while True:
            message = await self._connection.receive()
            try:
                command: Any = json.loads(message or "")
                kind = command["type"]
            except (ValueError, KeyError, TypeError):
                kind = None
            match kind:
                case "Speak" if len(command.get("text", "")) > MAX_CHARS:
                    await self._warn("TEXT_TOO_LONG", f"more than {MAX_CHARS} characters")
                case "Speak":
                    self._text += command["text"]
                case "Flush":
                    await self._flush()
                case "Clear":
                    await self._clear()
                case "Close":
                    await self._connection.close(1000)
                case _:
                    await self._warn("INVALID_MESSAGE", "not a client message")

    async def _warn(self, code: str, description: str) -> None:
        await self._connection.send({"type": "Warning", "code": code, "description": description})

    async def _flush(self) -> None:
        now = trio.current_time()
        if len(self._flushes) == MAX_FLUSHES and now < self._flushes[0] + FLUSH_WINDOW_S:
            await self._warn("EXCESSIVE_FLUSH", f"more than {MAX_FLUSHES} in {FLUSH_WINDOW_S:g} s")
            return
        self._flushes.append(now)
        self._jobs.append(_Job(self._text, self._sequence))
        self._text = ""
        self._sequence += 1
        if len(self._jobs) == 1:
            self._nursery.start_soon(self._work)
        await trio.lowlevel.checkpoint()

    async def _clear(self) -> None:
        self._text = ""
        for job in self._jobs:
            job.scope.cancel()
        self._jobs.clear()
        await self._connection.send({"type": "Cleared", "sequence_id": self._sequence})
        self._sequence += 1

    async def _work(self) -> None:
        await trio.lowlevel.checkpoint()
        jobs = self._jobs
        while jobs:
            job = jobs[0]
            with job.scope:
                await self._speak(job.text)
                await self._connection.send({"type": "Flushed", "sequence_id": job.number})
            if job.scope.cancelled_caught:
                return
            jobs.popleft()

    async def _speak(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        samples = speak_words(text, self._rate)
        step = round(CHUNK_S * self._rate)
        for start in range(0, len(samples), step):
            await trio.sleep(CHUNK_S / self._speed)
            await self._connection.send(encode_speech(samples[start : start + step], self._encoding))
