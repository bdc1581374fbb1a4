"""What can be set about a speech server."""

from __future__ import annotations

import math

import attrs
from attrs import validators

__all__ = ["SpeechSettings"]


@attrs.frozen(kw_only=True)
class SpeechSettings:
    """Limits and defaults; those of time are in seconds."""

    max_input_chars: int = attrs.field(default=4096, validator=validators.ge(1))
    """Of a text, its markup included; OpenAI's limit."""
    max_streamed_chars: int = attrs.field(default=100_000, validator=validators.ge(1))
    """Of the text that comes over one WebSocket."""
    text_stall_s: float = attrs.field(default=60.0, validator=validators.gt(0))
    """Longest silence of the client on a WebSocket."""
    max_upload_bytes: int = attrs.field(default=25 * 1024 * 1024, validator=validators.ge(1))
    """Of a recording; OpenAI's limit."""
    max_recording_s: float = attrs.field(default=3600.0, validator=validators.gt(0))
    """Of a recording when it is decoded, whatever the size of its file."""
    max_active: int = attrs.field(default=64, validator=validators.ge(1))
    """Requests that are worked on at once."""
    max_waiting: int = attrs.field(default=64, validator=validators.ge(0))
    """Requests that wait for one of those; more are refused with 503."""
    max_active_a_key: int = attrs.field(default=64, validator=validators.ge(1))
    """Requests of one key, worked on or waiting; more are refused with 429.  Without keys it holds for a
    peer."""
    requests_a_minute: float = attrs.field(default=math.inf, validator=validators.gt(0))
    """Of one key, or one peer; more are refused with 429."""
    upload_stall_s: float = attrs.field(default=30.0, validator=validators.gt(0))
    """Longest silence within a request's body."""
    stall_s: float = attrs.field(default=20.0, validator=validators.gt(0))
    """Longest time that a client may take to read 64 KiB."""
    idle_s: float = attrs.field(default=math.inf, validator=validators.gt(0))
    """A model that was not used for so long is unloaded."""
    rate: int = attrs.field(
        default=24_000, validator=validators.and_(validators.ge(8000), validators.le(48_000))
    )
    """Hertz of the audio, where the format allows it and the request asks for nothing else; OpenAI's rate."""
