"""Each faulty stage does its one fault, and passes frames on otherwise."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from voicetrio.runtime.deadlines import Deadlines, using_deadlines
from voicetrio.runtime.workers import InlineRunner, open_workers
from voicetrio.testing.faults import stages


async def run(stage: object, count: int = 4) -> list[int]:
    """Give a stage so many numbers, 0.1 s apart, and return what it passed on."""
    passed: list[int] = []
    inward, inlet = trio.open_memory_channel[int](0)
    outlet, outward = trio.open_memory_channel[int](0)

    async def collect() -> None:
        async for number in outward:
            passed.append(number)  # noqa: PERF401  # also what was passed on before a failure

    async def feed() -> None:
        with inward:
            for number in range(count):
                await trio.sleep(0.1)
                try:
                    await inward.send(number)
                except trio.BrokenResourceError:
                    return

    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect)
        nursery.start_soon(feed)
        with inlet, outlet:
            await stage(inlet, outlet)  # type: ignore[operator]
    return passed


@pytest.mark.parametrize(
    ("stage", "expected", "lasts_s"),
    [
        (stages.PassingStage(), [0, 1, 2, 3], 0.4),
        (stages.SlowStage(1.0), [0, 1, 2, 3], 4.1),
        (stages.SwallowingStage(), [0, 1, 2, 3], 0.4),
        (stages.ShieldingStage(), [0, 1, 2, 3], 0.4),
        (stages.SlowCleanupStage(2.0), [0, 1, 2, 3], 2.4),
        (stages.ImpatientStage(2), [0, 1], 0.3),
        (stages.ImpatientStage(9), [0, 1, 2, 3], 0.4),
        (stages.BurstStage(3), [0, 1, 2, 3], 0.4),
        (stages.SilentStage(), [], 0.4),
    ],
    ids=repr,
)
async def test_a_stage_that_returns(
    stage: object, expected: list[int], lasts_s: float, autojump_clock: MockClock
) -> None:
    assert await run(stage) == expected
    assert trio.current_time() == pytest.approx(lasts_s)


async def test_a_failing_stage_raises_at_its_frame(autojump_clock: MockClock) -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(stages.StageFault, match="at frame 2")):
        await run(stages.FailingStage(2))


async def test_a_cleanup_can_fail(autojump_clock: MockClock) -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(stages.StageFault, match="in cleanup")):
        await run(stages.FailingCleanupStage())


async def test_a_never_ending_stage_is_ended_by_cancelling_only(autojump_clock: MockClock) -> None:
    with trio.move_on_after(100) as scope:
        await run(stages.NeverEndingStage())
    assert scope.cancelled_caught


async def test_a_swallowing_stage_swallows_so_many_cancellations(autojump_clock: MockClock) -> None:
    stage = stages.SwallowingStage(2)
    with trio.move_on_after(0.15) as scope:
        await run(stage, count=100)
    assert scope.cancelled_caught
    assert stage.swallowed == 2


@pytest.mark.parametrize(
    ("stage", "lasts_s"),
    [(stages.ShieldingStage(3.0), 3.0), (stages.ShieldingStage(deadline_s=0.5), 0.5)],
    ids=repr,
)
async def test_a_shielding_stage_holds_up_a_cancellation(
    stage: object, lasts_s: float, autojump_clock: MockClock
) -> None:
    with trio.move_on_after(0.15):
        await run(stage, count=100)
    assert trio.current_time() == pytest.approx(0.15 + lasts_s)


async def test_a_slow_cleanup_obeys_the_session_s_deadlines(autojump_clock: MockClock) -> None:
    deadlines = Deadlines()
    deadlines.tighten(close_by=1.0)
    with using_deadlines(deadlines), trio.move_on_after(0.15):
        await run(stages.SlowCleanupStage(100.0, within_s=100.0))
    assert trio.current_time() == pytest.approx(1.0)


async def test_a_blocking_stage_blocks_a_worker(autojump_clock: MockClock) -> None:
    async with open_workers("slow", runner=InlineRunner(0.5)) as pool:
        calls: list[int] = []
        block = stages.cooperative(lambda: calls.append(1), 3)
        assert await run(stages.BlockingStage(pool, block)) == [0, 1, 2, 3]
        assert len(calls) == 12
        assert pool.statistics().completed == 4
        assert pool.statistics().job_p50_s == pytest.approx(0.5)


def test_a_stage_says_what_it_does() -> None:
    assert repr(stages.SlowStage(0.5)) == "SlowStage(delay_s=0.5)"
    assert repr(stages.ShieldingStage()) == "ShieldingStage(sleep_s=inf, deadline_s=None)"
