"""Wire formats without I/O: what a peer sent, in and out of bytes and text; one module a wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import attrs

from voicetrio.events import Dtmf, MessageReceived
from voicetrio.frames import AudioFrame
from voicetrio.runtime.transport import Operation, Traits

__all__ = ["Hello", "Leaving", "Malformed", "Played", "Received", "Serializer"]


@attrs.frozen
class Hello:
    """The client introduced itself; ``client`` is what it calls itself."""

    client: str = ""


@attrs.frozen
class Played:
    """The client has played up to ``position`` (playout clock, samples) since clear number ``epoch``."""

    epoch: int
    position: int


@attrs.frozen
class Leaving:
    """The client will send no more audio: it hangs up gracefully."""


@attrs.frozen
class Malformed:
    """A message that cannot be understood; the rest of the stream is not touched by it."""

    code: str
    """One word for programs."""
    message: str
    """One sentence for people: what is wrong and what was expected."""
    close_code: int = 1008
    """What the connection is closed with when it happens too often."""


Received: TypeAlias = AudioFrame | Dtmf | MessageReceived | Hello | Played | Leaving | Malformed
"""What one message can mean."""


class Serializer(Protocol):
    """One connection's wire format; has the little state that a wire needs (positions), and no I/O."""

    @property
    def traits(self) -> Traits:
        """What a peer on this wire can do."""
        ...

    def greet(self, session: str) -> Sequence[bytes | str]:
        """Return what is sent first."""
        ...

    def decode(self, message: bytes | str) -> Received | None:
        """Return what ``message`` means; None for nothing.  Never raises for what a peer sends."""
        ...

    def encode(self, operation: Operation) -> Sequence[bytes | str | memoryview]:
        """Return the messages that carry ``operation``, in order; none where the wire has no word for it.

        Raises LocalProtocolError when it cannot be carried.
        """
        ...

    def complain(self, malformed: Malformed) -> str:
        """Return the message that tells the peer what was wrong."""
        ...
