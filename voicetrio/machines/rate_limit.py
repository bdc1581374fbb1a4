"""A token bucket, without I/O: how much may come in a stretch of time.

1. The bucket holds at most ``burst`` and is full at first.
2. It fills at ``rate`` a second.
3. What comes takes its size out; what would take more than is there is over the limit.

The measure of every router (RFC 2697 names its parts).  It is kept as in ATM's generic cell rate algorithm
(ITU-T I.371): not how full the bucket is, but when it will be full again.
"""

from __future__ import annotations

from typing import Final, final

from voicetrio.errors import ConfigError

__all__ = ["TokenBucket"]

_ROUNDING_S: Final = 1e-9


@final
class TokenBucket:
    """Counts one stream against ``rate`` a second and ``burst`` at once; times are seconds.

    An infinite rate limits nothing.  Raises ConfigError for a rate or burst that is not above 0.
    """

    def __init__(self, rate: float, burst: float, *, now: float) -> None:
        if not (rate > 0 and burst > 0):
            raise ConfigError(f"a rate and its burst must be above 0, not {rate!r} and {burst!r}")
        self._token_s = 1 / rate
        self._burst_s = burst / rate + _ROUNDING_S
        self._full_at = now

    def take(self, amount: float, now: float) -> bool:
        """Count ``amount`` that came at ``now``; return False if it is over the limit (and not counted)."""
        full_at = (self._full_at if self._full_at > now else now) + amount * self._token_s
        if full_at - now > self._burst_s:
            return False
        self._full_at = full_at
        return True
