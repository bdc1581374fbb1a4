"""Which branches of a Switch are well: a circuit breaker each, and probes in the background.

It outlives the single run, so a reply does not have to find out again what the one before it has found out:
open it beside the services, and give it to every Switch over them.  Sharing it between sessions is the
application's choice.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias, final

import attrs
import trio

from voicetrio.errors import ConfigError, ServiceError
from voicetrio.machines.breaker import Breaker, BreakerSettings, BreakerState
from voicetrio.runtime.attendants import open_attendants

__all__ = ["BranchHealth", "BranchStatistics", "Probe", "open_branch_health"]

Probe: TypeAlias = Callable[[], Awaitable[object]]
"""Tries a service in the cheapest way there is; raises if it is not well."""


@attrs.frozen(kw_only=True)
class BranchStatistics:
    """Counts of one branch."""

    state: BreakerState
    uses: int
    failures: int
    opened: int
    """How often it was given up for a while."""
    probes: int


@attrs.define
class _Branch:
    breaker: Breaker
    probe: Probe | None
    uses: int = 0
    failures: int = 0
    probes: int = 0


@final
class BranchHealth:
    """The health of branches, by their index; made by ``open_branch_health`` only."""

    def __init__(self, probes: Sequence[Probe | None], settings: BreakerSettings, probe_s: float) -> None:
        self._branches = [_Branch(Breaker(settings), probe) for probe in probes]
        self._probe_s = probe_s
        self._changed = trio.Event()

    def __len__(self) -> int:
        return len(self._branches)

    def order(self) -> list[int]:
        """Return the branches to try, the first one first.

        What is well comes first, in the order of the branches; what is not comes after, soonest due first:
        with nothing else left, a service that may be down is better than none.  A branch with a probe waits
        for it.
        """
        now = trio.current_time()
        well = [index for index, branch in enumerate(self._branches) if self._is_well(branch, now)]
        rest = [index for index in range(len(self)) if index not in well]
        return well + sorted(rest, key=lambda index: self._branches[index].breaker.retry_at)

    def _is_well(self, branch: _Branch, now: float) -> bool:
        if branch.probe is not None:
            return branch.breaker.state == "closed"
        return branch.breaker.allows(now)

    def succeeded(self, index: int) -> None:
        """Branch ``index`` did its work."""
        self._branches[index].uses += 1
        self._branches[index].breaker.succeeded()

    def failed(self, index: int, error: Exception) -> None:
        """Branch ``index`` failed."""
        branch = self._branches[index]
        branch.uses += 1
        branch.failures += 1
        self._count(branch, error)

    def statistics(self) -> tuple[BranchStatistics, ...]:
        """Return the counts so far, a value a branch."""
        return tuple(
            BranchStatistics(
                state=branch.breaker.state,
                uses=branch.uses,
                failures=branch.failures,
                opened=branch.breaker.opened,
                probes=branch.probes,
            )
            for branch in self._branches
        )

    def _count(self, branch: _Branch, error: Exception) -> None:
        lasting = ("credentials", "limit", "ours")
        in_vain = isinstance(error, ServiceError) and not error.transient and error.fault in lasting
        branch.breaker.failed(trio.current_time(), in_vain=in_vain)
        self._changed.set()

    async def _run_probes(self, branch: _Branch, probe: Probe) -> None:
        while True:
            changed = self._changed = trio.Event() if self._changed.is_set() else self._changed
            is_open = branch.breaker.state == "open"
            with trio.CancelScope(deadline=branch.breaker.retry_at if is_open else math.inf):
                await changed.wait()
            if branch.breaker.state == "open" and branch.breaker.allows(trio.current_time()):
                await self._probe(branch, probe)

    async def _probe(self, branch: _Branch, probe: Probe) -> None:
        branch.probes += 1
        try:
            with trio.fail_after(self._probe_s):
                await probe()
        except Exception as error:
            # Whatever a probe raises means that the service is not well: that is what it is for.
            self._count(branch, error)
        else:
            branch.breaker.succeeded()
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def open_branch_health(
    *probes: Probe | None, settings: BreakerSettings | None = None, probe_s: float = 5.0
) -> AsyncIterator[BranchHealth]:
    """Keep the health of as many branches as there are ``probes``, for as long as the block lasts.

    A probe is run when its branch has been left alone long enough, for ``probe_s`` seconds at most; when it
    returns, the branch is used again.  With None in its place, the next run of the Switch tries the branch.
    """
    if not probes:
        raise ConfigError("there is no branch: give a probe for each, or None in its place")
    health = BranchHealth(probes, settings or BreakerSettings(), probe_s)
    async with open_attendants() as nursery:
        for branch in health._branches:
            if branch.probe is not None:
                nursery.start_soon(health._run_probes, branch, branch.probe, name="branch probe")
        yield health
