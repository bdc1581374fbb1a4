"""A token bucket, without I/O: how much may come in a stretch of time.

1. The bucket holds at most ``burst`` and is full at first.
2. It fills at ``rate`` a second.
3. What comes takes its size out; what would take more than is there is over the limit.

The measure of ATM's generic cell rate algorithm and of every router since (RFC 2697 names its parts).
"""

from __future__ import annotations

import math
from typing import final

from voicetrio.errors import ConfigError

__all__ = ["TokenBucket"]


@final
class TokenBucket:
    """Counts one stream against ``rate`` a second and ``burst`` at once; times are seconds.

    An infinite rate limits nothing.  Raises ConfigError for a rate or burst that is not above 0.
    """

    def __init__(self, rate: float, burst: float, *, now: float) -> None:
        if not (rate > 0 and burst > 0):
            raise ConfigError(f"a rate and its burst must be above 0, not {rate!r} and {burst!r}")
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._at = now

    def take(self, amount: float, now: float) -> bool:
        """Count ``amount`` that came at ``now``; return False if it is over the limit (and not counted)."""
        if self._rate == math.inf:
            return True
        level = self._level + (now - self._at) * self._rate
        self._level = level if level < self._burst else self._burst
        self._at = now
        if amount > self._level:
            return False
        self._level -= amount
        return True
