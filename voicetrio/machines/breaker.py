"""Circuit breaker: a service that fails again and again is left alone for a while.

==========  ==========  ==========  =========  ========
state       success     failure     trip       due
==========  ==========  ==========  =========  ========
closed      closed      closed      open       (never)
open        closed      open        open       half-open
half-open   closed      open        open       (never)
==========  ==========  ==========  =========  ========

1. *Closed*: it is used.  ``failures`` failures within ``window_s`` trip it; one that another try cannot help
   (a refused key) trips it at once.
2. *Open*: it is not used until ``open_s`` have passed; then it is due.  A success of somebody who used it all
   the same (there was nothing else, or a probe) closes it.
3. *Half-open*: one use, or a probe, decides.  Each time it opens again the time doubles, up to
   ``open_max_s``.
4. Times are seconds on the caller's clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, final

import attrs

from voicetrio.values import positive

__all__ = ["BREAKER_TABLE", "Breaker", "BreakerSettings", "BreakerState"]

BreakerState: TypeAlias = Literal["closed", "open", "half-open"]
"""Whether a service is used (closed), left alone (open), or tried (half-open)."""
BreakerEvent: TypeAlias = Literal["success", "failure", "trip", "due"]

BREAKER_TABLE: Final[Mapping[BreakerState, Mapping[BreakerEvent, BreakerState]]] = {
    "closed": {"success": "closed", "failure": "closed", "trip": "open"},
    "open": {"success": "closed", "failure": "open", "trip": "open", "due": "half-open"},
    "half-open": {"success": "closed", "failure": "open", "trip": "open"},
}


@attrs.frozen(kw_only=True)
class BreakerSettings:
    """When a breaker opens, and for how long; times in seconds."""

    failures: int = attrs.field(default=3, validator=positive)
    """So many within ``window_s`` open it."""
    window_s: float = attrs.field(default=60.0, validator=positive)
    open_s: float = attrs.field(default=10.0, validator=positive)
    """How long it stays open the first time."""
    open_max_s: float = attrs.field(default=300.0, validator=positive)


@final
class Breaker:
    """The breaker of one service."""

    def __init__(self, settings: BreakerSettings) -> None:
        self.state: BreakerState = "closed"
        self.retry_at = 0.0
        """When it is due, while it is open."""
        self.opened = 0
        """How often it opened, in all."""
        self._settings = settings
        self._recent: deque[float] = deque(maxlen=settings.failures)
        self._open_s = settings.open_s

    def allows(self, now: float) -> bool:
        """Tell whether the service may be used now; one that is due becomes half-open."""
        if self.state == "open" and now >= self.retry_at:
            self.state = BREAKER_TABLE[self.state]["due"]
        return self.state != "open"

    def succeeded(self) -> None:
        """A use, or a probe, went well."""
        self.state = BREAKER_TABLE[self.state]["success"]
        self._recent.clear()
        self._open_s = self._settings.open_s

    def failed(self, now: float, *, in_vain: bool = False) -> None:
        """A use, or a probe, failed; ``in_vain`` if another try cannot help."""
        self._recent.append(now)
        is_full = len(self._recent) == self._settings.failures
        trips = in_vain or (is_full and now - self._recent[0] <= self._settings.window_s)
        was = self.state
        self.state = BREAKER_TABLE[was]["trip" if trips else "failure"]
        if self.state == "open" and was != "open":
            self.opened += 1
            if was == "half-open":
                self._open_s = min(self._settings.open_max_s, 2 * self._open_s)
            self.retry_at = now + self._open_s
