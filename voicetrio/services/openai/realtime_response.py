"""One response of a Realtime session: what it says, and what of it the model shall remember.

Its events go to a buffer of its own, bounded in seconds of audio.  When it is over on the server and it is
known how much was heard, the items beyond that are cut or removed there: ``corrections`` gives the events,
once.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, final

import attrs

from voicetrio.connection.inbox import Inbox
from voicetrio.errors import ServiceError
from voicetrio.frames import AudioFrame, TextFrame
from voicetrio.services.llm import ToolCall
from voicetrio.services.openai.realtime_wire import RATE
from voicetrio.services.openai.wire import error_of_event, parse_tool_arguments
from voicetrio.services.speech_model import ModelOutput

__all__ = ["RealtimeResponse"]

MAX_BUFFERED_S: Final = 180.0


@attrs.define
class _Item:
    """A message of the response, and how much audio of it came."""

    id: str
    samples: int = 0


@final
class RealtimeResponse(Inbox[ModelOutput]):
    """A ModelResponse; made by a session."""

    def __init__(
        self, service: str, number: int, *, apart: bool, on_settled: Callable[[RealtimeResponse], None]
    ) -> None:
        super().__init__()
        self.number = number
        self.id: str | None = None
        """The server's name of it, once it is known."""
        self.stream = 0
        """The stream that it belongs to."""
        self.apart = apart
        """It is no part of the conversation."""
        self.is_over = False
        """The server ended it, or it failed."""
        self.over_by = math.inf
        """Once its user has left: it is held for over then."""
        self.late_events = 0
        """Events that came after it was cancelled."""
        self.calls: list[ToolCall] = []
        self._service = service
        self._on_settled = on_settled
        self._samples = 0
        self._items: list[_Item] = []
        self._transcript = ""
        self._heard: tuple[str, float] | None = None
        self._is_corrected = False

    # --- its user ---

    def settle(self, heard_text: str, heard_s: float) -> None:
        """Tell how much was heard; see ``ModelResponse``."""
        if self._heard is None:
            self._heard = (self._transcript if heard_s == math.inf else heard_text, heard_s)
            self._on_settled(self)

    @property
    def heard_text(self) -> str:
        """What was heard of it, once that is known."""
        return "" if self._heard is None else " ".join(self._heard[0].split())

    # --- its session ---

    def take(self, event: Mapping[str, Any]) -> None:
        """Take an event of the server.  Raises KeyError and its like for a malformed one."""
        kind = event["type"]
        if kind == "response.done":
            self._done(event["response"])
            return
        if self.is_cancelled:
            self.late_events += 1
        match kind:
            case "response.output_item.added" if event["item"]["type"] == "message":
                self._items.append(_Item(event["item"]["id"]))
                if self._transcript:
                    self._say(" ")  # two messages are two pieces of text
            case "response.output_audio.delta":
                self._audio(event["item_id"], event["delta"])
            case "response.output_audio_transcript.delta" | "response.output_text.delta":
                self._say(event["delta"])
            case "response.output_item.done" if event["item"]["type"] == "function_call":
                self._call(event["item"])

    def fail(self, error: ServiceError) -> None:
        """It ends with ``error``."""
        if not self.is_over:
            self._end(error)
            self.end()

    def end(self) -> None:
        """Nothing more will come of it."""
        self.is_over = True
        self._end()

    @property
    def is_cancelled(self) -> bool:
        """Its user has left before its end."""
        return self.over_by < math.inf

    @property
    def is_settled(self) -> bool:
        """It is known how much was heard."""
        return self._heard is not None

    def corrections(self) -> list[dict[str, Any]]:
        """Return the events that make the server forget what was not heard; each only once."""
        if self.apart or not self.is_over or self._heard is None or self._is_corrected:
            return []
        self._is_corrected = True
        left_s = self._heard[1]
        events: list[dict[str, Any]] = []
        for item in self._items:
            length_s = item.samples / RATE
            if left_s <= 0.0:
                events.append({"type": "conversation.item.delete", "event_id": "delete", "item_id": item.id})
            elif left_s < length_s:
                events.append(
                    {
                        "type": "conversation.item.truncate",
                        "event_id": "truncate",
                        "item_id": item.id,
                        "content_index": 0,
                        "audio_end_ms": math.floor(left_s * 1000),
                    }
                )
            left_s -= length_s
        return events

    def _audio(self, item_id: str, delta: str) -> None:
        try:
            pcm = base64.b64decode(delta, validate=True)
        except binascii.Error:
            raise ValueError("audio that is not base64") from None
        frame = AudioFrame(pcm[: len(pcm) // 2 * 2], RATE, position=self._samples)
        self._samples = frame.end
        for item in self._items:
            if item.id == item_id:
                item.samples += frame.sample_count
        if self._held + frame.duration_s > MAX_BUFFERED_S:
            # Not over: the server goes on until its user, who is told, has left.
            text = f"more than {MAX_BUFFERED_S:g} s of its audio wait to be taken"
            self._end(ServiceError(text, service=self._service, fault="ours"))
        self._give(frame, frame.duration_s)

    def _say(self, text: str) -> None:
        self._transcript += text
        self._give(TextFrame(text))

    def _call(self, item: Mapping[str, Any]) -> None:
        try:
            arguments = parse_tool_arguments(self._service, item["name"], item["arguments"])
        except ServiceError as error:
            # The model's mistake costs this response only; its user, who is told, leaves.
            self._end(error)
            return
        call = ToolCall(item["call_id"], item["name"], arguments)
        self.calls.append(call)
        self._give(call)

    def _give(self, output: ModelOutput, seconds: float = 0.0) -> None:
        if not (self.is_cancelled or self._has_ended):
            self._put(output, seconds)

    def _done(self, response: Mapping[str, Any]) -> None:
        details = response.get("status_details") or {}
        match response.get("status"):
            case "failed":
                self.fail(error_of_event(self._service, details.get("error") or "the response failed"))
            case "incomplete" if details.get("reason") == "content_filter":
                text = "its filter stopped the response"
                self.fail(ServiceError(text, service=self._service, fault="ours"))
        self.end()
