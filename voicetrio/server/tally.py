"""What became of a server's sessions: ends by reason, turns and how long they took, interruptions, drops."""

from __future__ import annotations

import logging
import re
from collections import Counter
from typing import Any, final

import trio

from voicetrio import events
from voicetrio.events import Event
from voicetrio.machines.histogram import Histogram
from voicetrio.server.peer import ServedPeer

__all__ = ["Tally"]

_log = logging.getLogger("voicetrio.server")

LATENCY_S = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
DURATION_S = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200)
MAX_PARTS = 128
"""So many parts and connections are told apart; further ones are counted as ``other``."""
COUNTED = {
    events.Interrupted: "interruptions",
    events.FalseInterruption: "false_interruptions",
    events.ReplyRetracted: "replies_retracted",
    events.PeerLost: "peers_lost",
    events.PeerBack: "peers_back",
    events.PlayoutSlipped: "playout_slips",
    events.WorkLost: "work_lost",
    events.TaskStuck: "tasks_stuck",
}
"""Events that are only counted, and what their count is called."""


NUMBER = re.compile(r"-\d+$")


def _count(counts: Counter[str], name: str, more: int) -> None:
    counts[name if name in counts or len(counts) < MAX_PARTS else "other"] += more


@final
class Tally:
    """Counts over all sessions of one server; a PeerObserver."""

    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()
        """Sessions that ended, by reason."""
        self.counts: Counter[str] = Counter()
        """Of events, by name."""
        self.failures: Counter[str] = Counter()
        """Failures, by the part that failed."""
        self.reconnects: Counter[str] = Counter()
        """Of connections to services, by connection."""
        self.frames_late = self.frames_blocked = self.frames_dropped_in = self.threads_abandoned = 0
        self.duration_s = Histogram(DURATION_S)
        self.turn_s = Histogram(LATENCY_S)
        """From a turn's end to its reply's first sample."""
        self.endpoint_s = Histogram(LATENCY_S)
        """From the last voiced sample to the turn's end."""
        self.stt_s = Histogram(LATENCY_S)
        """From the end of the last segment to its text."""
        self._turn_ended: dict[str, float] = {}

    def observe(self, peer: ServedPeer, event: Event) -> None:
        """Count ``event`` of the session of ``peer``."""
        kind = type(event)
        name = COUNTED.get(kind)
        if name is not None:
            self.counts[name] += 1
        elif isinstance(event, events.TurnEnded):
            self.counts["turns"] += 1
            self._turn_ended[peer.name] = trio.current_time()
            self.endpoint_s.add(event.waited_s)
            if event.stt_s is not None:
                self.stt_s.add(event.stt_s)
        elif isinstance(event, events.ReplyAudible):
            ended_at = self._turn_ended.pop(peer.name, None)
            if ended_at is not None:
                self.turn_s.add(trio.current_time() - ended_at)
        elif isinstance(event, events.Failure):
            # Of replies there is no end: their numbers say nothing over many sessions.
            part = event.where if event.where.startswith("tool ") else NUMBER.sub("", event.where)
            _count(self.failures, part, 1 + event.repeated)
        elif isinstance(event, events.ConnectionChanged):
            if event.new == "backoff":
                _count(self.reconnects, event.connection, 1)
        elif isinstance(event, events.LinkDropped):
            self.counts["link_items_dropped"] += event.items

    def session_over(self, peer: ServedPeer, session: Any) -> None:
        """Count and log how ``session`` ended."""
        self._turn_ended.pop(peer.name, None)
        result = session.result
        counters = result.counters
        self.ends[result.reason] += 1
        self.frames_late += counters.ticks_late
        self.frames_blocked += counters.ticks_blocked
        self.frames_dropped_in += counters.frames_dropped_in
        self.threads_abandoned += len(result.abandoned)
        self.duration_s.add(trio.current_time() - session.opened_at)
        _log.info(
            "%s: %s ended: %s%s%s",
            peer.name,
            session.name,
            result.reason,
            f", late: {', '.join(result.late)}" if result.late else "",
            f", abandoned threads: {', '.join(result.abandoned)}" if result.abandoned else "",
        )
