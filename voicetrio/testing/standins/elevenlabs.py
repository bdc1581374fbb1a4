"""A stand-in for ElevenLabs: ``stream-input`` and ``multi-stream-input`` speak, ``realtime`` recognises."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, ClassVar, Final, final

from voicetrio.connection.websocket import Refusal, UpgradeRequest
from voicetrio.testing.standins.elevenlabs_stt import serve_stt
from voicetrio.testing.standins.elevenlabs_tts import serve_multi, serve_single
from voicetrio.testing.standins.fault import Fault
from voicetrio.testing.standins.server import Standin, StandinConnection
from voicetrio.testing.standins.speech import VOCABULARY

__all__ = ["ElevenLabsStandin"]

STT_PATH: Final = "/v1/speech-to-text/realtime"
TTS_PATH: Final = "/v1/text-to-speech/"


@final
class ElevenLabsStandin(Standin):
    """ElevenLabs, as far as its WebSockets show it.

    Args:
        key: the only key that it accepts.
        faults: see ``Standin``.
        voices: the voices that it has.
        max_contexts: contexts a socket; opening one more is an error with close code 1008.
        idle_s: seconds without a message after which it closes, unless the client asked for another time.
        speed: how many seconds of audio it makes in a second.
        vocabulary: what its recogniser knows.
    """

    name = "elevenlabs"
    errors: ClassVar = {
        "auth_error": "Invalid API key",
        "quota_exceeded": "This request exceeds your quota",
        "commit_throttled": "Commits come too fast",
        "rate_limited": "Rate limited",
        "queue_overflow": "Too much audio is waiting",
        "resource_exhausted": "Out of resources",
        "session_time_limit_exceeded": "The session is too long",
        "chunk_size_exceeded": "The chunk is too large",
        "insufficient_audio_activity": "There was no speech",
        "input_error": "The input cannot be used",
        "invalid_request": "The request is invalid",
        "unaccepted_terms": "Accept the terms first",
        "transcriber_error": "The transcriber failed",
        "error": "Something failed",
        "voice_not_found": "A voice with this id does not exist",
        "model_not_found": "A model with this id does not exist",
        "max_active_conversations": "Maximum simultaneous contexts per WebSocket connection exceeded (5). "
        "Please close an existing context before opening a new one.",
        "input_timeout_exceeded": "The websocket was closed due to inactivity",
        "system_busy": "We are experiencing heavy traffic",
    }
    """Its message types of errors, and what they say."""

    def __init__(
        self,
        *,
        key: str = "standin-key",
        faults: Iterable[Fault | None] = (),
        voices: Iterable[str] = ("voice-1", "voice-2"),
        max_contexts: int = 5,
        idle_s: float = 20.0,
        speed: float = 20.0,
        vocabulary: Iterable[str] = VOCABULARY,
    ) -> None:
        super().__init__(key=key, faults=faults)
        self.voices = frozenset(voices)
        self.max_contexts = max_contexts
        self.idle_s = idle_s
        self.speed = speed
        self.vocabulary = tuple(vocabulary)

    def check(self, request: UpgradeRequest) -> Refusal | None:
        """Refuse a wrong path, key or format as ElevenLabs does; a wrong voice is told inside."""
        is_stt = request.path == STT_PATH
        if not is_stt and not request.path.startswith(TTS_PATH):
            return Refusal(404, "Not found")
        given = request.headers.get("xi-api-key", "")
        if given != self.key:
            return Refusal(403, json.dumps({"detail": {"status": "invalid_api_key", "message": given}}))
        if is_stt and "model_id" not in request.query:
            return Refusal(422, "model_id is required")
        return None

    async def talk(self, connection: StandinConnection) -> None:
        """Serve the endpoint that was asked for."""
        path, query = connection.request.path, connection.request.query
        if path == STT_PATH:
            await serve_stt(self, connection)
            return
        voice, _, kind = path.removeprefix(TTS_PATH).partition("/")
        if voice not in self.voices:
            await self.fail(connection, "voice_not_found")
        if not query.get("model_id", "eleven_flash_v2_5").startswith("eleven_"):
            await self.fail(connection, "model_not_found")
        idle_s = float(query.get("inactivity_timeout", self.idle_s))
        if kind == "multi-stream-input":
            await serve_multi(self, connection, idle_s)
        else:
            await serve_single(self, connection, idle_s)

    async def fail(self, connection: StandinConnection, error: str) -> None:
        """Send the error, and close: with 1008 for speech, with 1000 for recognition."""
        text = self.errors[error]
        if connection.request.path == STT_PATH:
            await connection.send({"message_type": error, "error": text})
            if error not in ("commit_throttled", "insufficient_audio_activity"):
                await connection.close(1000, error)
            return
        message: dict[str, Any] = {"message": text, "error": error, "code": 1008}
        await connection.send(message)
        await connection.close(1008, text)
