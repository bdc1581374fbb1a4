"""What a vendor's voice says, and how it is spoken to: the seam between a vendor and ``streaming_tts``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import attrs

from voicetrio.connection.websocket.socket import Message
from voicetrio.errors import ServiceError

__all__ = [
    "ContextDone",
    "ContextFailed",
    "Sound",
    "StretchSpoken",
    "VoiceAnswer",
    "VoiceItem",
    "VoiceWire",
    "WordTimes",
]


@attrs.frozen
class Sound:
    """Audio of one context: s16le, mono."""

    context: str
    pcm: bytes = attrs.field(repr=lambda pcm: f"<{len(pcm)} bytes>")
    stretch: str | None = None
    """The text that it is a part of, from a vendor that tells that and no word times."""


@attrs.frozen
class WordTimes:
    """Words of one context: ``(word, start_s, end_s)``, in seconds from the context's first sample."""

    context: str
    words: Sequence[tuple[str, float, float]]


@attrs.frozen
class StretchSpoken:
    """All audio of ``text``, the next that the context was given, has come."""

    context: str
    text: str


@attrs.frozen
class ContextDone:
    """The vendor will send nothing more for the context."""

    context: str


@attrs.frozen
class ContextFailed:
    """The vendor says that one context failed."""

    context: str
    error: ServiceError


VoiceAnswer: TypeAlias = Sound | WordTimes | StretchSpoken | ContextDone | ContextFailed
"""What a vendor's message means."""
VoiceItem: TypeAlias = Sound | WordTimes | StretchSpoken


class VoiceWire(Protocol):
    """How one vendor's socket is spoken to; no I/O.  Messages are sent as they are returned, in order."""

    @property
    def rate(self) -> int:
        """Hertz of the audio."""
        ...

    def say(self, context: str, text: str) -> Sequence[Message]:
        """Give ``text`` to the context; the first call opens it."""
        ...

    def end(self, context: str) -> Sequence[Message]:
        """The context is given nothing more."""
        ...

    def is_done(self, context: str) -> bool:
        """Tell whether nothing more will come for a context that was just ended."""
        ...

    def cancel(self, context: str) -> Message:
        """The context is not wanted any more."""
        ...

    def lost(self) -> None:
        """The stream is over, and with it whatever was on it."""
        ...

    def read(self, message: Message) -> Sequence[VoiceAnswer]:
        """Return what ``message`` means.

        Raises ServiceError when it ends the stream; one that is not transient ends the connection.
        """
        ...
