"""How a session ended: the one value that is complete when its block is left."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from voicetrio.runtime.emit import HubStatistics
from voicetrio.runtime.inbound import InboundStatistics
from voicetrio.runtime.links import LinkStatistics
from voicetrio.runtime.outbox import OutboxStatistics
from voicetrio.runtime.playout import PlayoutStatistics
from voicetrio.values import Value

__all__ = ["SessionCounters", "SessionEnd", "SessionSettings", "SessionStatistics"]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SessionSettings(Value):
    """What a session does about time."""

    grace_extra_s: float = 2.0
    """Default grace of ``end``: the audio still to play, and this many seconds."""
    grace_max_s: float = 15.0
    """The default grace is never longer, in seconds."""
    close_s: float = 1.0
    """How long cleaning up may take, in seconds."""
    stall_s: float = 5.0
    """A peer that takes nothing for so many seconds is gone."""
    outbox_s: float = 0.5
    """Seconds of audio that may wait for the network."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SessionCounters(Value):
    """What a session counted."""

    frames_in: int
    seconds_in: float
    frames_refused: int
    """Audio that came after the session began to end."""
    frames_dropped_in: int
    """Audio that a lagging behaviour did not take in time."""
    ticks: int
    ticks_blocked: int
    ticks_late: int
    """Ticks for which the event loop came a whole frame or more too late."""
    slips: int
    slipped_s: float
    clears: int
    cut_samples: Mapping[str, int]
    """By reply: samples that were accepted and not played by ``drain_by``."""
    operations_written: int
    operations_dropped: int
    events_told: int
    events_dropped: int
    failures_folded: int
    """Failures like one that was told before: counted only."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SessionEnd(Value):
    """Why and how a session ended."""

    reason: str
    """``ended``, ``cancelled``, ``peer_gone``, ``source_ended``, ``completed``, ``failed``, or the
    application's own reason."""
    late: tuple[str, ...]
    """What was not finished by its deadline, by name."""
    error: Exception | None
    """What failed; several failures are one SessionError."""
    abandoned: tuple[str, ...]
    """Threads that were still running when the session left them behind."""
    counters: SessionCounters


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SessionStatistics(Value):
    """A session at this moment."""

    name: str
    state: str
    playout: PlayoutStatistics
    outbox: OutboxStatistics
    inbound: InboundStatistics
    inlet: LinkStatistics
    events: HubStatistics

    def counters(self, *, cut_samples: Mapping[str, int], failures_folded: int) -> SessionCounters:
        """Return what of it is told of a session that is over."""
        return SessionCounters(
            frames_in=self.inbound.frames,
            seconds_in=self.inbound.seconds,
            frames_refused=self.inbound.refused_frames,
            frames_dropped_in=self.inlet.dropped_items,
            ticks=self.playout.ticks,
            ticks_blocked=self.playout.blocked_ticks,
            ticks_late=self.playout.late_ticks,
            slips=self.playout.slips,
            slipped_s=self.playout.slipped_s,
            clears=self.playout.clears,
            cut_samples=dict(cut_samples),
            operations_written=self.outbox.written_items,
            operations_dropped=self.outbox.dropped_items,
            events_told=self.events.told,
            events_dropped=self.events.dropped,
            failures_folded=failures_folded,
        )
