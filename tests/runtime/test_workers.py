from __future__ import annotations

import threading
from functools import partial

import pytest
import trio

from voicetrio.errors import ConfigError
from voicetrio.events import TaskStuck
from voicetrio.runtime.emit import EventHub, emitting_to
from voicetrio.runtime.workers import (
    InlineRunner,
    Job,
    abandoned_jobs,
    check_cancelled,
    current_session,
    open_model_pool,
    open_workers,
)


class Refused(Exception):
    pass


async def test_a_job_runs_in_a_thread_and_its_result_comes_back() -> None:
    async with open_workers("test") as pool:
        assert await pool.run(lambda a, b: (a + b, threading.current_thread().name), 1, 2) == (3, "vt-test")
        assert pool.statistics().completed == 1
        assert pool.statistics().busy == 0


async def test_an_exception_of_a_job_comes_through_unchanged() -> None:
    error = Refused("no")

    def fail() -> None:
        raise error

    async with open_workers("test") as pool:
        with pytest.raises(Refused) as caught:
            await pool.run(fail)
        assert caught.value is error
        assert await pool.run(lambda: 1) == 1
        assert pool.statistics().completed == 2


async def test_sessions_are_served_in_turn_and_each_in_its_own_order(autojump_clock) -> None:
    served: list[str] = []
    async with open_workers("test", runner=InlineRunner(1.0)) as pool, trio.open_nursery() as nursery:
        for item in ["a0", "a1", "a2", "a3", "b0", "b1", "c0"]:
            current_session.set(item[0])
            nursery.start_soon(pool.run, served.append, item)
            await trio.testing.wait_all_tasks_blocked()
        assert pool.statistics().waiting == 6
    assert served == ["a0", "a1", "b0", "c0", "a2", "b1", "a3"]


async def test_a_session_can_be_named_by_the_call(autojump_clock) -> None:
    served: list[str] = []
    async with open_workers("test", runner=InlineRunner(1.0)) as pool, trio.open_nursery() as nursery:
        for item in ["a0", "a1", "a2", "b0"]:
            nursery.start_soon(partial(pool.run, served.append, item, session=item[0]))
            await trio.testing.wait_all_tasks_blocked()
    assert served == ["a0", "a1", "b0", "a2"]


async def test_waits_and_jobs_are_measured_on_trios_clock(autojump_clock) -> None:
    async with open_workers("test", workers=2, runner=InlineRunner(0.5)) as pool:
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(pool.run, int)
        statistics = pool.statistics()
    assert (statistics.workers, statistics.completed) == (2, 6)
    assert statistics.wait_max_s == pytest.approx(1.0)
    assert statistics.wait_p50_s == pytest.approx(0.5)
    assert statistics.job_p50_s == statistics.job_max_s == pytest.approx(0.5)


async def test_a_call_that_is_cancelled_while_it_waits_leaves_the_queue(autojump_clock) -> None:
    served: list[str] = []
    async with open_workers("test", runner=InlineRunner(1.0)) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(pool.run, served.append, "first")
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(0.5) as scope:
            await pool.run(served.append, "cancelled")
        assert scope.cancelled_caught
        assert pool.statistics().waiting == 0
        await pool.run(served.append, "last")
    assert served == ["first", "last"]
    assert pool.statistics().abandoned_total == 0


async def test_a_cancelled_call_returns_at_once_but_its_model_waits_for_its_thread() -> None:
    release = threading.Event()
    begun = threading.Event()
    log: list[str] = []

    def stubborn(model: object) -> None:
        begun.set()
        release.wait()
        log.append("stubborn returned")

    async with open_model_pool("test", object) as pool, trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(cancel_when, begun, scope)
            await pool.run(stubborn, name="stubborn")
        assert scope.cancelled_caught
        assert log == []
        assert pool.statistics().abandoned == ("stubborn",)
        assert pool.statistics().busy == 1

        nursery.start_soon(partial(pool.run, lambda model: log.append("next")))
        await trio.testing.wait_all_tasks_blocked()
        assert pool.statistics().waiting == 1
        release.set()
    assert log == ["stubborn returned", "next"]
    statistics = pool.statistics()
    assert (statistics.abandoned, statistics.abandoned_total, statistics.busy) == ((), 1, 0)


async def cancel_when(event: threading.Event, scope: trio.CancelScope) -> None:
    await trio.to_thread.run_sync(event.wait)
    scope.cancel()


async def test_a_job_that_checks_ends_early_when_its_caller_is_cancelled() -> None:
    begun = threading.Event()

    def endless() -> None:
        begun.set()
        while True:
            check_cancelled()

    async with open_workers("test") as pool:
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:
                nursery.start_soon(cancel_when, begun, scope)
                await pool.run(endless)
        assert await pool.run(lambda: "free again") == "free again"


async def test_leaving_names_the_jobs_that_did_not_return_in_time() -> None:
    release = threading.Event()
    begun = threading.Event()
    hub = EventHub()
    told: list[object] = []
    with emitting_to(hub), hub.observed_by(told.append):
        async with open_workers("test", grace_s=0.0) as pool, trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:
                nursery.start_soon(cancel_when, begun, scope)
                await pool.run(lambda: (begun.set(), release.wait()), name="stuck")
    release.set()
    assert [(event.task, event.where) for event in told if isinstance(event, TaskStuck)] == [
        ("stuck", "pool test")
    ]
    assert pool.statistics().abandoned == ("stuck",)


