"""A stand-in for OpenAI's API, and for the many servers that speak it: deterministic, on loopback.

It answers ``/v1/chat/completions`` (streamed and whole, with tool calls and usage), ``/v1/audio/speech`` (six
formats, raw and as events), ``/v1/audio/transcriptions`` (json, text, verbose_json, events), ``/v1/models``
and ``/v1/realtime`` (a WebSocket, see ``openai_realtime``), strictly enough that the vendor's own SDK
completes its flows, and that a malformed request is refused as there.  ``faults`` makes requests fail, each
in one way.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, final

import attrs
import trio

from voicetrio.connection.websocket import Refusal, StreamSocket, UpgradeRequest
from voicetrio.frames import Samples
from voicetrio.testing.scripted import Answer
from voicetrio.testing.standins.http import Exchange, HttpRequest, HttpServer, open_http_server
from voicetrio.testing.standins.openai_audio import answer_speech, answer_transcription
from voicetrio.testing.standins.openai_chat import answer_chat
from voicetrio.testing.standins.openai_fault import HttpFault, RequestRefused, error_body
from voicetrio.testing.standins.openai_realtime import RealtimeFault, RealtimeScript, RealtimeSession

__all__ = ["OpenAIScript", "OpenAIStandin", "open_openai_standin"]

KEY = "sk-standin-0123456789abcdef"
MODELS = (
    "gpt-4o-mini",
    "gpt-4o-mini-tts",
    "gpt-4o-mini-transcribe",
    "gpt-realtime",
    "tts-1",
    "whisper-1",
)
LOST_PAGE = "<!DOCTYPE html><html><head><title>Sign in to the network</title></head><body>Hello</body></html>"

Answers: TypeAlias = Sequence[Answer] | Callable[[Mapping[str, Any]], Answer]
Hears: TypeAlias = Sequence[str] | Callable[[Samples, int], str]


@attrs.define(kw_only=True)
class OpenAIScript:
    """What the stand-in says."""

    answers: Answers | None = None
    """Of the chat: in order, or made from the request's body.  None repeats what the user said."""
    hears: Hears = ()
    """Transcripts: in order, then nothing; or made from samples and rate."""
    piece_s: float = 0.0
    """Seconds between two pieces of any stream."""
    realtime: RealtimeScript = attrs.Factory(RealtimeScript)
    """What the speech-to-speech model hears and says."""


