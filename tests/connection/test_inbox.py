"""What has come and was not taken yet."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from voicetrio.connection.inbox import Inbox


async def test_what_was_put_comes_in_order_and_then_the_end() -> None:
    inbox: Inbox[str] = Inbox()
    inbox._put("a", 2.0)
    inbox._put("b", 0.5)
    assert inbox._held == 2.5
    assert await inbox.receive() == "a"
    assert inbox._held == 0.5
    inbox._end()
    assert [item async for item in inbox] == ["b"]
    with pytest.raises(trio.EndOfChannel):
        await inbox.receive()


async def test_an_error_comes_after_what_came_before_it_and_the_first_one_counts() -> None:
    inbox: Inbox[int] = Inbox()
    inbox._put(1)
    inbox._end(ValueError("first"))
    inbox._end(ValueError("second"))
    assert await inbox.receive() == 1
    for _ in range(2):
        with pytest.raises(ValueError, match="first"):
            await inbox.receive()


async def test_each_of_those_who_wait_is_woken(autojump_clock: MockClock) -> None:
    inbox: Inbox[int] = Inbox()
    taken: list[int] = []

    async def take() -> None:
        taken.append(await inbox.receive())

    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + 5
        nursery.start_soon(take)
        nursery.start_soon(take)
        await trio.sleep(1)
        inbox._put(1)
        await trio.sleep(1)
        assert taken == [1]
        inbox._put(2)
    assert taken == [1, 2]


async def test_cancelling_loses_nothing(autojump_clock: MockClock) -> None:
    inbox: Inbox[int] = Inbox()
    with trio.move_on_after(1):
        await inbox.receive()
    inbox._put(1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await inbox.receive()
    assert await inbox.receive() == 1


async def test_what_is_discarded_does_not_come() -> None:
    inbox: Inbox[int] = Inbox()
    inbox._put(1, 3.0)
    inbox._discard()
    inbox._end()
    assert inbox._held == 0.0
    with pytest.raises(trio.EndOfChannel):
        await inbox.receive()
