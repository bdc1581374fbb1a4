"""The speech-to-speech model of the stand-in for OpenAI: one session of ``/v1/realtime`` (the GA wire).

It hears audio with a VAD that looks at amplitudes, transcribes what was committed from a script, and answers
with the same audio that the stand-in's speech gives: word ``k`` at a level of its own.  What the API
refuses, it refuses: a second response at once, a truncation past the end, a cancel of nothing.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, final

import attrs
import numpy as np
import trio

from voicetrio.connection.websocket import SocketClosed, StreamSocket
from voicetrio.testing.scripted import Answer
from voicetrio.testing.standins.openai_response import ActiveResponse

__all__ = ["RealtimeFault", "RealtimeScript", "RealtimeSession"]

RATE: Final = 24000
VOICED_AMPLITUDE: Final = 500
WINDOW: Final = RATE // 50
MAX_APPEND_BYTES: Final = 15 << 20
DEFAULT_VAD: Final = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}

RealtimeAnswers: TypeAlias = Sequence[Answer] | Callable[[Sequence[Mapping[str, Any]]], Answer]


@attrs.define(kw_only=True)
class RealtimeScript:
    """What the model hears and says."""

    hears: Sequence[str] = ()
    """The transcript of each stretch of committed audio, in order; then nothing is understood."""
    answers: RealtimeAnswers = ()
    """What each response says, in order, or made from the conversation's items; then it says ``Yes.``"""
    transcribe_s: float = 0.0
    """Seconds from the commit to the transcript."""
    first_audio_s: float = 0.0
    """Seconds from ``response.create`` to the first audio."""
    word_s: float = 0.0
    """Seconds from one word's audio to the next one's."""
    late_words: int = 0
    """Words whose audio still comes after a cancel was taken."""


@attrs.frozen(kw_only=True)
class RealtimeFault:
    """What goes wrong with one session: the upgrade is refused, or something after ``after`` events."""

    status: int | None = None
    """Refuse the upgrade with it."""
    message: str = "The server had an error while processing your request."
    code: str | None = None
    retry_after: str | None = None
    kind: Literal["close", "drop", "stall", "garbage", "error"] = "close"
    """Close with ``close_code``, drop the socket, say nothing more, send what is not JSON, or send an error
    event with ``code`` and ``message``."""
    after: int = 0
    """Events that the server sends before."""
    close_code: int = 1011


class _Refused(Exception):
    """A client's event is answered with an error event."""

    def __init__(self, message: str, code: str, param: str | None = None) -> None:
        self.code = code
        self.param = param
        super().__init__(message)


