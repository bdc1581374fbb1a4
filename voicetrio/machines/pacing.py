"""When the playout's frames are due, and when the peer's ear has them.

The rules:

1. The sample at position ``p`` is due at ``t0 + p / rate``: an absolute deadline, so that no error adds up.
2. The peer buffers ``lead_s`` before it begins to play, so what is due at ``t`` is heard at
   ``t + lead_s - frame_s + latency_s``.
3. After a delay of at most the lead the playout catches up: it owes frames, and sends them at once.
4. After a longer delay the peer has run dry.  The playout sends one lead's worth, moves ``t0``, and counts
   the slip.  Speech is delayed by it, never lost.
   While the peer takes nothing the clock is left alone, so that one stall is one slip, as long as the stall.
5. When the peer's buffer was emptied on purpose (a clear), or nothing was sent for a while, the playout
   begins as after a delay: with one lead's worth at once.
6. Several frames may be made at once, when the first of them is due; the deadlines of those that follow
   stay where they are.
7. A slip is told at once; those of the next second are told together at its end.  A peer that is always too
   slow would else be told of many times a second.
"""

from __future__ import annotations

import math
from typing import Final, final

__all__ = ["Pacer", "SlipReport"]

TOLD_EVERY_S: Final = 1.0
"""How long the slips after one that was told are collected."""


@final
class Pacer:
    """The playout's clock.

    Args:
        rate: samples a second.
        frame: samples a tick.
        lead_s: how far ahead of the ear the peer lets us write, in seconds.
        latency_s: the way to the ear beyond the lead, in seconds.
    """

    def __init__(self, rate: int, frame: int, *, lead_s: float, latency_s: float = 0.0) -> None:
        self._rate = rate
        self._frame = frame
        self._frame_s = frame / rate
        self._lead_s = max(lead_s, self._frame_s)
        self._ear_delay_s = self._lead_s - self._frame_s + latency_s
        self._anchor_position = 0
        self._anchor_time = 0.0
        self.position = 0
        """The first sample of the next frame."""
        self.due = 0.0
        """When the next frame is due."""
        self.slipped_s = 0.0
        """How far ``t0`` was moved because of delays, in all."""
        self.slips = 0

    def start(self, now: float) -> None:
        """Let the next frame be due now; nothing is owed."""
        self._anchor(now)

    def refill(self, now: float) -> None:
        """The peer's buffer is empty: owe it one lead's worth of frames now (rule 5)."""
        self._anchor(now - (self._lead_s - self._frame_s))

    def advance(self, frames: int = 1) -> None:
        """So many frames from ``position`` on were made."""
        self._move(self.position + frames * self._frame)

    def rewind(self, position: int) -> None:
        """Samples from ``position`` on were taken back before they were written."""
        self._move(position)

    def settle(self, now: float) -> float:
        """Look at the clock before making frames; return the seconds that were slipped, usually 0."""
        behind_s = now - self.due
        if behind_s <= self._lead_s + 1e-9:
            return 0.0
        slip_s = behind_s - (self._lead_s - self._frame_s)
        self.slipped_s += slip_s
        self.slips += 1
        self.refill(now)
        return slip_s

    def heard_at(self, position: int) -> float:
        """When the ear gets ``position``, for positions written since the last re-anchoring."""
        return self._anchor_time + (position - self._anchor_position) / self._rate + self._ear_delay_s

    def heard_position(self, now: float) -> int:
        """Return the position that the ear has reached, not looking at what was really written."""
        elapsed_s = now - self._anchor_time - self._ear_delay_s
        return self._anchor_position + max(0, int(elapsed_s * self._rate + 1e-6))

    def _move(self, position: int) -> None:
        self.position = position
        self.due = self._anchor_time + (position - self._anchor_position) / self._rate

    def _anchor(self, time: float) -> None:
        self._anchor_position = self.position
        self._anchor_time = self.due = time


@final
class SlipReport:
    """Which slips are told, and when (rule 7).  Times are seconds on the caller's clock."""

    def __init__(self) -> None:
        self._slipped_s = 0.0
        self._longest_s = 0.0
        self._due = -math.inf

    def add(self, slip_s: float) -> None:
        """The clock was moved by ``slip_s``."""
        self._slipped_s += slip_s
        self._longest_s = max(self._longest_s, slip_s)

    def take(self, now: float, *, last: bool = False) -> tuple[float, float] | None:
        """Return the seconds slipped and the longest of those slips, if it is time to tell them.

        ``last`` says that nothing may come for long: what there is, is told now.
        """
        if not self._slipped_s or (now < self._due and not last):
            return None
        told = self._slipped_s, self._longest_s
        self._slipped_s = self._longest_s = 0.0
        self._due = now + TOLD_EVERY_S
        return told
