"""What a vendor's recogniser says, and how it is spoken to: the seam between it and ``streaming_stt``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import attrs

from voicetrio.connection.websocket.socket import Message
from voicetrio.errors import ServiceError

__all__ = ["Finalized", "Finished", "Heard", "HearingAnswer", "HearingWire", "NotTaken"]


@attrs.frozen(kw_only=True)
class Heard:
    """A hypothesis about a stretch of the stream; times in seconds from the stream's first sample."""

    text: str
    final: bool
    start_s: float | None = None
    """None: where the hypothesis before it ended."""
    end_s: float | None = None
    """None: as far as audio was given."""
    words: Sequence[tuple[str, float, float]] = ()
    """``(word, start_s, end_s)``, with the text's punctuation."""
    ends_turn: bool = False
    """The vendor holds the turn for over."""
    drafts_turn: bool = False
    """It expects that the turn ends here, and may take that back."""
    joins: bool = False
    """Its text continues the one before without a space."""


@attrs.frozen
class Finalized:
    """What was asked to be finalized, the oldest first, is."""


@attrs.frozen
class Finished:
    """The vendor has told all it will tell."""


@attrs.frozen
class NotTaken:
    """The vendor did not take a change of its options; the stream goes on as it was."""

    error: ServiceError


HearingAnswer: TypeAlias = Heard | Finalized | Finished | NotTaken
"""What a vendor's message means."""


class HearingWire(Protocol):
    """How one vendor's socket is spoken to; no I/O."""

    def opened(self) -> None:
        """A new stream begins."""
        ...

    def audio(self, pcm: bytes) -> Message:
        """Return the message that carries ``pcm``: s16le, mono."""
        ...

    def finalize(self) -> Message | None:
        """Return what asks for the final text of all audio so far; None if the vendor has nothing for it."""
        ...

    def finish(self) -> Message | None:
        """Return what ends the stream, after which the vendor tells the rest and Finished."""
        ...

    def read(self, message: Message) -> Sequence[HearingAnswer]:
        """Return what ``message`` means.

        Raises ServiceError when it ends the stream; one that is not transient ends the connection.
        """
        ...