@final
class RealtimeSession:
    """One session; the stand-in keeps each for a test to look at."""

    def __init__(
        self, socket: StreamSocket, model: str, script: RealtimeScript, fault: RealtimeFault | None
    ) -> None:
        self.script = script
        self.received: list[dict[str, Any]] = []
        """Every event of the client, but appended audio without its data."""
        self.sent: list[str] = []
        """The type of every event that was sent."""
        self.items: dict[str, dict[str, Any]] = {}
        """The conversation, in order."""
        self.audio_ms: dict[str, float] = {}
        """How much audio each of the model's items has, in milliseconds; a truncation shortens it."""
        self.heard_samples = 0
        """Samples that were appended so far."""
        self.session: dict[str, Any] = _default_session(model)
        self.closed: SocketClosed | None = None
        """How the client left."""
        self._socket = socket
        self._fault = fault
        self._is_mute = False
        self._numbers = itertools.count(1)
        self._buffer_samples = 0
        self._buffer_item = ""
        self._speech_start: int | None = None
        self._voiced_to = 0
        self._rest = np.zeros(0, np.int16)
        self._commits = self._answers = 0
        self._response: ActiveResponse | None = None
        self._nursery: trio.Nursery

    async def run(self) -> None:
        """Serve the client until it leaves, or the fault ends it."""
        await trio.lowlevel.checkpoint()
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                await self.send("session.created", session=self.session)
                while True:
                    await self._take(await self._socket.receive())
        except* SocketClosed as group:
            self.closed = next(error for error in group.exceptions if isinstance(error, SocketClosed))
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    # --- sending ---

    def new_id(self, kind: str) -> str:
        """Return an id that was not used before."""
        return f"{kind}_{next(self._numbers)}"

    async def send(self, type: str, **fields: Any) -> None:
        """Send one event, or do what the fault says instead."""
        fault = self._fault
        if self._is_mute:
            await trio.lowlevel.checkpoint()
            return
        if fault is not None and len(self.sent) >= fault.after:
            self._fault = None
            match fault.kind:
                case "close":
                    await self._socket.close(fault.close_code, fault.message[:100], wait_answer=False)
                case "drop":
                    self._socket.abort()
                case "stall":
                    self._is_mute = True
                    await trio.lowlevel.checkpoint()
                    return
                case "garbage":
                    await self._socket.send('{"type": "session.cre')
                case "error":
                    await self.send("error", error=_error(fault.message, fault.code, "server_error"))
        self.sent.append(type)
        event = {"type": type, "event_id": self.new_id("event"), **fields}
        await self._socket.send(json.dumps(event))

    # --- receiving ---

    async def _take(self, message: str | bytes) -> None:
        event: dict[str, Any] = {}
        try:
            event = _parse(message)
            await self._act(event)
        except _Refused as refused:
            error = _error(str(refused), refused.code, "invalid_request_error", refused.param)
            await self.send("error", error={**error, "event_id": event.get("event_id")})

    async def _act(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        if kind != "input_audio_buffer.append":
            self.received.append(event)
        match kind:
            case "session.update":
                await self._update(event.get("session") or {})
            case "input_audio_buffer.append":
                await self._append(event)
            case "input_audio_buffer.commit":
                if not self._buffer_samples:
                    text = "Error committing input audio buffer: buffer too small."
                    raise _Refused(text, "input_audio_buffer_commit_empty")
                await self._commit()
            case "input_audio_buffer.clear":
                self._buffer_samples = 0
                await self.send("input_audio_buffer.cleared")
            case "conversation.item.create":
                await self._create_item(event)
            case "conversation.item.truncate":
                await self._truncate(event)
            case "conversation.item.delete":
                item_id = self._known(event)
                del self.items[item_id]
                await self.send("conversation.item.deleted", item_id=item_id)
            case "conversation.item.retrieve":
                await self.send("conversation.item.retrieved", item=self.items[self._known(event)])
            case "response.create":
                await self.respond(event.get("response") or {})
            case "response.cancel":
                await self._cancel(event.get("response_id"))
            case _:
                raise _Refused(f"Invalid value: '{kind}'.", "invalid_value", "type")

    def _known(self, event: Mapping[str, Any]) -> str:
        item_id = event.get("item_id")
        if item_id not in self.items:
            raise _Refused(f"Item with item_id '{item_id}' does not exist.", "item_not_found", "item_id")
        return str(item_id)

    async def _update(self, changes: dict[str, Any]) -> None:
        if changes.get("type") != "realtime":
            raise _Refused("Missing required parameter: 'session.type'.", "missing_required_parameter")
        for side in ("input", "output"):
            format = ((changes.get("audio") or {}).get(side) or {}).get("format")
            if format is not None and format != {"type": "audio/pcm", "rate": RATE}:
                raise _Refused(f"Invalid value: '{format}'.", "invalid_value", f"session.audio.{side}.format")
        _merge(self.session, changes)
        await self.send("session.updated", session=self.session)

    # --- hearing ---

    @property
    def _detection(self) -> dict[str, Any] | None:
        detection = self.session["audio"]["input"]["turn_detection"]
        return None if detection is None else {**DEFAULT_VAD, **detection}

    async def _append(self, event: Mapping[str, Any]) -> None:
        audio = event.get("audio")
        try:
            pcm = base64.b64decode(audio or "", validate=True)
        except (binascii.Error, ValueError, TypeError):
            raise _Refused("Invalid 'audio'. Expected base64-encoded audio bytes.", "invalid_value") from None
        if len(pcm) > MAX_APPEND_BYTES or len(pcm) % 2:
            raise _Refused("Invalid 'audio': not whole samples of at most 15 MiB.", "invalid_value")
        await trio.lowlevel.checkpoint()
        samples = np.concatenate([self._rest, np.frombuffer(pcm, "<i2")])
        self.heard_samples += len(pcm) // 2
        self._buffer_samples += len(pcm) // 2
        start = self.heard_samples - len(samples)
        for at in range(0, len(samples) - WINDOW + 1, WINDOW):
            voiced = bool((np.abs(samples[at : at + WINDOW].astype(np.int32)) >= VOICED_AMPLITUDE).any())
            await self._hear_window(start + at, voiced=voiced)
        self._rest = samples[len(samples) // WINDOW * WINDOW :]

    async def _hear_window(self, start: int, *, voiced: bool) -> None:
        detection = self._detection
        await trio.lowlevel.checkpoint()
        if detection is None:
            return
        if voiced:
            self._voiced_to = start + WINDOW
            if self._speech_start is None:
                self._speech_start = start
                self._buffer_item = self.new_id("item")
                at_ms = max(0, start * 1000 // RATE - detection["prefix_padding_ms"])
                await self.send(
                    "input_audio_buffer.speech_started", audio_start_ms=at_ms, item_id=self._buffer_item
                )
                if detection["interrupt_response"]:
                    await self._stop_response("turn_detected")
        elif self._speech_start is not None:
            silence_ms = (start + WINDOW - self._voiced_to) * 1000 // RATE
            if silence_ms >= detection["silence_duration_ms"]:
                self._speech_start = None
                at_ms = self._voiced_to * 1000 // RATE + detection["silence_duration_ms"]
                await self.send(
                    "input_audio_buffer.speech_stopped", audio_end_ms=at_ms, item_id=self._buffer_item
                )
                await self._commit()
                if detection["create_response"]:
                    await self.respond({})

    async def _commit(self) -> None:
        item_id = self._buffer_item or self.new_id("item")
        self._buffer_item = ""
        self._buffer_samples = 0
        previous = next(reversed(self.items), None)
        await self.send("input_audio_buffer.committed", item_id=item_id, previous_item_id=previous)
        content = [{"type": "input_audio", "transcript": None}]
        item = {
            "id": item_id,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": content,
        }
        await self.add_item(item, previous)
        self._commits += 1
        hears = self.script.hears
        text = hears[self._commits - 1] if self._commits <= len(hears) else ""
        if self.session["audio"]["input"]["transcription"] is not None:
            self._nursery.start_soon(self._transcribe, item_id, text)

    async def _transcribe(self, item_id: str, text: str) -> None:
        await trio.sleep(self.script.transcribe_s)
        if item_id in self.items:
            self.items[item_id]["content"][0]["transcript"] = text
        kind = "conversation.item.input_audio_transcription"
        if text:
            await self.send(f"{kind}.delta", item_id=item_id, content_index=0, delta=text)
        usage = {"type": "duration", "seconds": 1.0}
        await self.send(f"{kind}.completed", item_id=item_id, content_index=0, transcript=text, usage=usage)

    # --- the conversation ---

    async def add_item(self, item: dict[str, Any], previous: str | None) -> None:
        """Put an item that is whole at the end of the conversation."""
        self.items[item["id"]] = item
        await self.send("conversation.item.added", previous_item_id=previous, item=item)
        await self.send("conversation.item.done", previous_item_id=previous, item=item)

    async def _create_item(self, event: Mapping[str, Any]) -> None:
        given = event.get("item") or {}
        item_id = given.get("id") or self.new_id("item")
        if item_id in self.items:
            raise _Refused(f"Item with id '{item_id}' already exists.", "item_create_duplicate_id")
        match given.get("type"):
            case "message":
                allowed = {"user": "input_text", "system": "input_text", "assistant": "output_text"}
                kinds = {part.get("type") for part in given.get("content") or ()}
                if given.get("role") not in allowed or kinds != {allowed[given["role"]]}:
                    raise _Refused("Invalid value: 'item.content'.", "invalid_value", "item.content")
            case "function_call_output":
                calls = [
                    item.get("call_id") for item in self.items.values() if item["type"] == "function_call"
                ]
                if given.get("call_id") not in calls:
                    text = f"Tool call ID '{given.get('call_id')}' not found in conversation."
                    raise _Refused(text, "invalid_tool_call_id", "item.call_id")
            case kind:
                raise _Refused(f"Invalid value: '{kind}'.", "invalid_value", "item.type")
        item = {"object": "realtime.item", "status": "completed", **given, "id": item_id}
        await self.add_item(item, next(reversed(self.items), None))

    async def _truncate(self, event: Mapping[str, Any]) -> None:
        item_id = self._known(event)
        end_ms = event.get("audio_end_ms")
        if item_id not in self.audio_ms:
            raise _Refused("Only model output audio messages can be truncated.", "invalid_value", "item_id")
        length_ms = self.audio_ms[item_id]
        if not isinstance(end_ms, int) or end_ms < 0 or end_ms > length_ms:
            text = f"Audio content of {length_ms:g}ms is already shorter than {end_ms}ms"
            raise _Refused(text, "invalid_value", "audio_end_ms")
        self.audio_ms[item_id] = end_ms
        for part in self.items[item_id]["content"]:
            part.pop("transcript", None)
        await self.send("conversation.item.truncated", item_id=item_id, content_index=0, audio_end_ms=end_ms)

    # --- responses ---

    async def respond(self, options: Mapping[str, Any]) -> None:
        """Begin a response.  Raises _Refused while another one is being made."""
        apart = options.get("conversation") == "none"
        if self._response is not None and not apart:
            text = f"Conversation already has an active response in progress: {self._response.id}."
            raise _Refused(text, "conversation_already_has_active_response")
        response = ActiveResponse(self, self.new_id("resp"), options, apart=apart)
        if not apart:
            self._response = response
        answer = self._next_answer(options)
        await response.tell_created()
        self._nursery.start_soon(self._make, response, answer)

    async def _make(self, response: ActiveResponse, answer: Answer) -> None:
        try:
            await response.make(answer)
        finally:
            if self._response is response:
                self._response = None

    def _next_answer(self, options: Mapping[str, Any]) -> Answer:
        answers = self.script.answers
        verbatim = str(options.get("instructions") or "").partition('"')[2].rpartition('"')[0]
        if options.get("conversation") == "none" and verbatim:
            return verbatim  # it was told what to say
        if callable(answers):
            return answers(list(self.items.values()))
        self._answers += 1
        return answers[self._answers - 1] if self._answers <= len(answers) else "Yes."

    async def _cancel(self, response_id: str | None) -> None:
        if self._response is None or response_id not in (None, self._response.id):
            raise _Refused("Cancellation failed: no active response found", "response_cancel_not_active")
        await self._stop_response("client_cancelled")

    async def _stop_response(self, why: str) -> None:
        if self._response is not None:
            self._response.cancel(why)
        await trio.lowlevel.checkpoint()


def _default_session(model: str) -> dict[str, Any]:
    pcm = {"type": "audio/pcm", "rate": RATE}
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": "sess_standin",
        "model": model,
        "output_modalities": ["audio"],
        "instructions": "",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "audio": {
            "input": {
                "format": pcm,
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": dict(DEFAULT_VAD),
            },
            "output": {"format": pcm, "voice": "alloy", "speed": 1.0},
        },
    }


def _merge(into: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _parse(message: str | bytes) -> dict[str, Any]:
    try:
        event = json.loads(message)
    except ValueError:
        raise _Refused("Could not parse your request body as JSON.", "invalid_json") from None
    if not isinstance(event, dict):
        raise _Refused("Expected an object.", "invalid_json")
    return event


def _error(message: str, code: str | None, kind: str, param: str | None = None) -> dict[str, Any]:
    return {"type": kind, "code": code, "message": message, "param": param, "event_id": None}
