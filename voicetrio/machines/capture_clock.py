"""Where the capture clock stands: sample positions against seconds.

The machines count in sample positions of the capture clock, because what the user did is known by its
position, whenever the news of it arrives.  Waits run in seconds of the run's clock.  This maps one to the
other from the arrival of audio:

1. Audio cannot arrive before it was spoken, so the earliest arrival seen is the best one: an arrival that
   is earlier than expected moves the clock at once.
2. A late arrival is a slow network, unless the source itself stood still (a muted microphone).  One that is
   later than ``JUMP_S`` moves the clock at once: after a mere stall the frames that follow in a burst are
   early again, and move it back.
3. Two clocks drift.  A small part of every lateness is taken over, which holds the error of a drift of
   100 ppm at 2 ms.

A source that is read faster than real time is always early, so that its clock runs with its media.
"""

from __future__ import annotations

__all__ = ["CaptureClock"]

JUMP_S = 0.25
DRIFT_SHARE_PER_S = 0.05
TELL_S = 0.01


class CaptureClock:
    """Maps positions on the capture clock (samples at ``rate``) to seconds, and back."""

    def __init__(self, rate: int, now: float) -> None:
        """Take position 0 to be spoken at ``now`` seconds, until the first audio tells."""
        self._rate = rate
        self._drift_share = DRIFT_SHARE_PER_S / rate
        self._zero = now
        self._told_zero = now
        self._has_heard = False

    def heard(self, start: int, end: int, now: float) -> bool:
        """Take in that the audio from ``start`` to ``end`` (samples) arrived at ``now`` (seconds).

        Returns True when the clock has moved ahead by ``TELL_S`` or more since it last said so: what waits
        for a position by its time comes earlier now.
        """
        zero = now - end / self._rate
        late_s = zero - self._zero
        if 0 <= late_s <= JUMP_S and self._has_heard:
            share = (end - start) * self._drift_share
            zero = self._zero + (late_s * share if share < 1 else late_s)
        self._has_heard = True
        self._zero = zero
        if self._told_zero - TELL_S < zero <= self._told_zero:
            return False
        moved_ahead = zero < self._told_zero
        self._told_zero = zero
        return moved_ahead

    def position_at(self, now: float) -> int:
        """Return the position that is being spoken at ``now`` seconds."""
        return round((now - self._zero) * self._rate)

    def time_of(self, position: int) -> float:
        """Return when ``position`` is (or was) spoken, in seconds."""
        return self._zero + position / self._rate