@final
class OpenAIStandin:
    """A stand-in that runs; made by ``open_openai_standin`` only."""

    def __init__(self, script: OpenAIScript, key: str) -> None:
        self.script = script
        self.key = key
        """The one that is accepted."""
        self.faults: deque[HttpFault | None] = deque()
        """What goes wrong with the next requests, one each; None: nothing."""
        self.always: HttpFault | None = None
        """What goes wrong when ``faults`` is empty."""
        self.realtime_faults: deque[RealtimeFault | None] = deque()
        """What goes wrong with the next realtime sessions, one each."""
        self.requests: list[HttpRequest] = []
        """Every HTTP request so far, refused ones too."""
        self.sessions: list[RealtimeSession] = []
        """Every realtime session so far."""
        self.upgrades: list[UpgradeRequest] = []
        """Every request for a WebSocket so far."""
        self.finished = 0
        """HTTP answers that were given to their end."""
        self.server: HttpServer
        self._answered = self._heard = 0

    @property
    def base_url(self) -> str:
        """What a client takes as its base address."""
        return f"http://127.0.0.1:{self.server.port}/v1"

    def next_answer(self, body: Mapping[str, Any]) -> Answer:
        """Return the next answer of the chat."""
        answers = self.script.answers
        if callable(answers):
            return answers(body)
        self._answered += 1
        if answers is not None and self._answered <= len(answers):
            return answers[self._answered - 1]
        texts = [message.get("content") for message in body["messages"] if message["role"] == "user"]
        return f"You said: {texts[-1]}" if texts else "Hello."

    def next_transcript(self, samples: Samples, rate: int) -> str:
        """Return what is heard in the next upload."""
        hears = self.script.hears
        if callable(hears):
            return hears(samples, rate)
        self._heard += 1
        return hears[self._heard - 1] if self._heard <= len(hears) else ""

    async def pause(self) -> None:
        """Wait between two pieces of a stream."""
        await trio.sleep(self.script.piece_s)

    # --- the server's side ---

    async def _handle(self, exchange: Exchange) -> None:
        await trio.lowlevel.checkpoint()
        request = exchange.request
        self.requests.append(request)
        fault = self.faults.popleft() if self.faults else self.always
        try:
            self._check_key(request.headers)
            if fault is not None and await fault.before(exchange, LOST_PAGE):
                return
            await self._route(exchange, fault)
        except RequestRefused as refused:
            body = error_body(refused.message, kind=refused.kind, code=refused.code, param=refused.param)
            await exchange.respond(refused.status, body, headers=refused.headers)
            return
        self.finished += 1

    def _check_key(self, headers: Mapping[str, str]) -> None:
        given = headers.get("authorization", "")
        if not given:
            raise RequestRefused(401, "You didn't provide an API key.", code=None)
        if given != f"Bearer {self.key}":
            # Some servers repeat the key that they refuse: a client must not pass that on.
            raise RequestRefused(
                401, f"Incorrect API key provided: {given.removeprefix('Bearer ')}.", code="invalid_api_key"
            )

    async def _route(self, exchange: Exchange, fault: HttpFault | None) -> None:
        request = exchange.request
        match (request.method, request.path):
            case ("POST", "/v1/chat/completions"):
                body = self._body(request)
                await answer_chat(exchange, body, self.next_answer, self.pause, fault)
            case ("POST", "/v1/audio/speech"):
                await answer_speech(exchange, self._body(request), self.pause, fault)
            case ("POST", "/v1/audio/transcriptions"):
                await answer_transcription(exchange, self._check_model, self.next_transcript, fault)
            case ("GET", "/v1/models"):
                data = [
                    {"id": name, "object": "model", "created": 0, "owned_by": "standin"} for name in MODELS
                ]
                await exchange.respond(200, json.dumps({"object": "list", "data": data}))
            case _:
                raise RequestRefused(404, f"Invalid URL ({request.method} {request.path})", code=None)

    def _body(self, request: HttpRequest) -> dict[str, Any]:
        try:
            body = request.json()
        except ValueError:
            raise RequestRefused(
                400, "We could not parse the JSON body of your request.", code=None
            ) from None
        self._check_model(body.get("model"))
        assert isinstance(body, dict)
        return body

    def _check_model(self, model: object) -> None:
        if model not in MODELS:
            text = f"The model `{model}` does not exist or you do not have access to it."
            raise RequestRefused(404, text, code="model_not_found", param="model")

    # --- realtime ---

    def _refuse(self, request: UpgradeRequest) -> Refusal | None:
        self.upgrades.append(request)
        fault = self.realtime_faults[0] if self.realtime_faults else None
        if fault is not None and fault.status is not None:
            self.realtime_faults.popleft()
            headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
            return Refusal(fault.status, error_body(fault.message, code=fault.code), headers)
        try:
            self._check_key(request.headers)
            if request.path != "/v1/realtime":
                raise RequestRefused(404, f"Invalid URL (GET {request.path})", code=None)
            self._check_model(request.query.get("model"))
        except RequestRefused as refused:
            return Refusal(refused.status, error_body(refused.message, code=refused.code))
        return None

    async def _on_websocket(self, socket: StreamSocket, request: UpgradeRequest) -> None:
        fault = self.realtime_faults.popleft() if self.realtime_faults else None
        session = RealtimeSession(socket, request.query["model"], self.script.realtime, fault)
        self.sessions.append(session)
        await session.run()


@asynccontextmanager
async def open_openai_standin(
    script: OpenAIScript | None = None, *, key: str = KEY, port: int = 0
) -> AsyncIterator[OpenAIStandin]:
    """Run a stand-in on 127.0.0.1 for as long as the block lasts; ``port`` 0 takes a free one."""
    standin = OpenAIStandin(script or OpenAIScript(), key)
    async with open_http_server(
        standin._handle, on_websocket=standin._on_websocket, refuse=standin._refuse, port=port
    ) as server:
        standin.server = server
        yield standin
