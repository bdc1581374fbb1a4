"""When to dial, when to wait and when to give up, without I/O: events in, the next state out.

The rules:

1. Every end of a stream has one meaning (``stream_end``), and every pair of state and event one next state:
   ``TABLE``.  What is not in it cannot happen, and raises.
2. A stream that ended *idle* or *wanted* is opened again when somebody needs it, and not before.
3. What is *lost* is tried again after a wait: uniform between 0 and a bound (full jitter).  The bound is
   ``first_s`` after the first failure, then ``base_s``, doubling with each failure up to ``max_s``.
4. A wait that the peer asked for is obeyed; one beyond ``retry_after_max_s`` ends the tries.
5. Every try after a failure is drawn from two budgets.  When the minute's is spent, the try waits until it
   is not; when the session's is spent, that is the end.
6. An opening that dies within ``quick_s`` is a failure although it succeeded; ``quick_max`` of them in a row
   are the end.  Only a stream that lived for ``stable_s`` lets the count of failures begin anew.
7. *Refused* is the end at once.
8. A peer that says it will go (a notice inside the stream) is replaced before it goes: the next stream is
   opened beside it.  If that fails, the old one is used as long as it lasts.
9. Times are seconds on the caller's clock; chance comes from the caller's ``random.Random``.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias, final

import attrs

from voicetrio.errors import ConfigError
from voicetrio.machines.stream_end import Classifier, EndKind, StreamEnd, classify
from voicetrio.values import not_negative

__all__ = [
    "TABLE",
    "ConnectionState",
    "GaveUp",
    "ReconnectEvent",
    "ReconnectMachine",
    "ReconnectSettings",
]

ConnectionState: TypeAlias = Literal[
    "idle", "connecting", "open", "backoff", "handover", "handover backoff", "failed", "closed"
]
"""Where a connection stands.  In ``open`` and both handovers it can be used."""
ReconnectEvent: TypeAlias = Literal[
    "use",
    "use too soon",
    "due",
    "opened",
    "dial lost",
    "dial refused",
    "wanted end",
    "idle end",
    "lost end",
    "restart end",
    "refused end",
    "notice",
    "spent",
    "close",
]
"""What can happen.  ``spent``: a failure, and no try is left for it."""

TABLE: Final[Mapping[ConnectionState, Mapping[ReconnectEvent, ConnectionState]]] = {
    "idle": {
        "use": "connecting",
        "use too soon": "backoff",
        "spent": "failed",
        "close": "closed",
    },
    "connecting": {
        "opened": "open",
        "dial lost": "backoff",
        "dial refused": "failed",
        "spent": "failed",
        "close": "closed",
    },
    "open": {
        "wanted end": "idle",
        "idle end": "idle",
        "lost end": "backoff",
        "restart end": "backoff",
        "refused end": "failed",
        "notice": "handover backoff",
        "spent": "failed",
        "close": "closed",
    },
    "backoff": {
        "due": "connecting",
        "close": "closed",
    },
    "handover": {
        "opened": "open",
        "dial lost": "handover backoff",
        "dial refused": "open",
        "wanted end": "connecting",
        "idle end": "connecting",
        "lost end": "connecting",
        "restart end": "connecting",
        "refused end": "failed",
        "spent": "open",
        "close": "closed",
    },
    "handover backoff": {
        "due": "handover",
        "wanted end": "backoff",
        "idle end": "backoff",
        "lost end": "backoff",
        "restart end": "backoff",
        "refused end": "failed",
        "close": "closed",
    },
    "failed": {"close": "closed"},
    "closed": {"close": "closed"},
}

MINUTE_S: Final = 60.0
_HAS_STREAM: Final = frozenset({"open", "handover", "handover backoff"})
_END_EVENTS: Final[Mapping[EndKind, ReconnectEvent]] = {
    "wanted": "wanted end",
    "idle": "idle end",
    "lost": "lost end",
    "restart": "restart end",
    "refused": "refused end",
}


def _at_least_one(_instance: object, attribute: attrs.Attribute[Any], value: int) -> None:
    if value < 1:
        raise ConfigError(f"{attribute.name} must be at least 1, not {value!r}")


@attrs.frozen(kw_only=True)
class ReconnectSettings:
    """How a connection comes back; times in seconds."""

    first_s: float = attrs.field(default=0.25, validator=not_negative)
    """Longest wait after the first failure."""
    base_s: float = attrs.field(default=0.5, validator=not_negative)
    """Longest wait after the second failure; it doubles with each one."""
    max_s: float = attrs.field(default=30.0, validator=not_negative)
    """No wait of ours is longer."""
    retry_after_max_s: float = attrs.field(default=120.0, validator=not_negative)
    """A peer that asks for a longer wait is given up."""
    per_minute: int = attrs.field(default=15, validator=_at_least_one)
    """Tries after failures within 60 s, at most."""
    per_session: int = attrs.field(default=60, validator=_at_least_one)
    """Tries after failures in all, at most."""
    quick_s: float = attrs.field(default=5.0, validator=not_negative)
    """A stream that lived shorter counts as a failure to open it."""
    quick_max: int = attrs.field(default=5, validator=_at_least_one)
    """So many of those in a row are the end."""
    stable_s: float = attrs.field(default=10.0, validator=not_negative)
    """A stream that lived so long clears the count of failures."""

    def longest_wait_s(self, failures: int) -> float:
        """Return the bound of the wait after ``failures`` failures in a row (at least 1)."""
        if failures <= 1:
            return self.first_s
        # The exponent is limited because a float is: the minimum is reached long before.
        return min(self.max_s, self.base_s * 2.0 ** min(failures - 2, 64))


@attrs.frozen
class GaveUp:
    """Why there will be no further try."""

    because: Literal["refused", "budget", "quick failures", "asked to wait"]
    end: StreamEnd
    """The last failure."""
    tries: int
    """Tries after failures that were made."""


@final
class ReconnectMachine:
    """The state of one connection; tell it what happened, then do what ``state`` says.

    Args:
        settings: waits and budgets.
        chance: where the jitter comes from.
        classifier: a service's own word on ends, see ``classify``.
    """

    def __init__(
        self, settings: ReconnectSettings, chance: random.Random, classifier: Classifier | None = None
    ) -> None:
        self.state: ConnectionState = "idle"
        """What to do: in ``connecting`` and ``handover`` dial; in the two backoffs wait until ``retry_at``
        and say ``due``; else wait for what happens."""
        self.retry_at = 0.0
        """No dial before this time."""
        self.failures = 0
        """Failures in a row."""
        self.quick_failures = 0
        """Openings in a row that died at once."""
        self.tries = 0
        """Tries after failures, in all."""
        self.last_end: StreamEnd | None = None
        self.gave_up: GaveUp | None = None
        """Why, in state ``failed``."""
        self._settings = settings
        self._chance = chance
        self._classifier = classifier
        self._recent: deque[float] = deque(maxlen=settings.per_minute)
        self._opened_at = 0.0

    @property
    def has_stream(self) -> bool:
        """True when there is a stream to use."""
        return self.state in _HAS_STREAM

    # --- what happens ---

    def use(self, now: float) -> None:
        """Somebody needs the connection."""
        if self.state != "idle":
            return
        if self.failures:
            self.retry_at = max(self.retry_at, self._budgeted_at())
        if self.failures and self._is_spent():
            self._give_up("budget", self.last_end)
        elif now < self.retry_at:
            self._go("use too soon")
        else:
            self._draw(now)
            self._go("use")

    def due(self, now: float) -> None:
        """The wait is over."""
        if now < self.retry_at:
            raise ValueError(f"a dial is allowed at {self.retry_at:g}, and it is {now:g}")
        self._draw(now)
        self._go("due")

    def opened(self, now: float) -> None:
        """The dial succeeded; in a handover, the new stream is the one to use."""
        self._opened_at = now
        self._go("opened")

    def dial_failed(self, end: StreamEnd, now: float) -> EndKind:
        """The dial led to nothing; return what that means."""
        self.last_end = end
        kind = classify(end, self._classifier)
        if kind == "refused":
            self._refuse("dial refused", end)
        else:
            self.failures += 1
            self._retry("dial lost", end, now)
        return kind

    def ended(self, end: StreamEnd, now: float, *, was_used: bool = True) -> EndKind:
        """The stream in use is over; return what that means.

        ``was_used`` tells whether it ever did any work.
        """
        self.last_end = end
        kind = classify(end, self._classifier)
        lived_s = now - self._opened_at
        if lived_s >= self._settings.stable_s:
            self.failures = 0
        is_failure = kind in ("lost", "restart") or (kind == "idle" and not was_used)
        is_quick = is_failure and lived_s < self._settings.quick_s
        self.quick_failures = self.quick_failures + 1 if is_quick else 0
        if kind == "refused":
            self._refuse("refused end", end)
        elif self.state != "open":
            self._go(_END_EVENTS[kind])  # the next dial is under way, or its time is set
        elif self.quick_failures >= self._settings.quick_max:
            self._give_up("quick failures", end)
        elif kind in ("lost", "restart"):
            self.failures += 1
            self._retry(_END_EVENTS[kind], end, now)
        else:
            self.retry_at = now
            if is_quick:
                self.failures += 1
                self._schedule(now)
            self._go(_END_EVENTS[kind])
        return kind

    def notice(self, now: float) -> bool:
        """The peer says that it will go; return True if a successor will be opened beside it."""
        if self.state != "open":
            return False
        if now - self._opened_at >= self._settings.stable_s:
            self.failures = 0
        self.failures += 1
        if self._is_spent():
            return False
        self._schedule(now)
        self._go("notice")
        return True

    def close(self) -> None:
        """Nobody needs the connection any more."""
        self._go("close")

    # --- inside ---

    def _go(self, event: ReconnectEvent) -> None:
        try:
            self.state = TABLE[self.state][event]
        except KeyError:
            raise ValueError(f"{event!r} cannot happen to a connection that is {self.state}") from None

    def _retry(self, event: ReconnectEvent, end: StreamEnd, now: float) -> None:
        asked_s = end.retry_after_s or 0.0
        if asked_s > self._settings.retry_after_max_s:
            self._give_up("asked to wait", end)
        elif self._is_spent():
            self._give_up("budget", end)
        else:
            self._schedule(now, asked_s)
            self._go(event)

    def _schedule(self, now: float, asked_s: float = 0.0) -> None:
        wait_s = self._chance.uniform(0.0, self._settings.longest_wait_s(self.failures))
        self.retry_at = max(now + max(wait_s, asked_s), self._budgeted_at())

    def _budgeted_at(self) -> float:
        """When the minute's budget has room for another try."""
        is_full = len(self._recent) == self._settings.per_minute
        return self._recent[0] + MINUTE_S if is_full else 0.0

    def _is_spent(self) -> bool:
        return self.tries >= self._settings.per_session

    def _draw(self, now: float) -> None:
        if self.failures:
            self.tries += 1
            self._recent.append(now)

    def _refuse(self, event: ReconnectEvent, end: StreamEnd) -> None:
        self._go(event)
        if self.state == "failed":
            self.gave_up = GaveUp("refused", end, self.tries)

    def _give_up(
        self, because: Literal["budget", "quick failures", "asked to wait"], end: StreamEnd | None
    ) -> None:
        assert end is not None
        self._go("spent")
        if self.state == "failed":
            self.gave_up = GaveUp(because, end, self.tries)
