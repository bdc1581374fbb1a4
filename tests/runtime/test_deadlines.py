"""Cleanup scopes: shielded, with a deadline, and tightened by a later cancel."""

from __future__ import annotations

import pytest
import trio

from voicetrio.runtime.deadlines import Deadlines, cleanup, using_deadlines


async def test_cleanup_goes_on_although_it_is_cancelled_for_a_bounded_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    start = trio.current_time()
    with trio.CancelScope() as outer:
        outer.cancel()
        with cleanup(2.0) as scope:
            await trio.sleep(99)
    assert trio.current_time() - start == pytest.approx(2.0)
    assert scope.cancelled_caught


async def test_a_deadline_that_comes_nearer_reaches_a_scope_already_entered(
    autojump_clock: trio.testing.MockClock,
) -> None:
    deadlines = Deadlines()
    start = trio.current_time()

    async def tighten() -> None:
        await trio.sleep(1)
        deadlines.tighten(close_by=start + 1.5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tighten)
        with using_deadlines(deadlines), cleanup(30.0):
            await trio.sleep(30)
    assert trio.current_time() - start == pytest.approx(1.5)


async def test_deadlines_never_go_back(autojump_clock: trio.testing.MockClock) -> None:
    deadlines = Deadlines()
    deadlines.tighten(drain_by=5, close_by=6)
    deadlines.tighten(drain_by=50, close_by=60)
    assert (deadlines.drain_by, deadlines.close_by) == (5, 6)


async def test_a_scope_entered_after_close_by_is_over_at_once(autojump_clock: trio.testing.MockClock) -> None:
    deadlines = Deadlines()
    deadlines.tighten(close_by=trio.current_time())
    start = trio.current_time()
    with using_deadlines(deadlines), cleanup(30.0):
        await trio.sleep(30)
    assert trio.current_time() == start
