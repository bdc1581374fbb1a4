"""A stand-in for AssemblyAI: recognition over ``/v3/ws``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final, final

import trio

from voicetrio.connection.websocket import Refusal, UpgradeRequest
from voicetrio.connection.websocket.socket import Message
from voicetrio.testing.standins.ear import Hearing
from voicetrio.testing.standins.fault import Fault
from voicetrio.testing.standins.server import Standin, StandinConnection
from voicetrio.testing.standins.speech import VOCABULARY, Word

__all__ = ["AssemblyAIStandin"]

CHUNK_S: Final = (0.05, 1.0)
TURN_END_S: Final = 0.56
AHEAD_S: Final = 5.0
"""Audio may come this much faster than real time, in all."""


@final
class AssemblyAIStandin(Standin):
    """AssemblyAI's universal streaming, as far as its WebSocket shows it.

    Args:
        key: the only key that it accepts.
        faults: see ``Standin``.
        idle_s: seconds without a message after which the session ends, unless the client asked for another.
        session_s: the longest session, in seconds.
        max_sessions: how many may be open at once.
        ahead_s: by how many seconds audio may come faster than real time, in all.
        vocabulary: what it knows.
    """

    name = "assemblyai"
    errors: ClassVar = {
        "server error": (3005, "Server error"),
        "invalid input": (3006, "Input validation error"),
        "chunk duration": (3007, "Input Duration Violation: must be between 50 and 1000 ms"),
        "session expired": (3008, "Session Expired: Maximum session duration exceeded"),
        "too many sessions": (3009, "Too many concurrent sessions"),
        "unauthorized": (4001, "Not Authorized"),
        "no funds": (4002, "Insufficient Funds"),
        "too fast": (4029, "Client sent audio too fast"),
        "idle": (4031, "Session idle for too long"),
        "too many streams": (4102, "This account has exceeded the number of allowed streams"),
        "try again": (1013, "Try again later"),
    }

    def __init__(
        self,
        *,
        key: str = "standin-key",
        faults: Iterable[Fault | None] = (),
        idle_s: float = 300.0,
        session_s: float = 10800.0,
        max_sessions: int = 5,
        ahead_s: float = AHEAD_S,
        vocabulary: Iterable[str] = VOCABULARY,
    ) -> None:
        super().__init__(key=key, faults=faults)
        self.idle_s = idle_s
        self.session_s = session_s
        self.max_sessions = max_sessions
        self.ahead_s = ahead_s
        self.vocabulary = tuple(vocabulary)

    def check(self, request: UpgradeRequest) -> Refusal | None:
        """Refuse a wrong path or key; what else is wrong is told inside."""
        if request.path != "/v3/ws":
            return Refusal(404, "Not found")
        if (request.headers.get("authorization") or request.query.get("token")) != self.key:
            return Refusal(401, f"Not authorized: {request.headers.get('authorization')}")
        return None

    async def talk(self, connection: StandinConnection) -> None:
        """Serve one session."""
        await _Session(self, connection).serve()

    async def fail(self, connection: StandinConnection, error: str) -> None:
        """Send an Error, and close with its code."""
        code, text = self.errors[error]
        await connection.send({"type": "Error", "error_code": code, "error": text})
        await connection.close(code, "See Error message for details")


@final
class _Session:
    def __init__(self, owner: AssemblyAIStandin, connection: StandinConnection) -> None:
        self._owner = owner
        self._connection = connection
        query = connection.request.query
        rate = query.get("sample_rate", "")
        self._rate = int(rate) if rate.isdigit() else 0
        self._hearing = Hearing(self._rate or 16000, owner.vocabulary)
        self._formats = query.get("format_turns", "").lower() == "true"
        self._idle_s = float(query.get("inactivity_timeout", owner.idle_s))
        self._turn = 0
        self._in_turn = False

    async def serve(self) -> None:
        owner, connection = self._owner, self._connection
        open_sessions = sum(each.closed_at is None for each in owner.connections)
        if open_sessions > owner.max_sessions:
            await owner.fail(connection, "too many sessions")
        if not 8000 <= self._rate <= 48000:
            await owner.fail(connection, "invalid input")
        ends_at = trio.current_time() + owner.session_s
        await connection.send({"type": "Begin", "id": "standin", "expires_at": round(owner.session_s)})
        while True:
            message = await connection.receive(min(self._idle_s, ends_at - trio.current_time()))
            if trio.current_time() >= ends_at:
                await owner.fail(connection, "session expired")
            if message is None:
                await owner.fail(connection, "idle")
            elif isinstance(message, bytes):
                await self._hear(message)
            else:
                await self._obey(message)

    async def _hear(self, audio: bytes) -> None:
        await trio.lowlevel.checkpoint()
        owner, connection, hearing = self._owner, self._connection, self._hearing
        seconds = len(audio) / 2 / self._rate
        if not CHUNK_S[0] <= seconds <= CHUNK_S[1]:
            await owner.fail(connection, "chunk duration")
        is_new = hearing.feed(audio)
        if hearing.heard_s > trio.current_time() - connection.opened_at + owner.ahead_s:
            await owner.fail(connection, "too fast")
        if hearing.is_speech and not self._in_turn:
            self._in_turn = True
            await connection.send({"type": "SpeechStarted", "timestamp": round(hearing.heard_s * 1000)})
        if is_new:
            await self._tell(hearing.untold)
        if self._in_turn and hearing.pause_s >= TURN_END_S:
            await self._end_turn()

    async def _obey(self, message: Message) -> None:
        await trio.lowlevel.checkpoint()
        try:
            kind = json.loads(message)["type"]
        except (ValueError, KeyError, TypeError):
            kind = None
        match kind:
            case "KeepAlive" | "UpdateConfiguration":
                pass
            case "ForceEndpoint":
                if self._in_turn:
                    await self._end_turn()
            case "Terminate":
                if self._in_turn:
                    await self._end_turn()
                audio_s = round(self._hearing.heard_s)
                lived_s = round(trio.current_time() - self._connection.opened_at)
                end = {"audio_duration_seconds": audio_s, "session_duration_seconds": lived_s}
                await self._connection.send({"type": "Termination", **end})
                await self._connection.close(1000)
            case _:
                await self._owner.fail(self._connection, "invalid input")

    async def _end_turn(self) -> None:
        words = self._hearing.take()
        self._in_turn = False
        await self._tell(words, end=True)
        if self._formats:
            await self._tell(words, end=True, formatted=True)
        self._turn += 1

    async def _tell(self, words: Sequence[Word], *, end: bool = False, formatted: bool = False) -> None:
        texts = [word.text for word in words]
        if formatted and texts:
            texts[0] = texts[0].capitalize()
            texts[-1] += "."
        timed: list[dict[str, Any]] = [
            {
                "text": text,
                "start": round(word.start_s * 1000),
                "end": round(word.end_s * 1000),
                "confidence": 0.99,
                "word_is_final": end or word is not words[-1],
            }
            for text, word in zip(texts, words, strict=True)
        ]
        await self._connection.send(
            {
                "type": "Turn",
                "turn_order": self._turn,
                "turn_is_formatted": formatted,
                "end_of_turn": end,
                "transcript": " ".join(texts),
                "end_of_turn_confidence": 0.9 if end else 0.1,
                "words": timed,
            }
        )
