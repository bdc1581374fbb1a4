"""A histogram with fixed bounds, without I/O: counts in buckets, and their sum."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import final

from voicetrio.errors import ConfigError

__all__ = ["Histogram"]


@final
class Histogram:
    """Counts values at or below each bound, as Prometheus does; the last bucket takes what is above all.

    Raises ConfigError unless ``bounds`` rise.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        if not bounds or any(low >= high for low, high in pairwise(bounds)):
            raise ConfigError(f"the bounds of a histogram must rise, not {list(bounds)}")
        self.bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        """Of all values."""

    def add(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """How many values were counted."""
        return sum(self._counts)

    def cumulative(self) -> list[tuple[float, int]]:
        """Return for each bound how many values are at or below it; the last bound is infinite."""
        total, found = 0, []
        for bound, count in zip((*self.bounds, float("inf")), self._counts, strict=True):
            total += count
            found.append((bound, total))
        return found
