"""A task that makes items while another one uses them."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from voicetrio.runtime.producing import open_produced


async def count_to(last: int, outlet: trio.abc.SendChannel[int]) -> None:
    for number in range(last):
        await outlet.send(number)


async def test_what_is_produced_comes_in_order_and_ends() -> None:
    async with open_produced(lambda outlet: count_to(5, outlet), ahead=2) as items:
        assert [item async for item in items] == [0, 1, 2, 3, 4]


async def test_it_is_never_further_ahead_than_it_may(autojump_clock: trio.testing.MockClock) -> None:
    made: list[int] = []

    async def produce(outlet: trio.abc.SendChannel[int]) -> None:
        for number in range(10):
            await outlet.send(number)
            made.append(number)

    async with open_produced(produce, ahead=3) as items:
        await trio.sleep(1)
        assert made == [0, 1, 2]
        assert await items.receive() == 0
        await trio.sleep(1)
        assert made == [0, 1, 2, 3]


@pytest.mark.parametrize("ahead", [0, 3])
async def test_what_the_producer_raises_comes_out_as_it_is(
    autojump_clock: trio.testing.MockClock, ahead: int
) -> None:
    async def produce(outlet: trio.abc.SendChannel[int]) -> None:
        await trio.sleep(1)
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        async with open_produced(produce, ahead=ahead):
            await trio.sleep_forever()  # the block is cancelled
    assert trio.current_time() == 1


async def test_what_the_user_raises_comes_out_as_it_is_and_stops_the_producer() -> None:
    stopped = False

    async def produce(outlet: trio.abc.SendChannel[int]) -> None:
        nonlocal stopped
        try:
            await trio.sleep_forever()
        finally:
            stopped = True

    async def use() -> None:
        async with open_produced(produce, ahead=1):
            await trio.testing.wait_all_tasks_blocked()
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await use()
    assert stopped


async def test_the_producers_failure_is_worth_more_than_what_it_made_the_user_raise(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def produce(outlet: trio.abc.SendChannel[int]) -> None:
        raise KeyError("the cause")

    async def use() -> None:
        async with open_produced(produce, ahead=1) as items:
            async for _ in items:
                pass
            raise ValueError("it gave too little")

    with pytest.raises(KeyError, match="the cause"):
        await use()


async def test_it_is_worth_more_than_what_fails_when_the_user_is_stopped_by_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def produce(outlet: trio.abc.SendChannel[int]) -> None:
        await trio.sleep(1)
        raise KeyError("the cause")

    async def use() -> None:
        async with open_produced(produce, ahead=1):
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("in cleaning up")

    with pytest.raises(KeyError, match="the cause"):
        await use()


async def test_a_user_who_stops_early_is_no_failure_of_the_producer() -> None:
    async with open_produced(lambda outlet: count_to(1000, outlet), ahead=1) as items:
        assert await items.receive() == 0
        await items.aclose()
        await trio.testing.wait_all_tasks_blocked()
