from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from voicetrio.runtime.keeper import Kept, Opener, open_keeper


class Resource:
    def __init__(self) -> None:
        self.log: list[str] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        self.log.append("opened")
        await trio.sleep(1)
        try:
            yield "value"
        finally:
            self.log.append("closed")


async def test_what_is_kept_outlives_the_task_that_first_needed_it(autojump_clock: object) -> None:
    resource = Resource()
    opener = Opener(resource.open)

    async def use() -> None:
        async with opener.use() as value:
            assert value == "value"

    async with open_keeper():
        for _ in range(2):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(use)
                nursery.start_soon(use)
        assert resource.log == ["opened"]
    assert resource.log == ["opened", "closed"]


async def test_without_a_keeper_each_use_opens_and_closes(autojump_clock: object) -> None:
    resource = Resource()
    opener = Opener(resource.open)
    opener.begin()
    for _ in range(2):
        async with opener.use():
            pass
    assert resource.log == ["opened", "closed"] * 2


async def test_begun_early_it_is_open_when_it_is_needed(autojump_clock: object) -> None:
    opener = Opener(Resource().open)
    async with open_keeper():
        opener.begin()
        await trio.sleep(2)
        start = trio.current_time()
        async with opener.use():
            assert trio.current_time() == start


async def test_an_opening_that_fails_fails_its_users_and_not_the_keeper() -> None:
    @asynccontextmanager
    async def fail() -> AsyncIterator[str]:
        await trio.lowlevel.checkpoint()
        raise ValueError("no")
        yield ""

    opener = Opener(fail)
    async with open_keeper():
        for _ in range(2):
            with pytest.raises(ValueError, match="no"):
                async with opener.use():
                    pytest.fail("it cannot be open")


async def test_cancelling_the_keeper_closes_what_it_keeps(autojump_clock: object) -> None:
    resource = Resource()
    opener = Opener(resource.open)
    with trio.move_on_after(5):
        async with open_keeper():
            async with opener.use():
                await trio.sleep_forever()
    assert resource.log == ["opened", "closed"]


async def test_cancelled_while_it_opens_nothing_waits_for_ever(autojump_clock: object) -> None:
    opener = Opener(Resource().open)
    with trio.move_on_after(0.5) as scope:
        async with open_keeper():
            async with opener.use():
                pytest.fail("it cannot be open")
    assert scope.cancelled_caught


async def test_what_fails_while_it_is_kept_fails_the_keeper(autojump_clock: object) -> None:
    @asynccontextmanager
    async def fail_later() -> AsyncIterator[str]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            yield "value"

    async def fail() -> None:
        await trio.sleep(1)
        raise OSError("it broke")

    with pytest.RaisesGroup(OSError, flatten_subgroups=True):
        async with open_keeper():
            async with Opener(fail_later).use():
                await trio.sleep_forever()


async def test_who_waits_elsewhere_for_what_is_not_opened_any_more_is_told(autojump_clock: object) -> None:
    """Its keeper was cancelled in the midst of the opening."""
    resource = Resource()
    told = False

    async def wait(kept: Kept[str]) -> None:
        nonlocal told
        with pytest.raises(trio.ClosedResourceError, match="was not opened"):
            await kept.get()
        told = True

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(0.5):
            async with open_keeper() as keeper:
                nursery.start_soon(wait, keeper.keep(resource.open))
                await trio.sleep_forever()
    assert told
