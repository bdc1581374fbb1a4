"""``/v1/audio/speech/stream``: a WebSocket with text in and audio out, for text that is still being written.

=========================================  =======================================================
the client sends                           what it does
=========================================  =======================================================
``{"type": "start", "voice": …, …}``       first of all; the fields of a request for speech
``{"type": "text", "text": "…"}``          any piece of the text; a clause is spoken once it is complete
``{"type": "flush"}``                      what came so far is complete
``{"type": "end"}``                        nothing follows
=========================================  =======================================================

The server answers ``{"type": "started", "format", "sample_rate"}``, then binary messages with the bytes of
one stream of audio, each after a ``{"type": "words", "words": [...]}`` if it begins words, and at the end
``{"type": "done", "samples"}`` and a close with 1000.  What is wrong is ``{"type": "error", "error":
{...}}`` and a close with 1008, or 1011 when it is the server's fault.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, final

import attrs
import trio
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from voicetrio.runtime.encoding import open_stream_encoder
from voicetrio.runtime.producing import open_produced
from voicetrio.server.speech.errors import ApiError, as_api_error, error_body
from voicetrio.server.speech.jobs import send_whole
from voicetrio.server.speech.planning import plan
from voicetrio.server.speech.requests import StreamStart, read_request, voice_name
from voicetrio.server.speech.routes_speech import timestamps
from voicetrio.server.speech.service import SpeechService
from voicetrio.services.speech.rendering import PIECES_AHEAD, Rendering
from voicetrio.services.speech.speaking import speak_texts
from voicetrio.services.speech_text.script import Script

__all__ = ["StreamRoutes"]

TEXTS_AHEAD: Final = 32
"""Messages that may wait while the voice speaks; then the client's socket is not read any more."""
NORMAL, POLICY, INTERNAL = 1000, 1008, 1011
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@final
class StreamRoutes:
    """Handlers that share one service."""

    def __init__(self, service: SpeechService) -> None:
        self._service = service

    def routes(self) -> list[WebSocketRoute]:
        """Return the routes."""
        return [WebSocketRoute("/v1/audio/speech/stream", self.stream)]

    async def stream(self, socket: WebSocket) -> None:
        """One connection."""
        await socket.accept()
        failure: Exception | None = None
        try:
            client = self._service.client(socket)
            async with self._service.admission.slot(client):
                await _Stream(self._service, socket).run()
        except WebSocketDisconnect:
            self._count("499")
            return
        except Exception as error:
            failure = error
        if failure is None:
            self._count("200")
            await socket.close(NORMAL)
            return
        told = as_api_error(failure, param="text")
        self._count(str(told.status))
        await socket.send_text(json.dumps({"type": "error", **error_body(told)}))
        await socket.close(POLICY if told.status < 500 else INTERNAL)

    def _count(self, status: str) -> None:
        self._service.metrics.requests.labels("stream", status).inc()


@attrs.frozen
class _Text:
    """A piece of the text; None says that what came so far is to be spoken."""

    text: str | None
    is_end: bool = False


@final
class _Stream:
    def __init__(self, service: SpeechService, socket: WebSocket) -> None:
        self._service = service
        self._socket = socket
        self._chars = 0

    async def run(self) -> None:
        """Speak what comes.  Raises WebSocketDisconnect when the client leaves before the end."""
        first = await self._receive(self._service.settings.text_stall_s)
        start = read_request(StreamStart, first.encode())
        rendering = plan(
            Script(()), start, voice_name(start.voice), self._service.engines, self._service.settings
        )
        await self._send(
            {"type": "started", "format": rendering.format.name, "sample_rate": rendering.request.rate}
        )
        count = 0
        # Listening belongs to the producer, so that a client that leaves ends the speaking as well.
        speak = partial(self._listen_and_speak, rendering)
        async with (
            open_stream_encoder(
                rendering.format.name, rendering.request.rate, **rendering.settings
            ) as encoder,
            open_produced(speak, ahead=PIECES_AHEAD) as pieces,
        ):
            async for piece in pieces:
                count += piece.samples.size
                if piece.words:
                    words = timestamps(piece.words, rendering.request.rate)
                    await self._send({"type": "words", "words": words})
                await self._send_audio(await encoder.encode(piece.samples))
            await self._send_audio(await encoder.finish())
        await self._send({"type": "done", "samples": count})

    async def _listen_and_speak(self, rendering: Rendering, outlet: trio.abc.SendChannel[Any]) -> None:
        await trio.lowlevel.checkpoint()
        sender, inlet = trio.open_memory_channel[str | None](TEXTS_AHEAD)
        speak = partial(
            speak_texts, inlet, rendering.request, self._service.engines, session=rendering.session
        )
        failure: Exception | None = None

        async def listen() -> None:
            nonlocal failure
            async with sender:
                try:
                    while not (message := await self._next_text()).is_end:
                        await sender.send(message.text)
                    await sender.aclose()
                    # After its "end" a client has nothing to say, but it may leave.
                    while True:
                        await self._receive(math.inf)
                except Exception as error:
                    failure = failure or error
                    speaking.cancel("the client left, or broke the protocol")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            with inlet, trio.CancelScope() as speaking:  # noqa: ASYNC912
                try:
                    await speak(outlet)
                except Exception as error:
                    failure = failure or error
            nursery.cancel_scope.cancel("everything is spoken")
        if failure is not None:
            raise failure

    async def _next_text(self) -> _Text:
        """Return the next piece of the text."""
        await trio.lowlevel.checkpoint()
        try:
            message = json.loads(await self._receive(self._service.settings.text_stall_s))
        except ValueError:
            raise ApiError(400, "a message is not JSON", code="invalid_json") from None
        kind = message.get("type") if isinstance(message, Mapping) else None
        match kind:
            case "text":
                return _Text(self._checked(message.get("text")))
            case "flush":
                return _Text(None)
            case "end":
                return _Text(None, is_end=True)
        raise ApiError(400, "type: must be text, flush or end", param="type", code="invalid_value")

    def _checked(self, text: object) -> str:
        if not isinstance(text, str):
            raise ApiError(400, "text: must be a string", param="text", code="invalid_value")
        if _SURROGATE.search(text):
            # JSON can escape half a character; nothing that was said of it could be sent back.
            raise ApiError(400, "text: holds half a character", param="text", code="invalid_value")
        self._chars += len(text)
        most = self._service.settings.max_streamed_chars
        if self._chars > most:
            raise ApiError(400, f"text: more than {most} characters", param="text", code="too_long")
        return text

    async def _receive(self, within_s: float) -> str:
        with trio.move_on_after(within_s):
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", NORMAL))
            text = message.get("text")
            if not isinstance(text, str):
                raise ApiError(400, "messages are JSON in text, not binary", code="invalid_json")
            return text
        raise ApiError(408, "the client was silent for too long", code="timeout")

    async def _send(self, message: Mapping[str, Any]) -> None:
        await send_whole(self._socket.send_text, json.dumps(message, ensure_ascii=False))

    async def _send_audio(self, data: bytes) -> None:
        if data:
            await send_whole(self._socket.send_bytes, data)
        else:
            await trio.lowlevel.checkpoint()
