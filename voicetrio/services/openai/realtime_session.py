"""One session of OpenAI's Realtime API: a model that hears and speaks, over one WebSocket.

The server's VAD hears, and its transcription tells the words.  It neither answers nor stops by itself: the
conversation decides, asks with ``response.create``, stops with ``response.cancel``, and lets the server
forget what was not heard (``conversation.item.truncate`` at the heard position, or ``delete``).

When the connection is lost, the next one is told the conversation as texts, and hears again the audio that
had no transcript yet; a response that was being made fails.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Literal, TypeAlias, final

import attrs
import trio

from voicetrio.connection.connection import Connection
from voicetrio.connection.dialling import hide
from voicetrio.connection.faults import ConnectionLost
from voicetrio.connection.recovery import ReplayQueue
from voicetrio.connection.websocket.socket import Message, MessageSocket, SocketClosed
from voicetrio.errors import ServiceError
from voicetrio.events import Transcript
from voicetrio.frames import AudioFrame
from voicetrio.services.llm import ToolCall, ToolSpec
from voicetrio.services.openai.realtime_ear import RealtimeEar
from voicetrio.services.openai.realtime_response import RealtimeResponse
from voicetrio.services.openai.realtime_wire import (
    NUMBER,
    RATE,
    RealtimeSettings,
    append_audio,
    create_response,
    parse_event,
    result_item,
    session_update,
    text_item,
    to_text,
)
from voicetrio.services.openai.wire import error_of_event
from voicetrio.services.speech_model import ModelHeard
from voicetrio.services.wires import MALFORMED

__all__ = ["RealtimeSession", "RealtimeStatistics"]

_log = logging.getLogger("voicetrio.openai")

Role: TypeAlias = Literal["user", "assistant", "system"]
MAX_HISTORY: Final = 200
QUIET_KEPT_S: Final = 2.0
"""Of audio without speech this much is kept for a new stream: a start is told after it."""
MAX_RESPONSES: Final = 64
"""Of those that are over, so many wait at most to be settled."""
CANCEL_S: Final = 5.0
"""A response that was cancelled must be over on the server within this time."""
REFUSING_CODES: Final = frozenset({1008, 3000, 3003})


@attrs.frozen(kw_only=True)
class RealtimeStatistics:
    """Counts of one session."""

    responses: int
    cancelled: int
    late_events: int
    """What the server still said of responses that were cancelled."""
    refused: int
    """Events of ours that the server would not take."""
    heard_s: float
    """Seconds of audio that were given."""


@final
class RealtimeSession:
    """One session of the model; made by ``OpenAIRealtime.open_session`` only."""

    def __init__(
        self,
        name: str,
        settings: RealtimeSettings,
        instructions: str,
        tools: Sequence[ToolSpec],
        secrets: tuple[str, ...],
    ) -> None:
        self._name = name
        self._settings = settings
        self._setup = to_text(session_update(settings, instructions, tools))
        self._secrets = secrets
        self._connection: Connection
        self._replay = ReplayQueue(name, RATE)
        before_s, after_s = (
            (settings.prefix_padding_s, settings.silence_s) if settings.by_sound else (0.0, 0.0)
        )
        self._ear = RealtimeEar(self._replay.position_at, RATE, before_s=before_s, after_s=after_s)
        self._heard: deque[ModelHeard] = deque()
        self._history: deque[tuple[Role, str]] = deque(maxlen=MAX_HISTORY)
        self._responses: dict[int, RealtimeResponse] = {}
        """Those that are not over, or not settled, by number."""
        self._by_id: dict[str, RealtimeResponse] = {}
        self._active: RealtimeResponse | None = None
        """The one that is being made in the conversation."""
        self._call_streams: dict[str, int] = {}
        self._error: ServiceError | None = None
        self._changed = trio.Event()
        self._numbers = self._cancelled = self._late = self._refused = 0
        self._audio_s = 0.0

    # --- SpeechModelSession ---

    @property
    def input_rate(self) -> int:
        """Hertz."""
        return RATE

    @property
    def output_rate(self) -> int:
        """Hertz."""
        return RATE

    @property
    def hangover_s(self) -> float:
        """Seconds of silence after which it tells that speech stopped."""
        return self._settings.silence_s

    def hear(self, frame: AudioFrame) -> None:
        """Give it audio; see ``SpeechModelSession``.

        Without a connection it is kept, 30 s at most, and given to the next one.
        """
        self._replay.push(frame)
        self._audio_s += frame.duration_s
        if self._connection.is_usable and not self._ear.is_busy and self._replay.behind_s < QUIET_KEPT_S:
            self._replay.cover(frame.end - round(QUIET_KEPT_S * RATE))

    async def receive(self) -> ModelHeard:
        """Return what it tells next of the user.  Raises ServiceError when the connection gave up."""
        await trio.lowlevel.checkpoint()
        while not self._heard:
            if self._error is not None:
                raise self._error
            await self._changed.wait()
        return self._heard.popleft()

    def add_text(self, role: Role, text: str) -> None:
        """Add a message to its conversation; see ``SpeechModelSession``."""
        self._history.append((role, text))
        self._send_nowait(text_item(role, text), self._connection.stream)

    def give_result(self, call: ToolCall, result: str) -> None:
        """Add a tool's result to its conversation; see ``SpeechModelSession``."""
        stream = self._call_streams.pop(call.id, 0)
        text = f"The tool {call.name} returned: {result}"
        if stream == self._connection.stream:
            self._history.append(("system", text))
            self._send_nowait(result_item(call.id, result), stream)
        else:
            # The stream that knew the call is gone.
            self.add_text("system", text)

    @asynccontextmanager
    async def respond(
        self, text: str | None = None, *, may_call: bool = True
    ) -> AsyncIterator[RealtimeResponse]:
        """Let it answer, or say ``text`` beside the conversation; see ``SpeechModelSession``."""
        self._numbers += 1
        response = RealtimeResponse(
            self._name, self._numbers, apart=text is not None, on_settled=self._settled
        )
        if not response.apart:
            await self._wait_floor()
            self._active = response
        self._responses[response.number] = response
        for old in [each for each in self._responses.values() if each.is_over][:-MAX_RESPONSES]:
            self._late += self._forget(old)
        try:
            response.stream = await self._connection.wait_usable()
            await self._connection.send(
                to_text(create_response(response.number, text, may_call=may_call)), stream=response.stream
            )
            yield response
        finally:
            self._cancel(response)

    async def _wait_floor(self) -> None:
        """Wait until no response is being made in the conversation: the server makes one at a time."""
        await trio.lowlevel.checkpoint()
        while self._active is not None:
            active = self._active
            changed = self._changed
            with trio.CancelScope(deadline=active.over_by) as scope:
                await changed.wait()
            if scope.cancelled_caught and self._active is active:
                self._over(active)

    def statistics(self) -> RealtimeStatistics:
        """Return the counts so far."""
        living = self._responses.values()
        return RealtimeStatistics(
            responses=self._numbers,
            cancelled=self._cancelled,
            late_events=self._late + sum(response.late_events for response in living),
            refused=self._refused,
            heard_s=self._audio_s,
        )

    # --- responses ---

    def _cancel(self, response: RealtimeResponse) -> None:
        """Its user has left: stop what is not over; never waits."""
        if response.is_over:
            self._over(response)
            return
        response.over_by = trio.current_time() + CANCEL_S
        self._cancelled += 1
        self._notify()  # who waits for the floor now waits until then
        if response.stream != self._connection.stream:
            self._over(response)  # it was never asked for, or its stream is gone
        elif response.id is not None:
            self._send_cancel(response)

    def _send_cancel(self, response: RealtimeResponse) -> None:
        event = {"type": "response.cancel", "event_id": "cancel", "response_id": response.id}
        self._send_nowait(event, response.stream)

    def _over(self, response: RealtimeResponse) -> None:
        response.end()
        if self._active is response:
            self._active = None
        self._correct(response)
        self._notify()

    def _settled(self, response: RealtimeResponse) -> None:
        """It is known what was heard of ``response``."""
        text = response.heard_text
        if response.apart:
            if text:
                self.add_text("assistant", text)
        elif text:
            self._history.append(("assistant", text))
        self._correct(response)

    def _correct(self, response: RealtimeResponse) -> None:
        """Let the server forget what was not heard, once both is known."""
        for event in response.corrections():
            self._send_nowait(event, response.stream)
        if response.is_over and response.is_settled:
            self._late += self._forget(response)

    def _forget(self, response: RealtimeResponse) -> int:
        self._by_id.pop(response.id or "", None)
        return response.late_events if self._responses.pop(response.number, None) else 0

    # --- what the server says ---

    def _take(self, message: Message) -> None:
        """Take an event; called by the connection's reader.  Raises ServiceError to end the stream."""
        event = parse_event(self._name, message)
        kind = event["type"]
        try:
            if kind == "error":
                self._take_error(event["error"])
            elif kind.startswith("response."):
                self._take_response(event)
            else:
                self._tell(self._ear.take(event))
        except MALFORMED as error:
            text = f"sent an event that cannot be read ({kind}: {error!r})"
            raise ServiceError(text[:200], service=self._name, transient=True) from None

    def _take_response(self, event: Mapping[str, Any]) -> None:
        if event["type"] == "response.created":
            number = (event["response"].get("metadata") or {}).get(NUMBER)
            created = self._responses.get(int(number)) if number is not None else None
            if created is not None:
                created.id = str(event["response"]["id"])
                self._by_id[created.id] = created
                if created.is_cancelled:
                    self._send_cancel(created)
            return
        response = self._by_id.get(event.get("response_id") or event["response"]["id"])
        if response is None:
            return
        calls = len(response.calls)
        response.take(event)
        for call in response.calls[calls:]:
            self._call_streams[call.id] = response.stream
        if response.is_over:
            self._over(response)

    def _take_error(self, error: Mapping[str, Any]) -> None:
        failure = error_of_event(
            self._name, {**error, "message": hide(str(error.get("message") or ""), self._secrets)}
        )
        mine = str(error.get("event_id") or "")
        if error.get("code") == "session_expired":
            raise ServiceError(str(failure), service=self._name, transient=True)
        response = self._active if not mine else None
        if mine.startswith("create-"):
            response = self._responses.get(int(mine.removeprefix("create-")))
        if response is not None:
            response.fail(failure)
            self._over(response)
        else:
            # A cancel that came too late, a truncation of what is gone: nothing depends on it.
            self._refused += 1
            _log.debug("refused %s: %s", mine or "an event", failure)

    def _tell(self, heard: Sequence[ModelHeard]) -> None:
        for news in heard:
            if isinstance(news, Transcript) and news.final:
                # The silence behind it too: a rest of the voice would be taken for speech again.
                self._replay.cover(self._ear.silent_until(news.position or 0))
                if news.text:
                    self._history.append(("user", news.text))
            self._heard.append(news)
        if heard:
            self._notify()

    # --- the connection ---

    async def _prepare(self, socket: MessageSocket) -> None:
        """Make a new stream what the session is; see ``open_connection``."""
        await trio.lowlevel.checkpoint()
        try:
            await self._expect(socket, "session.created")
            await socket.send(self._setup)
            await self._expect(socket, "session.updated")
            for role, text in tuple(self._history):
                await socket.send(to_text(text_item(role, text)))
        except SocketClosed as closed:
            raise ServiceError(
                hide(f"closed the session before it began: {closed}", self._secrets),
                service=self._name,
                transient=closed.code not in REFUSING_CODES,
            ) from None
        # Last of all, with no checkpoint behind it: the audio goes to this stream.
        self._ear.restart()
        self._replay.rewind()

    async def _expect(self, socket: MessageSocket, kind: str) -> None:
        while True:
            await trio.lowlevel.checkpoint()
            event = parse_event(self._name, await socket.receive())
            if event["type"] == "error":
                error = event.get("error")
                fields = error if isinstance(error, dict) else {"message": error}
                text = hide(str(fields.get("message") or ""), self._secrets)
                raise error_of_event(self._name, {**fields, "message": text})
            if event["type"] == kind:
                return

    async def _watch(self) -> None:
        """Notice that the connection gave up."""
        await trio.lowlevel.checkpoint()
        try:
            while True:
                changed = self._changed
                await self._connection.wait_usable()
                await changed.wait()
        except ServiceError as error:
            self._error = error
            self._notify()

    async def _send_audio(self) -> None:
        await trio.lowlevel.checkpoint()
        with suppress(ServiceError):  # ``_watch`` tells it
            while True:
                await self._connection.wait_usable()
                frame = await self._replay.take()
                self._connection.send_audio(append_audio(frame.pcm), frame.duration_s)

    def _lost(self, stream: int, lost: ConnectionLost) -> None:
        for response in tuple(self._responses.values()):
            if response.stream == stream and not response.is_over:
                response.fail(lost)
                self._over(response)
        self._notify()

    def _send_nowait(self, event: Mapping[str, Any], stream: int) -> None:
        """Send what belongs to ``stream``; when that is gone, the next one is told by the history."""
        try:
            if stream:
                self._connection.send_nowait(to_text(event), stream=stream)
        except (ServiceError, trio.ClosedResourceError):
            pass
        except trio.WouldBlock:
            self._connection.recycle("it takes no events")

    def _notify(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()
