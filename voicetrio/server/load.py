"""How loaded a process is: how late its event loop runs, and how long calls wait for a model."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol, final

import attrs
import trio

from voicetrio.runtime.workers import WorkerStatistics

__all__ = ["LagStatistics", "LoadWatch", "PoolSource"]

INTERVAL_S = 0.05
"""How often the loop's lag is looked at."""
KEPT = 12_000
"""So many looks are kept for the percentiles: ten minutes."""
RECENT = 40
"""So many of the last looks, two seconds, decide whether the loop is overloaded now."""


class PoolSource(Protocol):
    """Something with ``statistics()``: a pool, or models that hold several (see ``open_models``)."""

    def statistics(self) -> Any:
        """Return WorkerStatistics, or a value whose fields hold some."""
        ...


@attrs.frozen
class LagStatistics:
    """How late the event loop woke a sleeping task, in seconds, over the last ten minutes."""

    p50_s: float
    p99_s: float
    p999_s: float
    max_s: float
    looks: int


@final
class LoadWatch:
    """Measures while ``run`` runs.

    Args:
        max_lag_s: the loop is overloaded when one look in ten of the last two seconds was later.
        max_pool_wait_s: a pool is overloaded while a call has waited longer.
        pools: the models' pools.
    """

    def __init__(self, *, max_lag_s: float, max_pool_wait_s: float, pools: Sequence[PoolSource] = ()) -> None:
        self._max_lag_s = max_lag_s
        self._max_pool_wait_s = max_pool_wait_s
        self._pools = tuple(pools)
        self._lags_s: deque[float] = deque(maxlen=KEPT)
        self._recent_s: deque[float] = deque(maxlen=RECENT)
        self.looked_at: float | None = None
        """When it last looked (``trio.current_time()``)."""

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        due = trio.current_time() + INTERVAL_S
        while True:
            await trio.sleep_until(due)
            now = trio.current_time()
            self._lags_s.append(now - due)
            self._recent_s.append(now - due)
            self.looked_at = now
            due = now + INTERVAL_S

    def overload(self) -> str | None:
        """Return ``lag`` or ``pools`` when the process has more to do than it can; None otherwise."""
        if sum(lag_s > self._max_lag_s for lag_s in self._recent_s) > RECENT // 10:
            return "lag"
        if any(pool.longest_wait_s > self._max_pool_wait_s for pool in self.pools()):
            return "pools"
        return None

    def pools(self) -> list[WorkerStatistics]:
        """Return the WorkerStatistics of every pool at this moment."""
        return [found for pool in self._pools for found in _pool_statistics(pool.statistics())]

    def statistics(self) -> LagStatistics:
        """Return how late the loop was."""
        lags_s = sorted(self._lags_s)
        if not lags_s:
            return LagStatistics(0.0, 0.0, 0.0, 0.0, 0)
        last = len(lags_s) - 1
        return LagStatistics(
            p50_s=lags_s[round(last * 0.5)],
            p99_s=lags_s[round(last * 0.99)],
            p999_s=lags_s[round(last * 0.999)],
            max_s=lags_s[-1],
            looks=len(lags_s),
        )


def _pool_statistics(value: Any) -> list[WorkerStatistics]:
    if isinstance(value, WorkerStatistics):
        return [value]
    if not attrs.has(type(value)):
        return []
    parts = [getattr(value, field.name) for field in attrs.fields(type(value))]
    return [part for part in parts if isinstance(part, WorkerStatistics)]
