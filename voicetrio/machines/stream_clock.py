"""From the time in a stream to the capture clock.

A recogniser counts the samples that it was given, from 0 with each stream.  On the capture clock these lie
where they were captured: the stream may begin anywhere, leave gaps out, and hold silence that never was.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import final

__all__ = ["StreamClock"]


@final
class StreamClock:
    """Brings the samples of one stream to the capture clock."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._offsets: list[int] = []
        self._positions: list[int] = []
        self._next: int | None = None
        self.count = 0
        """Samples of the stream so far."""

    def add(self, position: int, sample_count: int) -> None:
        """So many samples follow, from ``position`` on."""
        if position != self._next:
            self._offsets.append(self.count)
            self._positions.append(position)
        self.count += sample_count
        self._next = position + sample_count

    def pad(self, sample_count: int) -> None:
        """So many samples of silence follow, which are nowhere on the capture clock."""
        self.count += sample_count
        self._offsets.append(self.count)
        self._positions.append(self._next or 0)

    def position(self, seconds: float) -> int:
        """Return the capture position of a time in the stream; of one outside of it, that of its end."""
        if not self._offsets:
            return 0
        offset = max(0, min(round(seconds * self._rate), self.count))
        index = max(0, bisect_right(self._offsets, offset) - 1)
        position = self._positions[index] + offset - self._offsets[index]
        # A time inside a pad is the pad's place.
        last = self._positions[index + 1] if index + 1 < len(self._positions) else None
        return position if last is None else min(position, last)
