"""One response of the stand-in's speech-to-speech model: its items, and the order of its events."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final, Protocol, final

import attrs
import trio

from voicetrio.services.llm import ToolCall
from voicetrio.testing.scripted import Answer
from voicetrio.testing.standins.openai_audio import RATE, WORD_S, speak_words

__all__ = ["ActiveResponse", "ResponseHost"]

WORD_BYTES: Final = round(WORD_S * RATE) * 2


class _Timing(Protocol):
    first_audio_s: float
    word_s: float
    late_words: int


class ResponseHost(Protocol):
    """What a response needs of its session."""

    items: dict[str, dict[str, Any]]
    audio_ms: dict[str, float]
    session: dict[str, Any]

    @property
    def script(self) -> _Timing:
        """How fast it speaks."""
        ...

    def new_id(self, kind: str) -> str:
        """Return an id that was not used before."""
        ...

    async def send(self, type: str, **fields: Any) -> None:
        """Send one event."""
        ...


@attrs.define
class _Message:
    """A message item while it is spoken."""

    item: dict[str, Any]
    index: int
    audio: bytes
    words: list[str]
    spoken: int = 0


@final
class ActiveResponse:
    """A response while it is made."""

    def __init__(self, host: ResponseHost, id: str, options: Mapping[str, Any], *, apart: bool) -> None:
        self.id = id
        self._host = host
        self._apart = apart
        self._texts = (options.get("output_modalities") or host.session["output_modalities"]) == ["text"]
        self._metadata = options.get("metadata")
        self._output: list[dict[str, Any]] = []
        self._stopped = trio.Event()
        self._why: str | None = None

    def cancel(self, why: str) -> None:
        """Stop it: what was sent stays, and it ends as cancelled."""
        if self._why is None:
            self._why = why
            self._stopped.set()

    async def tell_created(self) -> None:
        """Say that it began."""
        await self._host.send("response.created", response=self._value("in_progress"))

    async def make(self, answer: Answer) -> None:
        """Say ``answer``, then how it ended."""
        await self._pause(self._host.script.first_audio_s)
        for part in [answer] if isinstance(answer, str) else answer:
            if self._why is not None:
                break
            match part:
                case str():
                    await self._say(self._new_message(part))
                case ToolCall():
                    await self._call(part)
                case float():
                    await self._pause(part)
                case _:
                    raise TypeError(f"a response cannot say {part!r}")
        await self._host.send("response.done", response=self._value(self._status))
        await self._host.send("rate_limits.updated", rate_limits=[])

    @property
    def _status(self) -> str:
        return "completed" if self._why is None else "cancelled"

    # --- a message ---

    def _new_message(self, text: str) -> _Message:
        part = (
            {"type": "output_text", "text": ""} if self._texts else {"type": "output_audio", "transcript": ""}
        )
        item = {
            "id": self._host.new_id("item"),
            "object": "realtime.item",
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
            "_part": part,
        }
        self._output.append(item)
        return _Message(item, len(self._output) - 1, speak_words(text).tobytes(), text.split())

    async def _pause(self, seconds: float) -> None:
        """Wait, but not beyond a cancel."""
        with trio.move_on_after(seconds):
            await self._stopped.wait()
        await trio.lowlevel.checkpoint()

    async def _say(self, message: _Message) -> None:
        await self._begin_message(message)
        while message.spoken < len(message.words) and self._why is None:
            await self._say_word(message)
            await self._pause(self._host.script.word_s)
        if self._why is not None:
            for _ in range(min(self._host.script.late_words, len(message.words) - message.spoken)):
                await self._say_word(message)
        await self._end_message(message)

    async def _begin_message(self, message: _Message) -> None:
        item = message.item
        part = item.pop("_part")
        await self._tell_item("response.output_item.added", message.index, item)
        if not self._apart:
            previous = next(reversed(self._host.items), None)
            self._host.items[item["id"]] = item
            await self._host.send("conversation.item.added", previous_item_id=previous, item=item)
        if not self._texts:
            self._host.audio_ms[item["id"]] = 0.0
        item["content"] = [part]
        shown = {"type": "text", "text": ""} if self._texts else {"type": "audio", "transcript": ""}
        await self._tell("response.content_part.added", message, part=shown)

    async def _say_word(self, message: _Message) -> None:
        index = message.spoken
        text = message.words[index] if not index else f" {message.words[index]}"
        message.spoken += 1
        part = message.item["content"][0]
        if self._texts:
            part["text"] += text
            await self._tell("response.output_text.delta", message, delta=text)
            return
        part["transcript"] = part.get("transcript", "") + text
        await self._tell("response.output_audio_transcript.delta", message, delta=text)
        audio = message.audio[index * WORD_BYTES : (index + 1) * WORD_BYTES]
        self._host.audio_ms[message.item["id"]] += WORD_S * 1000
        await self._tell("response.output_audio.delta", message, delta=base64.b64encode(audio).decode())

    async def _end_message(self, message: _Message) -> None:
        item = message.item
        item["status"] = "completed" if self._why is None else "incomplete"
        part = item["content"][0]
        if self._texts:
            await self._tell("response.output_text.done", message, text=part["text"])
            shown = {"type": "text", "text": part["text"]}
        else:
            transcript = part.get("transcript", "")
            await self._tell("response.output_audio.done", message)
            await self._tell("response.output_audio_transcript.done", message, transcript=transcript)
            shown = {"type": "audio", "transcript": transcript}
        await self._tell("response.content_part.done", message, part=shown)
        await self._end_item(message.index, item)

    # --- a call ---

    async def _call(self, call: ToolCall) -> None:
        arguments = json.dumps(dict(call.arguments))
        item = {
            "id": self._host.new_id("item"),
            "object": "realtime.item",
            "type": "function_call",
            "status": "in_progress",
            "call_id": call.id,
            "name": call.name,
            "arguments": "",
        }
        self._output.append(item)
        index = len(self._output) - 1
        await self._tell_item("response.output_item.added", index, item)
        previous = next(reversed(self._host.items), None)
        self._host.items[str(item["id"])] = item
        await self._host.send("conversation.item.added", previous_item_id=previous, item=item)
        place = {
            "response_id": self.id,
            "item_id": item["id"],
            "output_index": index,
            "call_id": call.id,
        }
        await self._host.send("response.function_call_arguments.delta", **place, delta=arguments)
        item.update(arguments=arguments, status="completed")
        await self._host.send(
            "response.function_call_arguments.done", **place, name=call.name, arguments=arguments
        )
        await self._end_item(index, item)

    # --- events ---

    async def _end_item(self, index: int, item: dict[str, Any]) -> None:
        if not self._apart:
            await self._host.send("conversation.item.done", previous_item_id=None, item=item)
        await self._tell_item("response.output_item.done", index, item)

    async def _tell_item(self, type: str, index: int, item: dict[str, Any]) -> None:
        await self._host.send(type, response_id=self.id, output_index=index, item=item)

    async def _tell(self, type: str, message: _Message, **fields: Any) -> None:
        place = {
            "response_id": self.id,
            "item_id": message.item["id"],
            "output_index": message.index,
            "content_index": 0,
        }
        await self._host.send(type, **place, **fields)

    def _value(self, status: str) -> dict[str, Any]:
        over = status != "in_progress"
        words = sum(len(str(item.get("content", ""))) for item in self._output)
        usage = {"total_tokens": words, "input_tokens": 0, "output_tokens": words} if over else None
        details = {"type": "cancelled", "reason": self._why} if status == "cancelled" else None
        return {
            "id": self.id,
            "object": "realtime.response",
            "status": status,
            "status_details": details,
            "output": self._output if over else [],
            "conversation_id": None if self._apart else "conv_standin",
            "output_modalities": ["text"] if self._texts else ["audio"],
            "max_output_tokens": "inf",
            "usage": usage,
            "metadata": self._metadata,
        }
