import pytest
import trio

from voicetrio.conversation.inbox import Inbox, UserActed, UserTurn
from voicetrio.errors import LinkOverflow
from voicetrio.machines.capture_clock import CaptureClock


def inbox(max_items=4):
    return Inbox(CaptureClock(16000, 0.0), 16000, live=True, max_items=max_items)


async def test_news_come_in_order(autojump_clock):
    box = inbox()
    box.put(UserTurn("one"))
    box.put(UserTurn("two"))
    assert await box.receive() == UserTurn("one")
    assert await box.receive() == UserTurn("two")


async def test_waiting_ends_at_its_time_or_when_woken(autojump_clock):
    box = inbox()
    start = trio.current_time()
    assert await box.receive(start + 3) is None
    assert trio.current_time() == start + 3
    box.wake()
    assert await box.receive() is None
    async with trio.open_nursery() as nursery:

        async def wake_later():
            await trio.sleep(1)
            box.wake()

        nursery.start_soon(wake_later)
        assert await box.receive() is None
    assert trio.current_time() == start + 4


async def test_news_end_a_wait(autojump_clock):
    box = inbox()
    async with trio.open_nursery() as nursery:

        async def put_later():
            await trio.sleep(1)
            box.put(UserActed())

        nursery.start_soon(put_later)
        assert await box.receive() == UserActed()


async def test_an_overflow_is_a_failure():
    box = inbox(max_items=2)
    box.put(UserActed())
    box.put(UserActed())
    with pytest.raises(LinkOverflow, match="2 news behind"):
        box.put(UserActed())
    assert box.statistics().peak_items == 2


async def test_a_cancelled_receive_loses_nothing(autojump_clock):
    box = inbox()
    with trio.move_on_after(1):
        await box.receive()
    box.put(UserActed())
    assert await box.receive() == UserActed()
