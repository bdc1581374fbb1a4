"""What the end of a stream means: wanted, idle, refused, restart, or lost.

A connection's end is a value, and every value has one meaning.  In this order:

1. We asked for it: *wanted*.
2. It was never open.  A certificate that does not verify, and an HTTP status that another try cannot change
   (anything but 408, 425, 429 and 5xx), are *refused*; the rest is *lost*.
3. The peer closed with 1008 (policy, RFC 6455 section 7.4.1), 3000 (unauthorized) or 3003 (forbidden, both
   in IANA's registry of close codes): *refused*.
4. The peer closed with 1001 (going away) or 1012 (service restart): *restart*.
5. The peer closed cleanly (1000, or without a code) while nobody used the stream: *idle*.
6. Anything else, a clean close in the midst of work among it: *lost*.

A service that gives codes of its own a meaning is asked first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import attrs

__all__ = ["Classifier", "EndKind", "StreamEnd", "classify"]

EndKind: TypeAlias = Literal["wanted", "idle", "refused", "restart", "lost"]
"""What the end of a stream means."""

REFUSING_CODES: Final = frozenset({1008, 3000, 3003})
RESTART_CODES: Final = frozenset({1001, 1012})
CLEAN_CODES: Final = frozenset({1000, None})
PASSING_STATUSES: Final = frozenset({408, 425, 429})
"""Statuses below 500 after which the same request may succeed (RFC 9110, 8470, 6585)."""

_ENDINGS: Final = {"peer": "the peer closed it", "us": "we closed it", "network": "it broke"}


@attrs.frozen(kw_only=True)
class StreamEnd:
    """How a stream ended, or the attempt to open one."""

    was_open: bool
    """False when the attempt to open it failed."""
    by: Literal["peer", "us", "network"]
    """Who ended it; ``us`` also when the peer broke a rule of the wire."""
    code: int | None = None
    """The close code, if there was one."""
    status: int | None = None
    """The HTTP status of the refusal, if there was one."""
    reason: str = ""
    """The peer's words, or what happened."""
    retry_after_s: float | None = None
    """Seconds that the peer asked us to wait, if it did."""
    was_asked: bool = False
    """We closed it on purpose."""
    in_use: bool = False
    """Somebody had work on it."""
    untrusted: bool = False
    """The peer's certificate did not verify."""
    refused: bool | None = None
    """The service's own word inside the stream: True if another try is in vain, False if it may help."""

    def __str__(self) -> str:
        text = self.reason or _ENDINGS[self.by]
        if self.status is not None:
            return f"{text} (HTTP {self.status})"
        return text if self.code is None else f"{text} (code {self.code})"


Classifier: TypeAlias = Callable[[StreamEnd], EndKind | None]
"""A service's own word on an end; None leaves it to ``classify``."""


def classify(end: StreamEnd, first: Classifier | None = None) -> EndKind:
    """Return what ``end`` means; ``first`` is asked before the rules of this module."""
    if end.was_asked:
        return "wanted"
    own = None if first is None else first(end)
    if own is not None:
        return own
    if end.refused is not None:
        return "refused" if end.refused else "lost"
    if not end.was_open:
        return "refused" if end.untrusted or _is_final(end.status) else "lost"
    if end.by == "peer":
        if end.code in REFUSING_CODES:
            return "refused"
        if end.code in RESTART_CODES:
            return "restart"
        if end.code in CLEAN_CODES and not end.in_use:
            return "idle"
    return "lost"


def _is_final(status: int | None) -> bool:
    return status is not None and status < 500 and status not in PASSING_STATUSES
