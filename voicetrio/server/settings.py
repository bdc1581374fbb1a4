"""What a server allows, and what it does about time.  Every value has a safe default."""

from __future__ import annotations

import attrs

from voicetrio.connection.websocket import SocketLimits
from voicetrio.values import not_negative, positive

__all__ = ["SERVER_SOCKET_LIMITS", "ServerSettings"]

SERVER_SOCKET_LIMITS = SocketLimits(
    # Five times the audio of the highest rate, 48 kHz; the burst is what a stalled network lets go at once.
    max_bytes_per_s=512 * 1024,
    burst_bytes=4 << 20,
    max_messages_per_s=500,
    burst_messages=5000,
)
"""The bounds of a connection that strangers open."""


@attrs.frozen(kw_only=True)
class ServerSettings:
    """A server's parameters; times in seconds, ``math.inf`` where there is no limit."""

    max_sessions: int = attrs.field(default=100, validator=positive)
    """Sessions at once; who asks for one more is refused (503)."""
    max_handshakes: int = attrs.field(default=128, validator=positive)
    """Connections at once that have not yet said what they want; one more is refused unheard (503)."""
    max_lag_s: float = attrs.field(default=0.05, validator=positive)
    """While the event loop is that late, again and again, nobody new is let in (503)."""
    max_pool_wait_s: float = attrs.field(default=1.0, validator=positive)
    """While a call waits that long for a model, nobody new is let in (503)."""
    retry_after_s: int = attrs.field(default=5, validator=positive)
    """What who is refused is told to wait."""
    idle_s: float = attrs.field(default=300.0, validator=positive)
    """A client that sends no message for so long has its session ended."""
    max_session_s: float = attrs.field(default=3600.0, validator=positive)
    """A session that lasts longer is ended."""
    warn_s: float = attrs.field(default=30.0, validator=not_negative)
    """So long before that, ``SessionExpiring`` is told."""
    resume_s: float = attrs.field(default=20.0, validator=not_negative)
    """A client whose network was lost is waited for so long; 0: it is gone at once."""
    last_words_s: float = attrs.field(default=5.0, validator=not_negative)
    """So long before a drain's deadline, the sessions that are left are ended gracefully."""
    slow_step_s: float = attrs.field(default=0.005, validator=positive)
    """A step of a task that takes longer is counted, with the task's name."""
    lead_s: float = attrs.field(default=0.06, validator=positive)
    """How far ahead of the client's ear audio is sent."""
    limits: SocketLimits = SERVER_SOCKET_LIMITS
    """The bounds of each connection."""

    @property
    def rewind_s(self) -> float:
        """How much of a reply's past is kept for a client that may come back.

        What was written and never arrived: the outbox, the kernel's buffers, and what is on the way.
        """
        return 4.0 if self.resume_s > 0 else 0.0
