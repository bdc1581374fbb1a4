"""The wire of OpenAI's Realtime API (the GA names), without I/O: what the client says.

Every event of ours that may be refused has an ``event_id``, so that the error that answers it finds its way.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import attrs
from attrs import validators

from voicetrio.connection.answers import check_json_object
from voicetrio.connection.websocket.socket import Message
from voicetrio.errors import ServiceError
from voicetrio.services.llm import ToolSpec
from voicetrio.services.openai.wire import tool_json

__all__ = [
    "NUMBER",
    "RATE",
    "RealtimeSettings",
    "append_audio",
    "create_response",
    "parse_event",
    "result_item",
    "session_update",
    "text_item",
    "to_text",
]

RATE: Final = 24000
"""Hertz of the API's ``audio/pcm``, both ways."""
NUMBER: Final = "voicetrio_response"
"""Where a response's metadata holds our number of it."""


@attrs.frozen(kw_only=True)
class RealtimeSettings:
    """How a Realtime session hears and speaks."""

    voice: str = "alloy"
    speed: float | None = None
    transcription_model: str = "gpt-4o-mini-transcribe"
    """Makes the user's words, by which turns are decided."""
    language: str | None = None
    """Of the user's speech, in two letters."""
    detection: Literal["server_vad", "semantic_vad"] = attrs.field(
        default="server_vad", validator=validators.in_(("server_vad", "semantic_vad"))
    )
    """Where speech is, by its sound or by its sense."""
    threshold: float = attrs.field(default=0.5, validator=[validators.ge(0.0), validators.le(1.0)])
    """Of the server's VAD."""
    prefix_padding_s: float = attrs.field(default=0.3, validator=validators.ge(0.0))
    """Audio before speech that belongs to it, in seconds."""
    silence_s: float = attrs.field(default=0.5, validator=validators.gt(0.0))
    """Silence that ends speech, in seconds."""
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    """Of the semantic VAD."""
    noise_reduction: Literal["near_field", "far_field"] | None = None
    options: Mapping[str, Any] = attrs.field(factory=dict)
    """Further fields of the session (``max_output_tokens``, ``truncation``, …)."""

    @property
    def by_sound(self) -> bool:
        """Whether the server's VAD goes by sound, with paddings that are known."""
        return self.detection == "server_vad"


def session_update(
    settings: RealtimeSettings, instructions: str, tools: Sequence[ToolSpec]
) -> dict[str, Any]:
    """Return the event that makes a new session what we want.

    The server hears, and does nothing by itself: when to answer and what to stop is decided here.
    """
    detection: dict[str, Any] = {
        "type": settings.detection,
        "create_response": False,
        "interrupt_response": False,
    }
    if settings.by_sound:
        detection["threshold"] = settings.threshold
        detection["prefix_padding_ms"] = round(settings.prefix_padding_s * 1000)
        detection["silence_duration_ms"] = round(settings.silence_s * 1000)
    else:
        detection["eagerness"] = settings.eagerness
    transcription = {"model": settings.transcription_model}
    if settings.language is not None:
        transcription["language"] = settings.language
    hearing: dict[str, Any] = {
        "format": {"type": "audio/pcm", "rate": RATE},
        "transcription": transcription,
        "turn_detection": detection,
    }
    if settings.noise_reduction is not None:
        hearing["noise_reduction"] = {"type": settings.noise_reduction}
    speaking: dict[str, Any] = {"format": {"type": "audio/pcm", "rate": RATE}, "voice": settings.voice}
    if settings.speed is not None:
        speaking["speed"] = settings.speed
    session = {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": instructions,
        "tools": [{"type": "function", **tool_json(tool)} for tool in tools],
        "tool_choice": "auto",
        "audio": {"input": hearing, "output": speaking},
        **settings.options,
    }
    return {"type": "session.update", "session": session}


def append_audio(pcm: bytes | memoryview) -> str:
    """Return the event that gives audio, as text."""
    return to_text({"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm).decode()})


def text_item(role: Literal["user", "assistant", "system"], text: str) -> dict[str, Any]:
    """Return the event that adds a message to the conversation."""
    part = {"type": "output_text" if role == "assistant" else "input_text", "text": text}
    return {
        "type": "conversation.item.create",
        "event_id": "item",
        "item": {"type": "message", "role": role, "content": [part]},
    }


def result_item(call_id: str, result: str) -> dict[str, Any]:
    """Return the event that gives the result of a call."""
    item = {"type": "function_call_output", "call_id": call_id, "output": result}
    return {"type": "conversation.item.create", "event_id": "result", "item": item}


def create_response(number: int, text: str | None, *, may_call: bool = True) -> dict[str, Any]:
    """Return the event that asks for a response; ``text`` is to be said beside the conversation."""
    response: dict[str, Any] = {"metadata": {NUMBER: str(number)}}
    if not may_call:
        response["tool_choice"] = "none"
    if text is not None:
        response.update(
            conversation="none",
            input=[],
            tools=[],
            tool_choice="none",
            instructions=f'Say exactly the following, word for word, and nothing else: "{text}"',
        )
    return {"type": "response.create", "event_id": f"create-{number}", "response": response}


def to_text(event: Mapping[str, Any]) -> str:
    """Return an event as it is sent."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def parse_event(service: str, message: Message) -> dict[str, Any]:
    """Return an event of the server.  Raises ServiceError for what is none."""
    if isinstance(message, bytes):
        raise ServiceError("sent bytes where an event belongs", service=service, transient=True)
    try:
        event = check_json_object(service, message)
    except ServiceError as error:
        # The next stream may be better.
        raise ServiceError(str(error).removeprefix(f"{service}: "), service=service, transient=True) from None
    if not isinstance(event.get("type"), str):
        raise ServiceError("sent an event without a type", service=service, transient=True)
    return event
