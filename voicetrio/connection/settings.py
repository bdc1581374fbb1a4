"""The bounds of a connection to a service, and its counts."""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs

from voicetrio.connection.websocket.socket import Message, SocketLimits
from voicetrio.machines.reconnect import ConnectionState
from voicetrio.values import positive

__all__ = ["ConnectionSettings", "ConnectionStatistics", "Keepalive"]


@attrs.frozen(kw_only=True)
class ConnectionSettings:
    """The bounds of one connection; times in seconds."""

    connect_s: float = attrs.field(default=5.0, validator=positive)
    """One try takes at most this: name, TCP, TLS, proxy, the opening handshake, and the service's own."""
    send_s: float = attrs.field(default=5.0, validator=positive)
    """A message that is not taken within this time ends the stream."""
    close_s: float = attrs.field(default=1.0, validator=positive)
    """Writing what is queued, and then the closing handshake, take at most this each."""
    drain_s: float = attrs.field(default=10.0, validator=positive)
    """How long a stream that was replaced may finish the work it has."""
    ping_s: float = attrs.field(default=5.0, validator=positive)
    """From one ping of the protocol to the next; ``math.inf`` for none."""
    pong_s: float = attrs.field(default=1.0, validator=positive)
    """A ping that is not answered within this time means that the stream is lost."""
    max_message_bytes: int = attrs.field(default=1 << 22, validator=positive)
    """A longer message ends the stream."""
    max_inbox_bytes: int = attrs.field(default=1 << 24, validator=positive)
    """Messages that wait to be received; more end the stream."""
    max_queued_items: int = attrs.field(default=256, validator=positive)
    """Messages that wait to be written."""
    max_queued_s: float = attrs.field(default=5.0, validator=positive)
    """Audio that waits to be written; more drops the oldest."""

    def socket_limits(self) -> SocketLimits:
        """Return the bounds as the WebSocket layer takes them."""
        return SocketLimits(
            max_message_bytes=self.max_message_bytes,
            max_inbox_bytes=self.max_inbox_bytes,
            keepalive_s=self.ping_s,
            keepalive_timeout_s=self.pong_s,
            close_s=self.close_s,
            handshake_s=self.connect_s,
        )


@attrs.frozen
class Keepalive:
    """What a service wants to hear when nothing else is said.

    ``message`` is called when nothing was written for ``every_s`` seconds; None says nothing this time.
    """

    every_s: float = attrs.field(validator=positive)
    message: Callable[[], Message | None]

    @staticmethod
    def none() -> Keepalive:
        """Return the keepalive of a service that wants none."""
        return Keepalive(math.inf, lambda: None)


@attrs.frozen(kw_only=True)
class ConnectionStatistics:
    """Counts of one connection."""

    name: str
    state: ConnectionState
    dials: int
    """Attempts to open a stream, the first one among them."""
    tries: int
    """Attempts after failures: what the budgets count."""
    streams: int
    """Streams that were opened."""
    lost: int
    """Streams that ended otherwise than on purpose or unused."""
    messages_sent: int
    messages_received: int
    dropped_audio_s: float
    """Audio that was dropped because it was not taken in time."""
    queued_items: int
    round_trip_s: float | None
    """Of the last answered ping, in seconds."""
    last_end: str
    """What ended the last stream or attempt; empty if nothing has."""