async def test_leaving_waits_for_a_job_in_hand(autojump_clock) -> None:
    async with trio.open_nursery() as nursery:
        done: list[int] = []
        async with open_workers("test", runner=InlineRunner(1.0, nursery=nursery)) as pool:
            with trio.move_on_after(0.2):
                await pool.run(done.append, 1, name="slow")
            assert pool.statistics().abandoned == ("slow",)
            left_at = trio.current_time()
        assert trio.current_time() - left_at == pytest.approx(0.8)
    assert done == [1]


async def test_leaving_under_cancellation_waits_no_longer_than_the_grace(autojump_clock) -> None:
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(1.0):
            async with open_workers("test", runner=InlineRunner(10.0, nursery=nursery), grace_s=2.0) as pool:
                await pool.run(int, name="slow")
        assert trio.current_time() - began == pytest.approx(3.0)
        assert pool.statistics().abandoned == ("slow",)


async def test_a_closed_pool_refuses_calls_and_those_that_waited(autojump_clock) -> None:
    refused: list[type] = []

    async def ask() -> None:
        try:
            await pool.run(int)
        except trio.ClosedResourceError as error:
            refused.append(type(error))

    async with trio.open_nursery() as nursery:
        async with open_workers("test", runner=InlineRunner(1.0)) as pool:
            nursery.start_soon(pool.run, int)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
    assert refused == [trio.ClosedResourceError]
    with pytest.raises(trio.ClosedResourceError, match="'test' is closed"):
        await pool.run(int)


async def test_each_instance_serves_one_call_at_a_time() -> None:
    """Both jobs are held until both are in hand, so they must have had different instances."""
    both = threading.Barrier(2)

    def use(model: list[int]) -> int:
        both.wait()
        return id(model)

    used: list[int] = []
    async with open_model_pool("test", list, size=2) as pool, trio.open_nursery() as nursery:

        async def call() -> None:
            used.append(await pool.run(use))

        nursery.start_soon(call)
        nursery.start_soon(call)
    assert len(set(used)) == 2


async def test_a_reentrant_model_is_made_once_for_all_slots(autojump_clock) -> None:
    made: list[object] = []

    def factory() -> object:
        made.append(object())
        return made[-1]

    async with open_model_pool("test", factory, size=3, reentrant=True, runner=InlineRunner()) as pool:
        assert await pool.run(lambda model: model) is made[0]
        assert pool.statistics().workers == 3
    assert len(made) == 1


async def test_what_the_factory_raises_comes_through() -> None:
    def factory() -> None:
        raise Refused

    with pytest.raises(Refused):
        async with open_model_pool("test", factory):
            pytest.fail("the block must not be entered")


async def test_a_pool_needs_a_worker() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        async with open_workers("test", workers=0):
            pass
    with pytest.raises(ConfigError, match="at least 1"):
        async with open_model_pool("test", list, size=0):
            pass


async def test_check_cancelled_is_harmless_outside_a_thread() -> None:
    check_cancelled()
    async with open_workers("test", runner=InlineRunner()) as pool:
        assert await pool.run(check_cancelled) is None


async def test_a_call_that_leaves_the_queue_leaves_its_sessions_others_in_it(autojump_clock) -> None:
    served: list[str] = []
    async with open_workers("test", runner=InlineRunner(1.0)) as pool, trio.open_nursery() as nursery:
        for item in ("first", "second"):
            nursery.start_soon(pool.run, served.append, item)
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(0.5):
            await pool.run(served.append, "cancelled")
        assert pool.statistics().waiting == 1
    assert sorted(served) == ["first", "second"]


async def test_an_inline_job_that_is_cancelled_gives_its_slot_back(autojump_clock) -> None:
    async with open_workers("test", runner=InlineRunner(10.0)) as pool:
        assert pool.name == "test"
        with trio.move_on_after(1):
            await pool.run(int)
        statistics = pool.statistics()
        assert (statistics.busy, statistics.abandoned_total) == (0, 0)
        assert await pool.run(int) == 0


async def test_a_job_whose_caller_gave_up_before_it_began_is_not_run(autojump_clock) -> None:
    kept: list[Job] = []

    async def late(job: Job) -> object:
        kept.append(job)
        await trio.sleep(10)
        return job()

    ran: list[int] = []
    async with open_workers("test", runner=late) as pool:
        with trio.move_on_after(1):
            await pool.run(ran.append, 1)
        with pytest.raises(trio.RunFinishedError):
            kept[0]()
        assert ran == []
        assert pool.statistics().busy == 0


async def test_a_job_that_was_left_behind_is_listed_until_it_returns(autojump_clock) -> None:
    left: set[Job] = set()
    async with trio.open_nursery() as nursery:
        runner = InlineRunner(10.0, nursery=nursery)
        async with open_workers("test", runner=runner, grace_s=20) as pool:
            token = abandoned_jobs.set(left)
            with trio.move_on_after(1):
                await pool.run(int, name="slow")
            abandoned_jobs.reset(token)
            assert [job.name for job in left] == ["slow"]
            await trio.sleep(10)
            assert not left
