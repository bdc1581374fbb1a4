"""Deepgram's ``/v2/listen`` (Flux): turns with their beginnings, updates and ends."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, final

import trio

from voicetrio.testing.standins.ear import Hearing
from voicetrio.testing.standins.server import StandinConnection
from voicetrio.testing.standins.speech import Word

__all__ = ["serve_flux"]

TURN_END_S: Final = 0.6
EAGER_END_S: Final = 0.3
THRESHOLDS: Final = {
    "eot_threshold": (0.5, 0.9),
    "eager_eot_threshold": (0.3, 0.9),
    "eot_timeout_ms": (500, 10000),
}
"""What each of them is from and to."""


async def serve_flux(connection: StandinConnection, vocabulary: Iterable[str], idle_s: float) -> None:
    """Serve one connection."""
    await _Flux(connection, vocabulary).serve(idle_s)


@final
class _Flux:
    def __init__(self, connection: StandinConnection, vocabulary: Iterable[str]) -> None:
        query = connection.request.query
        self._connection = connection
        self._hearing = Hearing(int(query.get("sample_rate", "16000")), vocabulary)
        self._thresholds: dict[str, Any] = {name: float(query[name]) for name in THRESHOLDS if name in query}
        self._keyterms: Any = []
        self._numbers = itertools.count()
        self._turn = 0
        self._in_turn = False
        self._was_eager = False

    async def serve(self, idle_s: float) -> None:
        await self._send("Connected")
        while True:
            message = await self._connection.receive(idle_s)
            if message is None:
                await self._connection.close(1011, "NET-0001")
            if isinstance(message, bytes):
                await self._hear(message)
            else:
                await self._obey(message or "")

    async def _hear(self, audio: bytes) -> None:
        await trio.lowlevel.checkpoint()
        hearing = self._hearing
        is_new = hearing.feed(audio)
        if hearing.is_speech and not self._in_turn:
            self._in_turn = True
            await self._tell("StartOfTurn", hearing.untold)
        elif is_new:
            if self._was_eager:
                self._was_eager = False
                await self._tell("TurnResumed", hearing.untold)
            await self._tell("Update", hearing.untold)
        if (
            self._in_turn
            and "eager_eot_threshold" in self._thresholds
            and not self._was_eager
            and hearing.pause_s >= EAGER_END_S
        ):
            self._was_eager = True
            await self._tell("EagerEndOfTurn", hearing.untold)
        if self._in_turn and hearing.pause_s >= TURN_END_S:
            await self._end_turn("model")

    async def _end_turn(self, trigger: str) -> None:
        from_s = self._hearing.untold_from_s
        words = self._hearing.take()
        await self._tell("EndOfTurn", words, trigger=trigger, audio_window_start=round(from_s, 3))
        self._turn += 1
        self._in_turn = self._was_eager = False

    async def _obey(self, message: str) -> None:
        await trio.lowlevel.checkpoint()
        try:
            command = json.loads(message)
            kind = command["type"]
        except (ValueError, KeyError, TypeError):
            kind = None
        match kind:
            case "ForceEndTurn":
                # Without a turn there is nothing to end, and nothing is told.
                if self._in_turn:
                    await self._end_turn("manual")
            case "Configure":
                await self._configure(command)
            case "CloseStream":
                if self._in_turn:
                    await self._end_turn("manual")
                await self._connection.close(1000)
            case _:
                await self._send(
                    "Error", code="UNPARSABLE_CLIENT_MESSAGE", description="not a client message"
                )
                await self._connection.close(1011, "UNPARSABLE_CLIENT_MESSAGE")

    async def _configure(self, command: dict[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        given = command.get("thresholds") or {}
        for name, value in given.items():
            low, high = THRESHOLDS.get(name, (1, 0))
            if not low <= value <= high:
                text = f"{name} must be between {low} and {high}"
                await self._send("ConfigureFailure", code="INVALID_THRESHOLD", description=text)
                return
        self._thresholds |= given
        self._keyterms = command.get("keyterms", self._keyterms)
        await self._send("ConfigureSuccess", thresholds=self._thresholds, keyterms=self._keyterms)

    async def _tell(self, event: str, words: Sequence[Word], **fields: Any) -> None:
        await self._send(
            "TurnInfo",
            event=event,
            turn_index=self._turn,
            transcript=" ".join(word.text for word in words).capitalize(),
            end_of_turn_confidence=0.9 if event == "EndOfTurn" else 0.1,
            words=[
                {
                    "word": word.text,
                    "confidence": 0.99,
                    "start": round(word.start_s, 3),
                    "end": round(word.end_s, 3),
                }
                for word in words
            ],
            **{
                "audio_window_start": round(self._hearing.untold_from_s, 3),
                "audio_window_end": round(self._hearing.heard_s, 3),
                **fields,
            },
        )

    async def _send(self, kind: str, **fields: Any) -> None:
        head = {"type": kind, "request_id": "standin", "sequence_id": next(self._numbers)}
        await self._connection.send({**head, **fields})
