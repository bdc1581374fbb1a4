"""Tasks that serve a block: they end with it, and what the block raises comes out as it is."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from tests.runtime.peer import Peer
from voicetrio.runtime.attendants import open_attendants
from voicetrio.runtime.branch_health import open_branch_health
from voicetrio.runtime.idle_models import open_idle_model
from voicetrio.runtime.producing import open_produced
from voicetrio.runtime.session import open_session
from voicetrio.testing.faults.proxy import open_fault_proxy
from voicetrio.testing.faults.sockets import RefuseUpgrade, open_faulty_server


async def raise_after(seconds: float, error: BaseException) -> None:
    await trio.sleep(seconds)
    raise error


async def test_they_are_cancelled_when_the_block_is_left(autojump_clock: trio.testing.MockClock) -> None:
    ended: list[float] = []

    async def attend() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(trio.current_time())

    async with open_attendants() as nursery:
        nursery.start_soon(attend)
        await trio.sleep(2)
    assert ended == [2]


async def test_they_are_waited_for_if_that_is_asked(autojump_clock: trio.testing.MockClock) -> None:
    async with open_attendants(wait=True) as nursery:
        nursery.start_soon(trio.sleep, 3)
        await trio.sleep(1)
    assert trio.current_time() == 3


@pytest.mark.parametrize("wait", [False, True])
async def test_what_the_block_raises_comes_out_as_it_is_and_at_once(
    autojump_clock: trio.testing.MockClock, wait: bool
) -> None:
    async def use() -> None:
        async with open_attendants(wait=wait) as nursery:
            nursery.start_soon(trio.sleep_forever)
            await raise_after(1, KeyError("mine"))

    with pytest.raises(KeyError, match="mine"):
        await use()
    assert trio.current_time() == 1


async def test_what_a_task_raises_cancels_the_block_and_comes_out_in_a_group(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with pytest.RaisesGroup(KeyError):
        async with open_attendants() as nursery:
            nursery.start_soon(raise_after, 1, KeyError("theirs"))
            await trio.sleep_forever()


async def test_what_both_raise_comes_out_in_one_group(autojump_clock: trio.testing.MockClock) -> None:
    async def attend() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("theirs")

    with pytest.RaisesGroup(KeyError, ValueError):
        async with open_attendants() as nursery:
            nursery.start_soon(attend)
            await raise_after(1, KeyError("mine"))


async def test_a_block_that_is_cancelled_is_cancelled(autojump_clock: trio.testing.MockClock) -> None:
    with trio.move_on_after(1) as scope:
        async with open_attendants() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_what_the_block_raised_is_gone_with_the_last_who_holds_it() -> None:
    class Mine(Exception):
        """Can be referred to weakly."""

    async def use() -> weakref.ref[Mine]:
        await trio.lowlevel.checkpoint()
        try:
            async with open_attendants() as nursery:
                nursery.start_soon(trio.sleep_forever)
                raise Mine
        except Mine as error:
            return weakref.ref(error)
        raise AssertionError("it was swallowed")

    gc.collect()
    gc.disable()
    try:
        kept = await use()
        await trio.lowlevel.checkpoint()
        assert kept() is None
    finally:
        gc.enable()


# --- whatever is opened so: a failure is not lost in a cancellation --------------------------------


async def wait_for_ever(_argument: object = None) -> None:
    await trio.sleep_forever()


@asynccontextmanager
async def a_session() -> AsyncIterator[Any]:
    async with open_session(Peer(), wait_for_ever) as session:
        yield session


OPENERS: dict[str, Callable[[], AbstractAsyncContextManager[Any]]] = {
    "session": a_session,
    "attendants": open_attendants,
    "produced": lambda: open_produced(wait_for_ever, ahead=1),
    "idle model": lambda: open_idle_model("model", object, idle_s=math.inf),
    "branch health": lambda: open_branch_health(wait_for_ever),
    "fault proxy": lambda: open_fault_proxy("127.0.0.1", 1),
    "faulty server": lambda: open_faulty_server(RefuseUpgrade()),
}


@pytest.mark.parametrize("name", OPENERS)
async def test_what_a_block_raises_comes_out_as_it_is(
    name: str, autojump_clock: trio.testing.MockClock
) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with OPENERS[name]():
            raise KeyError("mine")


@pytest.mark.parametrize("name", OPENERS)
async def test_what_a_block_raises_while_it_is_cancelled_comes_out(
    name: str, autojump_clock: trio.testing.MockClock
) -> None:
    """As it would without the thing that was opened: a ``finally`` that fails must not do so unseen."""

    async def use() -> None:
        with trio.move_on_after(1):
            async with OPENERS[name]():
                try:
                    await trio.sleep_forever()
                finally:
                    raise KeyError("not saved")

    with pytest.raises(KeyError, match="not saved"):
        await use()
