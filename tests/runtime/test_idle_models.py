"""Models that are loaded when they are wanted, and unloaded when nobody wants them."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from voicetrio.errors import ServiceError
from voicetrio.runtime.idle_models import IdleModel, open_idle_model
from voicetrio.runtime.workers import InlineRunner, ModelPool


class Loads:
    """Counts loads, which take a second; the given ones fail."""

    def __init__(self, *failing: int) -> None:
        self.count = 0
        self.failing = failing

    def __call__(self) -> int:
        self.count += 1
        if self.count in self.failing:
            raise OSError("disk on fire")
        return self.count


async def test_a_model_is_loaded_once_for_all_that_wait_and_again_after_it_was_idle(
    autojump_clock: trio.testing.MockClock,
) -> None:
    loads = Loads()
    async with open_idle_model("m", loads, size=2, idle_s=60, runner=InlineRunner(1.0)) as model:
        assert not model.statistics().is_loaded

        async def use(seconds: float) -> None:
            async with model.lease() as pool:
                assert await pool.run(lambda number: number) >= 1
                await trio.sleep(seconds)

        async with trio.open_nursery() as nursery:
            for seconds in (0, 0, 100):
                nursery.start_soon(use, seconds)
        # Two instances, for two slots; the long lease kept them.
        assert loads.count == 2
        assert model.statistics().load_s == pytest.approx(2.0)
        await trio.sleep(59)
        assert model.statistics().is_loaded
        await trio.sleep(2)
        assert not model.statistics().is_loaded
        await use(0)
        assert (loads.count, model.statistics().loads) == (4, 2)
        assert model.unload()
        await trio.testing.wait_all_tasks_blocked()
        assert not model.statistics().is_loaded


async def test_a_load_that_fails_fails_everybody_and_is_tried_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    failures: list[str] = []
    async with open_idle_model("m", Loads(1), runner=InlineRunner(1.0)) as model:

        async def use() -> None:
            try:
                async with model.lease():
                    pass
            except ServiceError as error:
                failures.append(str(error))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(use)
            nursery.start_soon(use)
        assert failures == ["m: it cannot be loaded: disk on fire"] * 2
        await use()
        assert len(failures) == 2


async def test_a_wait_for_a_load_can_be_cancelled_and_leaves_it_to_the_others(
    autojump_clock: trio.testing.MockClock,
) -> None:
    loads = Loads()
    async with open_idle_model("m", loads, runner=InlineRunner(10.0)) as model:
        with trio.move_on_after(1):
            async with model.lease():
                pass
        async with model.lease():
            assert trio.current_time() < 1 + 10
        assert loads.count == 1


async def test_what_the_block_raises_comes_out_in_no_group() -> None:
    with pytest.raises(KeyError):
        async with open_idle_model("m", Loads()):
            raise KeyError


async def use_after(model: IdleModel[int], wait_s: float) -> None:
    await trio.sleep(wait_s)
    async with model.lease():
        pass


async def test_who_comes_while_it_loads_does_not_make_it_load_again_when_it_was_unloaded(
    autojump_clock: trio.testing.MockClock,
) -> None:
    loads = Loads()
    async with open_idle_model("m", loads, idle_s=5, runner=InlineRunner(1.0)) as model:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(use_after, model, 0.0)
            nursery.start_soon(use_after, model, 0.5)
        assert loads.count == 1
        await trio.sleep(60)
        assert not model.statistics().is_loaded
        assert loads.count == 1


async def test_who_comes_while_a_load_fails_does_not_make_it_load_for_nobody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    loads = Loads(1)
    async with open_idle_model("m", loads, runner=InlineRunner(1.0)) as model:
        with pytest.RaisesGroup(ServiceError, ServiceError):
            async with trio.open_nursery() as nursery:
                for wait_s in (0.0, 0.5):
                    nursery.start_soon(use_after, model, wait_s)
        await trio.sleep(60)
        assert loads.count == 1


async def test_a_model_that_is_asked_to_go_stays_for_who_has_it_and_no_longer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_idle_model("m", Loads(), runner=InlineRunner(1.0)) as model:
        assert not model.unload()  # it is not loaded
        async with model.lease():
            assert model.unload()
            await trio.sleep(60)
            assert model.statistics().is_loaded
        await trio.testing.wait_all_tasks_blocked()
        assert not model.statistics().is_loaded
        assert model.statistics().pool is None


async def test_a_lease_within_the_idle_time_begins_it_anew(autojump_clock: trio.testing.MockClock) -> None:
    loads = Loads()
    async with open_idle_model("m", loads, idle_s=10, runner=InlineRunner(1.0)) as model:
        for _ in range(5):
            await use_after(model, 9)
        assert (loads.count, model.statistics().is_loaded) == (1, True)
        await trio.sleep(11)
        assert not model.statistics().is_loaded


async def test_a_lease_of_what_is_being_closed_waits_and_loads_it_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    loads = Loads()
    async with trio.open_nursery() as nursery:
        runner = InlineRunner(1.0, nursery=nursery)
        async with open_idle_model("m", loads, idle_s=5, runner=runner) as model:

            async def job(pool: ModelPool[int]) -> None:
                with trio.move_on_after(0.5):
                    await pool.run(lambda number: number)

            async with model.lease() as pool:
                await job(pool)  # its instance is busy for another half second
            model.unload()
            await trio.testing.wait_all_tasks_blocked()
            assert not model.statistics().is_loaded
            async with model.lease():
                assert loads.count == 2


async def test_a_pool_that_cannot_be_closed_ends_the_block(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = ModelPool._close

    async def fail(self: ModelPool[int], grace_s: float) -> None:
        await close(self, grace_s)
        if self.name == "m":  # not the one that made the instances
            raise RuntimeError("the pool cannot be closed")

    monkeypatch.setattr(ModelPool, "_close", fail)
    with pytest.RaisesGroup(RuntimeError):
        async with open_idle_model("m", Loads(), runner=InlineRunner(1.0)) as model:
            async with model.lease():
                pass
            model.unload()
            await trio.sleep_forever()
