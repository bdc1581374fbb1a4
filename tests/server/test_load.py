from __future__ import annotations

import attrs
import pytest
import trio
import trio.testing

from voicetrio.runtime.workers import InlineRunner, WorkerStatistics, open_model_pool
from voicetrio.server.load import LoadWatch
from voicetrio.server.steps import watching_steps


async def hold_the_loop(clock: trio.testing.MockClock, seconds: float) -> None:
    """As a task that computes for ``seconds`` without a checkpoint would."""
    clock.jump(seconds)
    await trio.lowlevel.checkpoint()


async def test_a_loop_that_runs_on_time_has_no_lag(nursery, autojump_clock):
    watch = LoadWatch(max_lag_s=0.05, max_pool_wait_s=1.0)
    nursery.start_soon(watch.run)
    await trio.sleep(100)
    lag = watch.statistics()
    assert lag.max_s == pytest.approx(0, abs=1e-9)
    assert lag.looks >= 1999
    assert watch.overload() is None


async def test_one_stall_shows_in_the_percentiles_and_refuses_nobody(nursery, autojump_clock):
    watch = LoadWatch(max_lag_s=0.05, max_pool_wait_s=1.0)
    nursery.start_soon(watch.run)
    await trio.sleep(30.01)
    await hold_the_loop(autojump_clock, 0.3)
    await trio.sleep(0.2)
    assert watch.overload() is None
    assert watch.statistics().max_s == pytest.approx(0.26, abs=0.02)
    assert watch.statistics().p50_s == pytest.approx(0, abs=1e-9)


async def test_stalls_again_and_again_are_overload_until_they_end(nursery, autojump_clock):
    watch = LoadWatch(max_lag_s=0.05, max_pool_wait_s=1.0)
    nursery.start_soon(watch.run)
    for _ in range(10):
        await trio.sleep(0.05)
        await hold_the_loop(autojump_clock, 0.15)
    assert watch.overload() == "lag"
    await trio.sleep(3)
    assert watch.overload() is None


@attrs.frozen
class TwoPools:
    first: WorkerStatistics
    second: WorkerStatistics


class Models:
    def __init__(self, *pools) -> None:
        self.pools = pools

    def statistics(self) -> TwoPools:
        return TwoPools(*(pool.statistics() for pool in self.pools))


async def test_a_call_that_waits_long_for_a_model_is_overload(nursery, autojump_clock):
    async with (
        open_model_pool("stt", object, runner=InlineRunner()) as stt,
        open_model_pool("tts", object, runner=InlineRunner(lambda name: 3.0 * (name != "load tts"))) as tts,
    ):
        watch = LoadWatch(max_lag_s=0.05, max_pool_wait_s=1.0, pools=[Models(stt, tts)])
        for session in ("a", "b"):
            nursery.start_soon(lambda session=session: tts.run(lambda _model: None, session=session))
        await trio.sleep(0.5)
        assert watch.overload() is None
        assert (tts.statistics().waiting_sessions, tts.statistics().longest_wait_s) == (1, 0.5)
        await trio.sleep(1.0)
        assert watch.overload() == "pools"
        assert [pool.name for pool in watch.pools()] == ["stt", "tts"]
        await trio.sleep(3.0)
        assert watch.overload() is None
        assert tts.statistics().longest_wait_s == 0.0


async def bad_stage(clock) -> None:
    await trio.sleep(1)
    clock.jump(0.030)
    await trio.sleep(1)


async def good_stage() -> None:
    for _ in range(100):
        await trio.sleep(0.01)


async def test_slow_steps_are_told_with_their_task_and_stage(autojump_clock):
    with watching_steps(0.005) as steps:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(good_stage, name="session-1/good")
            nursery.start_soon(bad_stage, autojump_clock, name="session-1/bad")
            nursery.start_soon(bad_stage, autojump_clock, name="session-2/bad")
    (found,) = steps.statistics()
    assert (found.stage, found.count) == ("bad", 2)
    assert found.longest_s == pytest.approx(0.030)
    assert found.total_s == pytest.approx(0.060)
    assert found.longest_in in ("session-1/bad", "session-2/bad")
    assert found.longest_at.startswith("bad_stage (test_load.py:")


async def test_the_number_of_stages_that_are_told_apart_is_bounded(autojump_clock):
    with watching_steps(0.005) as steps:
        async with trio.open_nursery() as nursery:
            for number in range(300):
                nursery.start_soon(bad_stage, autojump_clock, name=f"session-1/stage {number}")
    assert len(steps.statistics()) == 257
    assert steps.count == sum(step.count for step in steps.statistics()) == 300


async def test_the_step_in_which_the_watch_began_is_no_slow_one():
    with watching_steps(0.5) as watch:
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
    assert watch.statistics() == ()


async def test_nothing_is_watched_after_the_block(autojump_clock):
    with watching_steps(0.005) as steps:
        pass
    await bad_stage(autojump_clock)
    assert steps.count == 0
