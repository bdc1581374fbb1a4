"""The seam: what a WebSocket is to whoever sends and receives messages on it.

Two things fit it: our own layer over any ``trio.abc.Stream`` (``StreamSocket``), and a connection that an
application already holds in ``trio-websocket`` (``adopt_trio_websocket``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, NoReturn, Protocol, TypeAlias

import attrs

from voicetrio.errors import TransportError
from voicetrio.values import positive

__all__ = [
    "HandshakeFailed",
    "Message",
    "MessageSocket",
    "SocketClosed",
    "SocketLimits",
    "SocketStatistics",
]

Message: TypeAlias = bytes | str
"""A whole message: bytes for a binary one, str for a text one."""


class HandshakeFailed(TransportError):
    """The opening handshake did not lead to a WebSocket.

    ``status`` is the HTTP status of the answer; None when there was none.  ``retry_after`` is that header's
    text, if the answer had one.
    """

    def __init__(self, why: str, *, status: int | None = None, retry_after: str | None = None) -> None:
        self.why = why
        self.status = status
        self.retry_after = retry_after
        super().__init__(why if status is None else f"{why} (HTTP {status})")


class SocketClosed(TransportError):
    """The connection is over.

    Attributes:
        code: the close code; None when no close frame was sent or received.
        reason: the close frame's text, or what happened.
        by: ``peer`` (it closed first), ``us`` (we did, also because the peer broke a rule), or
            ``network`` (it broke, or pings were not answered).
    """

    def __init__(self, code: int | None, reason: str, by: Literal["peer", "us", "network"]) -> None:
        self.code = code
        self.reason = reason
        self.by = by
        text = reason or {"peer": "the peer closed the connection", "us": "closed", "network": "lost"}[by]
        super().__init__(text if code is None else f"{text} (code {code})")


@attrs.frozen(kw_only=True)
class SocketLimits:
    """The bounds of one connection; times in seconds."""

    max_message_bytes: int = attrs.field(default=65536, validator=positive)
    """A longer message ends the connection with code 1009, before its payload is read."""
    max_fragments: int = attrs.field(default=1024, validator=positive)
    """A message in more pieces ends the connection with code 1009."""
    max_inbox_bytes: int = attrs.field(default=1 << 20, validator=positive)
    """Messages that wait to be received; a peer that sends more ends the connection with code 1008."""
    max_bytes_per_s: float = attrs.field(default=math.inf, validator=positive)
    """Bytes that the peer may send a second, of any kind; more ends the connection with code 1008."""
    burst_bytes: int = attrs.field(default=1 << 20, validator=positive)
    """So many it may send at once, as after a moment without network."""
    max_messages_per_s: float = attrs.field(default=math.inf, validator=positive)
    """Messages that the peer may send a second; more ends the connection with code 1008."""
    burst_messages: int = attrs.field(default=2000, validator=positive)
    """So many it may send at once."""
    keepalive_s: float = attrs.field(default=20.0, validator=positive)
    """From one ping to the next; ``math.inf`` for none."""
    keepalive_timeout_s: float = attrs.field(default=10.0, validator=positive)
    """A ping must be answered within this time, or the peer is gone."""
    close_s: float = attrs.field(default=2.0, validator=positive)
    """Writing a close frame and waiting for its answer take at most this; then the socket is dropped."""
    handshake_s: float = attrs.field(default=10.0, validator=positive)
    """The opening handshake takes at most this, from the first byte to the last."""
    max_handshake_bytes: int = attrs.field(default=16384, validator=positive)
    """An opening request that is longer, headers included, is refused with HTTP 431."""

    @property
    def stall_s(self) -> float:
        """How long a write of ours may make no progress, in seconds."""
        return self.keepalive_s + self.keepalive_timeout_s if self.keepalive_s < math.inf else math.inf


@attrs.frozen(kw_only=True)
class SocketStatistics:
    """Counts of one connection."""

    messages_sent: int
    messages_received: int
    bytes_sent: int
    """Payload only; of a text message its characters."""
    bytes_received: int
    """Payload only; of a text message its characters."""
    inbox_messages: int
    """Messages that wait to be received."""
    pings_answered: int
    """Pings of ours that the peer answered."""
    round_trip_s: float | None
    """Of the last answered ping, in seconds."""


class MessageSocket(Protocol):
    """A connection that carries whole messages, both ways.

    One task may be in ``receive`` at a time; any number may be in ``send``, one at a time writes.
    """

    @property
    def is_open(self) -> bool:
        """False from the moment that a close is sent, received, or the connection is lost."""
        ...

    @property
    def remote(self) -> str:
        """The peer's address, for logs."""
        ...

    @property
    def limits(self) -> SocketLimits:
        """The bounds of this connection."""
        ...

    async def send(self, message: Message | memoryview) -> None:
        """Write one message; return when the operating system has taken all of it.

        Raises trio.BrokenResourceError when the connection is over; ``receive`` tells why.  When it is
        cancelled before the first byte, nothing was written; cancelled later, the connection is aborted,
        so that a torn frame is never followed by another.
        """
        ...

    def try_send(self, make: Callable[[], Sequence[Message | memoryview]]) -> bool:
        """Write the messages that ``make`` makes without waiting; return False if that is not possible.

        Then ``make`` was not called: ``send`` them.  What the operating system does not take of them goes out
        before anything else.  Raises trio.BrokenResourceError when the connection breaks, and what ``make``
        raises.
        """
        ...

    def send_nowait(self, message: Message) -> bool:
        """Queue a small message that nobody waits for; return False if there is no room."""
        ...

    async def receive(self) -> Message:
        """Return the next message.

        Raises SocketClosed once, after the last message; called again it raises
        trio.ClosedResourceError.  Cancelling loses nothing.
        """
        ...

    async def listen(self, sink: Callable[[Message], object]) -> NoReturn:
        """Give each message to ``sink`` as it comes, until the connection is over; then raise SocketClosed.

        In place of ``receive``: no task is woken for a message.  ``sink`` is called in the caller's context
        variables, must be quick, and must not wait; what it raises is raised here.  Cancelling loses no
        message that ``sink`` was not given.
        """
        ...

    async def close(self, code: int = 1000, reason: str = "", *, wait_answer: bool = True) -> None:
        """Say goodbye and let go of the socket, within ``limits.close_s``.

        With ``wait_answer`` the peer's close frame is awaited; without, the socket is dropped as soon as
        ours is written.  Does nothing when the connection is over.  Cancelling drops the socket.
        """
        ...

    def abort(self) -> None:
        """Drop the connection without a goodbye; nothing is written from now on."""
        ...

    def statistics(self) -> SocketStatistics:
        """Return the counts so far."""
        ...
