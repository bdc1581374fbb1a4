"""One failure, one report: what is the same as before is counted, and told with its count later.

1. Two failures are the same when their kind and their text are: where they happened does not matter, since
   every reply has a name of its own.
2. The first one is told at once.  The same again is counted for ``first_s`` seconds; the next one after that
   is told with the count, and the time doubles, up to ``max_s``.
3. A failure that did not come for twice its time is new again.
4. At most ``max_kinds`` are remembered; the one that came longest ago makes room.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import final

import attrs

__all__ = ["Folder"]


@attrs.define(eq=False, repr=False)
class _Kind:
    quiet_s: float
    until: float
    folded: int = 0


@final
class Folder:
    """What was told, and what was counted instead.  Times are seconds on the caller's clock."""

    def __init__(self, *, first_s: float = 10.0, max_s: float = 600.0, max_kinds: int = 64) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._max_kinds = max_kinds
        self._kinds: OrderedDict[tuple[str, str], _Kind] = OrderedDict()
        self.folded = 0
        """Failures that were counted instead of told, in all."""

    def offer(self, key: tuple[str, str], now: float) -> int | None:
        """Return how many were folded since the last one was told, if this one shall be told; else None."""
        kind = self._kinds.get(key)
        if kind is not None and now >= kind.until + kind.quiet_s and not kind.folded:
            kind = None
        if kind is None:
            self._kinds[key] = _Kind(self._first_s, now + self._first_s)
            self._kinds.move_to_end(key)
            if len(self._kinds) > self._max_kinds:
                self._kinds.popitem(last=False)
            return 0
        self._kinds.move_to_end(key)
        if now < kind.until:
            kind.folded += 1
            self.folded += 1
            return None
        count, kind.folded = kind.folded, 0
        kind.quiet_s = min(self._max_s, 2 * kind.quiet_s)
        kind.until = now + kind.quiet_s
        return count
