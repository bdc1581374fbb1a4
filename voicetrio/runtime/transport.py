"""How a session reaches its peer: the seam that every transport fits.

A transport is run once, by its session, in the session's outer nursery.  It reads the peer and gives what
it reads to the *inbound* side; it takes operations from the *outbox*, one at a time, and writes them.
It never waits on a consumer of its reading, and it is the only one that writes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias

import attrs

from voicetrio.events import Event
from voicetrio.frames import AudioFrame
from voicetrio.values import Value

__all__ = [
    "Clear",
    "HangUp",
    "Inbound",
    "Mark",
    "Observant",
    "Operation",
    "OutboxReader",
    "SendAudio",
    "SendDtmf",
    "SendMessage",
    "Traits",
    "Transport",
]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Traits(Value):
    """What a peer can do, as its transport declares it."""

    input_rate: int = 16000
    """Hertz of the mono audio that comes in: the capture clock."""
    output_rate: int = 24000
    """Hertz of the mono audio that goes out: the playout clock."""
    lead_s: float = 0.06
    """How far ahead of the peer's ear the playout writes, in seconds."""
    burst_s: float = 0.0
    """How much audio may be written at once while a reply has it ready, in seconds.

    Less work for both ends, and on average half as much more on its way to the ear, so it counts only where
    the peer ``can_clear``.  One tick is written at once in any case.
    """
    can_clear: bool = True
    """The peer can drop what it has not played yet."""
    can_pause: bool = False
    """The peer can hold what it has not played yet."""
    confirms: bool = False
    """The peer tells what it has played, so that *heard* is exact."""
    latency_s: float = 0.0
    """Estimate of the way to the peer's ear beyond the lead, in seconds."""
    echo: Literal["none", "peer_cancels", "open"] = "peer_cancels"
    """Whether the agent's voice can come back in the peer's microphone."""
    rewind_s: float = 0.0
    """How far back it may ask to hear again, in seconds: for a peer that can be lost and come back."""
    live: bool = True
    """Audio comes at the pace of a clock; a file that is read as fast as possible is not live."""


# --- operations: what goes out, in order -----------------------------------------------------------


@attrs.frozen(eq=False, repr=False)
class SendAudio(Value):
    """One tick's audio; ``frame.position`` lies on the playout clock."""

    frame: AudioFrame


@attrs.frozen(eq=False, repr=False)
class Mark(Value):
    """Ask the peer to confirm when it has played up to ``position``."""

    epoch: int
    position: int


@attrs.frozen(eq=False, repr=False)
class Clear(Value):
    """The peer shall drop what it has not played; what comes next starts at ``position``."""

    epoch: int
    """Counts clears: a confirmation with an older epoch never counts."""
    position: int


@attrs.frozen(eq=False, repr=False)
class SendDtmf(Value):
    """Send a key's tone."""

    digit: str


@attrs.frozen(eq=False, repr=False)
class SendMessage(Value):
    """Send an application's message, or one of the session's own events: anything that JSON can carry."""

    data: Any


@attrs.frozen(eq=False, repr=False)
class HangUp(Value):
    """Say goodbye, then return from ``run``.  Always the last operation."""

    code: int = 1000
    reason: str = ""


Operation: TypeAlias = SendAudio | Mark | Clear | SendDtmf | SendMessage | HangUp
"""What an outbox can hold."""


class OutboxReader(Protocol):
    """The transport's end of the outbox."""

    async def next(self, at_once: Callable[[Operation], bool] | None = None) -> Operation:
        """Wait for the next operation to write.

        While it waits, what comes is given to ``at_once``, if there is one: it returns True when it has
        written the operation there and then, in the step that made it, and the wait goes on.  It must not
        raise; what it does not write is returned from here.

        Once the session was cancelled nothing is given any more: the call waits to be cancelled.
        Between its return and the write there must be no other checkpoint.
        """
        ...

    def written(self, operation: Operation) -> None:
        """Tell that ``operation`` was handed to the network (or the file) completely."""
        ...


class Inbound(Protocol):
    """Where a transport puts what it reads."""

    async def send(self, frame: AudioFrame) -> None:
        """Give audio, and wait for room: only for a source that is not live."""
        ...

    def send_nowait(self, frame: AudioFrame) -> None:
        """Give audio of a live source.

        Never blocks: when the session lags, the oldest is dropped and counted.
        """
        ...

    def confirm(self, epoch: int, position: int) -> None:
        """The peer has played up to ``position`` (playout clock).

        Ignored if ``epoch`` is not the current one.
        """
        ...

    def tell(self, event: Event) -> None:
        """The peer pressed a key (Dtmf), or sent a message (MessageReceived)."""
        ...

    def source_ended(self) -> None:
        """The peer will send no more audio; the session begins to end."""
        ...

    def end(self, reason: str, grace: float | None = None) -> None:
        """Ask the session to end, as its owner would with ``session.end``."""
        ...

    def lost(self) -> None:
        """The peer cannot be reached for now: the playout's clock stands still until it is ``back``."""
        ...

    def back(self, reported: tuple[int, int] | None = None) -> tuple[int, int]:
        """The peer is there again: what it has not heard is played again.

        ``reported`` is the epoch and the position up to which it says it has played.  Returns the new epoch,
        and the position of the next sample that it will be sent.
        """
        ...


class Transport(Protocol):
    """A way to one peer, used by one session, once."""

    @property
    def name(self) -> str:
        """The peer's name, for logs."""
        ...

    @property
    def traits(self) -> Traits:
        """What the peer can do; final when the session opens."""
        ...

    async def run(self, inbound: Inbound, outbox: OutboxReader) -> None:
        """Read and write until the outbox says HangUp, then return.

        Raises PeerGone when the peer leaves first.  When cancelled, it says goodbye without
        awaiting the answer, in ``cleanup()``'s scope, and lets go of what it opened.
        """
        ...


class Observant(Protocol):
    """What a transport may have beside, to know about its session; each method is optional.

    They are called synchronously by the session, so they must be quick; what they raise is counted only.
    """

    def observe(self, event: Event) -> None:
        """The session told ``event``."""
        ...

    def session_over(self, session: Any) -> None:
        """The session is over; ``session.result`` and ``session.statistics()`` are complete."""
        ...

    def take_for_lost(self, why: str) -> bool:
        """The peer takes nothing any more: return True to have it lost, and not gone."""
        ...
