"""A stand-in for Cartesia: speech over ``/tts/websocket``, recognition over both of its STT sockets."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any, ClassVar, Final, final

import attrs
import trio

from voicetrio.connection.websocket import Refusal, UpgradeRequest
from voicetrio.testing.standins.cartesia_stt import serve_stt, serve_turns
from voicetrio.testing.standins.fault import Fault
from voicetrio.testing.standins.server import Standin, StandinConnection
from voicetrio.testing.standins.speech import VOCABULARY, encode_speech, speak_words, word_times

__all__ = ["CartesiaStandin"]

RATES: Final = (8000, 16000, 22050, 24000, 44100, 48000)
ENCODINGS: Final = {"pcm_s16le": "s16le", "pcm_f32le": "f32le", "pcm_mulaw": "mulaw", "pcm_alaw": "alaw"}
CHUNK_S: Final = 0.12
EXPIRY_S: Final = 1.0
"""A context that was given nothing for so long after its last audio is gone."""
NOT_FIXED: Final = {"transcript", "continue", "flush", "duration"}
"""What may differ between the inputs of one context."""


@final
class CartesiaStandin(Standin):
    """Cartesia, as far as its WebSockets show it.

    Args:
        key: the only key that it accepts.
        faults: see ``Standin``.
        voices: the voices that it has.
        max_contexts: how many may be active at once; one more is refused with status 429.
        idle_s: seconds without a message after which it closes with code 1000.
        speed: how many seconds of audio it makes in a second.
        late_chunks: chunks of a cancelled context that still come.
        vocabulary: what its recognisers know.
    """

    name = "cartesia"
    errors: ClassVar = {
        "bad request": (400, "Bad Request", "bad_request"),
        "unauthorized": (401, "Unauthorized", "unauthorized"),
        "no credits": (402, "Credits exhausted", "quota_exceeded"),
        "voice not found": (404, "Voice not found", "voice_not_found"),
        "model not found": (404, "Model not found", "model_not_found"),
        "too many": (429, "Too many concurrent requests", "concurrency_limited"),
        "server error": (500, "Internal server error", "internal_error"),
        "unavailable": (503, "Service unavailable", "unavailable"),
    }

    def __init__(
        self,
        *,
        key: str = "standin-key",
        faults: Iterable[Fault | None] = (),
        voices: Iterable[str] = ("voice-1", "voice-2"),
        max_contexts: int = 5,
        idle_s: float = 300.0,
        speed: float = 20.0,
        late_chunks: int = 2,
        vocabulary: Iterable[str] = VOCABULARY,
    ) -> None:
        super().__init__(key=key, faults=faults)
        self.voices = frozenset(voices)
        self.max_contexts = max_contexts
        self.idle_s = idle_s
        self.speed = speed
        self.late_chunks = late_chunks
        self.vocabulary = tuple(vocabulary)

    def check(self, request: UpgradeRequest) -> Refusal | None:
        """Refuse a wrong path, key or version as Cartesia does."""
        headers, query = request.headers, request.query
        if request.path not in ("/tts/websocket", "/stt/websocket", "/stt/turns/websocket"):
            return Refusal(404, "Not found")
        given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        if (given or query.get("api_key")) != self.key:
            return Refusal(401, f"Invalid API key: {given}")
        if not (headers.get("cartesia-version") or query.get("cartesia_version")):
            return Refusal(400, "Cartesia-Version is required")
        if request.path != "/tts/websocket" and not {"model", "encoding", "sample_rate"} <= query.keys():
            return Refusal(400, "model, encoding and sample_rate are required")
        return None

    async def talk(self, connection: StandinConnection) -> None:
        """Serve the endpoint that was asked for."""
        match connection.request.path:
            case "/stt/websocket":
                await serve_stt(connection, self.vocabulary, self.idle_s)
            case "/stt/turns/websocket":
                await serve_turns(connection, self.vocabulary, self.idle_s)
            case _:
                async with trio.open_nursery() as nursery:
                    await _Speech(self, connection, nursery).serve()

    async def fail(self, connection: StandinConnection, error: str, *, context: str | None = None) -> None:
        """Send an error; without a context it is about the last one that was used."""
        status, title, code = self.errors[error]
        message = {
            "type": "error",
            "done": True,
            "title": title,
            "message": f"{title}.",
            "error_code": code,
            "status_code": status,
            "request_id": "standin",
        }
        if connection.request.path == "/tts/websocket":
            ids = [text["context_id"] for text in connection.texts if isinstance(text, dict)]
            message["context_id"] = context or (ids[-1] if ids else None)
        await connection.send(message)


@attrs.define(eq=False)
class _Context:
    fixed: dict[str, Any]
    texts: trio.MemorySendChannel[dict[str, Any]]
    is_cancelled: bool = False
    is_over: bool = False


@final
class _Speech:
    """One TTS connection."""

    def __init__(self, owner: CartesiaStandin, connection: StandinConnection, nursery: trio.Nursery) -> None:
        self._owner = owner
        self._connection = connection
        self._nursery = nursery
        self._contexts: dict[str, _Context] = {}

    async def serve(self) -> None:
        while True:
            message = await self._connection.receive(self._owner.idle_s)
            if message is None:
                await self._connection.close(1000, "idle")
            try:
                request = json.loads(message or "")
            except ValueError:
                request = None
            if not isinstance(request, dict) or not isinstance(request.get("context_id"), str):
                await self._owner.fail(self._connection, "bad request", context="")
            elif request.get("cancel"):
                context = self._contexts.get(request["context_id"])
                if context is not None:
                    context.is_cancelled = True
                    context.texts.close()
            else:
                await self._take(request["context_id"], request)

    async def _take(self, name: str, request: dict[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        context = self._contexts.get(name)
        error = self._wrong(request)
        fixed = {key: value for key, value in request.items() if key not in NOT_FIXED}
        active = sum(not each.is_over for each in self._contexts.values())
        if error is None and context is None and active >= self._owner.max_contexts:
            error = "too many"
        if error is None and context is not None and (context.is_over or fixed != context.fixed):
            error = "bad request"
        if error is not None:
            await self._owner.fail(self._connection, error, context=name)
            return
        if context is None:
            send_text, texts = trio.open_memory_channel[dict[str, Any]](100)
            context = self._contexts[name] = _Context(fixed, send_text)
            self._nursery.start_soon(self._speak, name, context, texts)
        try:
            context.texts.send_nowait(request)
        except trio.ClosedResourceError:
            await self._owner.fail(self._connection, "bad request", context=name)
            return
        if not request.get("continue"):
            context.texts.close()

    def _wrong(self, request: dict[str, Any]) -> str | None:
        audio, voice = request.get("output_format"), request.get("voice")
        if not str(request.get("model_id", "")).startswith("sonic"):
            return "model not found"
        voice_id = voice.get("id") if isinstance(voice, dict) else voice
        if voice_id not in self._owner.voices:
            return "voice not found"
        if not isinstance(audio, dict) or audio.get("container") != "raw":
            return "bad request"
        if audio.get("encoding") not in ENCODINGS or audio.get("sample_rate") not in RATES:
            return "bad request"
        return None if isinstance(request.get("transcript"), str) else "bad request"

    async def _speak(
        self, name: str, context: _Context, texts: trio.MemoryReceiveChannel[dict[str, Any]]
    ) -> None:
        await trio.lowlevel.checkpoint()
        at_s, flushes = 0.0, 0
        while True:
            try:
                with trio.fail_after(EXPIRY_S):
                    request = await texts.receive()
            except trio.EndOfChannel:
                break
            except trio.TooSlowError:
                context.is_over = True  # it expires without a word
                return
            at_s = await self._say(name, context, request, at_s)
            if context.is_cancelled:
                break
            if request.get("flush"):
                flushes += 1
                await self._tell(name, type="flush_done", flush_id=flushes, flush_done=True)
        context.is_over = True
        if not context.is_cancelled:
            await self._tell(name, type="done", done=True, status_code=200)

    async def _say(self, name: str, context: _Context, request: dict[str, Any], at_s: float) -> float:
        """Speak one input from ``at_s`` on; return where it ends."""
        await trio.lowlevel.checkpoint()
        rate = int(request["output_format"]["sample_rate"])
        encoding = ENCODINGS[request["output_format"]["encoding"]]
        samples = speak_words(request["transcript"], rate)
        words = word_times(request["transcript"])
        if request.get("add_timestamps") and words:
            times = {
                "words": [word.text for word in words],
                "start": [round(at_s + word.start_s, 3) for word in words],
                "end": [round(at_s + word.end_s, 3) for word in words],
            }
            await self._tell(name, type="timestamps", word_timestamps=times)
        late = self._owner.late_chunks
        step = round(CHUNK_S * rate)
        for start in range(0, len(samples), step):
            await trio.sleep(CHUNK_S / self._owner.speed)
            if context.is_cancelled:
                late -= 1
                if late < 0:
                    break
            data = base64.b64encode(encode_speech(samples[start : start + step], encoding)).decode()
            await self._tell(name, type="chunk", data=data, step_time=CHUNK_S * 1000 / self._owner.speed)
        return at_s + len(samples) / rate

    async def _tell(self, name: str, **fields: Any) -> None:
        message = {"context_id": name, "done": False, "status_code": 206, **fields}
        await self._connection.send(message)
