"""Running a scenario under a chosen schedule, and cancelling it at a chosen step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio
import trio.testing
from trio._core import _run as _trio_run  # the seed of the scheduler has no public name


def run_seeded(scenario: Callable[[], Awaitable[Any]], seed: int) -> Any:
    """Run ``scenario`` in virtual time; the order in which tasks run depends on ``seed`` only."""
    state, allowed = _trio_run._r.getstate(), _trio_run._ALLOW_DETERMINISTIC_SCHEDULING
    _trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True
    _trio_run._r.seed(seed)
    try:
        return trio.run(scenario, clock=trio.testing.MockClock(autojump_threshold=0))
    finally:
        _trio_run._r.setstate(state)
        _trio_run._ALLOW_DETERMINISTIC_SCHEDULING = allowed


class _Steps(trio.abc.Instrument):
    """Counts task steps, and cancels a scope after the ``last`` one."""

    def __init__(self, last: int | None) -> None:
        self.count = 0
        self.last = last
        self.scope: trio.CancelScope | None = None

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self.scope is None:
            return
        self.count += 1
        if self.count == self.last:
            self.scope.cancel("the test's step")


def run_cancelled_at(scenario: Callable[[], Awaitable[Any]], step: int | None, seed: int = 0) -> int:
    """Run ``scenario`` in a scope that is cancelled at ``step``; check that no task is left.

    Returns how many steps it took.
    """
    steps = _Steps(step)

    async def main() -> None:
        before = trio.lowlevel.current_statistics().tasks_living
        with trio.CancelScope() as steps.scope:
            await scenario()
        steps.scope = None
        assert trio.lowlevel.current_statistics().tasks_living == before

    async def instrumented() -> None:
        trio.lowlevel.add_instrument(steps)
        await main()

    run_seeded(instrumented, seed)
    return steps.count


def cancel_at_every_step(
    make: Callable[[], tuple[Callable[[], Awaitable[Any]], Callable[[], None]]], *, most: int = 150
) -> None:
    """Run a scenario once to count its steps, then once for each step at which it is cancelled.

    ``make`` returns a new scenario and a check to be made after it.  With more steps than ``most``, some
    are left out, evenly.
    """
    scenario, check = make()
    total = run_cancelled_at(scenario, None)
    check()
    for step in range(1, total + 1, max(1, total // most)):
        scenario, check = make()
        run_cancelled_at(scenario, step)
        check()
