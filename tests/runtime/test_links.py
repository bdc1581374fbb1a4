from __future__ import annotations

import math

import pytest
import trio
import trio.testing

from voicetrio.errors import ConfigError, LinkBroken, LinkOverflow, LinkStopped
from voicetrio.events import LinkDropped
from voicetrio.frames import AudioFrame
from voicetrio.runtime.emit import EventHub, emitting_to
from voicetrio.runtime.links import open_link


def audio(milliseconds: int, position: int = 0) -> AudioFrame:
    return AudioFrame.silence(16 * milliseconds, 16_000, position=position)


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked()


# --- trio's semantics ------------------------------------------------------------------------


async def test_items_come_out_in_order_and_then_the_end():
    sender, receiver = open_link[int](max_items=10)
    for number in range(5):
        await sender.send(number)
    sender.close()
    assert [number async for number in receiver] == [0, 1, 2, 3, 4]
    with pytest.raises(trio.EndOfChannel):
        await receiver.receive()


async def test_send_and_receive_are_checkpoints_whether_they_wait_or_not():
    sender, receiver = open_link[int](max_items=1)
    with trio.testing.assert_checkpoints():
        await sender.send(1)
    with trio.testing.assert_checkpoints():
        await receiver.receive()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(receiver.receive)
        await settle()
        with trio.testing.assert_checkpoints():
            await sender.send(2)  # straight to the task that waits
    with trio.testing.assert_checkpoints():
        await sender.aclose()
    with trio.testing.assert_checkpoints():
        await receiver.aclose()


async def test_a_cancelled_scope_neither_sends_nor_receives():
    sender, receiver = open_link[int](max_items=2)
    sender.send_nowait(1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await sender.send(2)
    with trio.CancelScope() as scope:
        scope.cancel()
        await receiver.receive()
    assert receiver.receive_nowait() == 1
    with pytest.raises(trio.WouldBlock):
        receiver.receive_nowait()


async def test_a_send_that_waits_and_is_cancelled_did_not_happen():
    sender, receiver = open_link[int](max_items=1)
    await sender.send(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.send, 2)
        await settle()
        assert sender.statistics().tasks_waiting_send == 1
        nursery.cancel_scope.cancel()
    assert sender.statistics().tasks_waiting_send == 0
    assert await receiver.receive() == 1
    with pytest.raises(trio.WouldBlock):
        receiver.receive_nowait()


async def test_an_item_handed_to_a_receive_is_not_lost_by_a_cancel_after_it():
    sender, receiver = open_link[int]()
    got = []

    async def receive() -> None:
        with scope:
            got.append(await receiver.receive())

    scope = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await settle()
        sender.send_nowait(1)
        scope.cancel()
    assert got == [1]


async def test_tasks_that_wait_are_served_in_order():
    sender, receiver = open_link[int](max_items=0)
    got: list[tuple[int, int]] = []

    async def receive(who: int) -> None:
        got.append((who, await receiver.receive()))

    async with trio.open_nursery() as nursery:
        for who in range(3):
            nursery.start_soon(receive, who)
            await settle()
        for number in range(3):
            sender.send_nowait(number)
    assert sorted(got) == [(0, 0), (1, 1), (2, 2)]

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(sender.send, number)
            await settle()
        assert [await receiver.receive() for _ in range(3)] == [0, 1, 2]


def test_nowait_raises_would_block_when_it_would():
    sender, receiver = open_link[int]()
    with pytest.raises(trio.WouldBlock):
        receiver.receive_nowait()
    sender.send_nowait(1)
    with pytest.raises(trio.WouldBlock):
        sender.send_nowait(2)
    assert receiver.receive_nowait() == 1


async def test_none_can_be_sent():
    sender, receiver = open_link[None]()
    await sender.send(None)
    assert await receiver.receive() is None


async def test_a_closed_end_cannot_be_used_and_its_waiting_tasks_are_told():
    sender, receiver = open_link[int](max_items=0)
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await sender.send(1)

            nursery.start_soon(send)
            await settle()
            sender.close()
    for use in (lambda: sender.send_nowait(1), sender.clone):
        with pytest.raises(trio.ClosedResourceError):
            use()
    with pytest.raises(trio.ClosedResourceError):
        await sender.send(1)

    _, receiver = open_link[int]()
    async with trio.open_nursery() as nursery:

        async def receive() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await receiver.receive()

        nursery.start_soon(receive)
        await settle()
        receiver.close()
    for use in (receiver.receive_nowait, receiver.clone):
        with pytest.raises(trio.ClosedResourceError):
            use()
    with pytest.raises(trio.ClosedResourceError):
        await receiver.receive()


async def test_closing_one_clone_tells_only_the_tasks_that_wait_at_it():
    sender, receiver = open_link[int]()
    clone = receiver.clone()
    got = []

    async def receive() -> None:
        got.append(await clone.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await settle()
        receiver.close()
        await sender.send(1)
    assert got == [1]


async def test_the_stream_ends_when_every_clone_is_closed():
    sender, receiver = open_link[int](max_items=5)
    clone = sender.clone()
    sender.close()
    clone.send_nowait(1)
    clone.close()
    assert [number async for number in receiver] == [1]


def test_closing_twice_does_nothing_more():
    sender, receiver = open_link[int]()
    clone = sender.clone()
    sender.close()
    sender.close()
    sender.abort(ValueError())
    clone.send_nowait(1)
    receiver.close()
    receiver.close()
    assert sender.statistics().open_senders == 1


async def test_a_waiting_receive_sees_the_end():
    sender, receiver = open_link[int]()
    async with trio.open_nursery() as nursery:

        async def receive() -> None:
            with pytest.raises(trio.EndOfChannel):
                await receiver.receive()

        nursery.start_soon(receive)
        await settle()
        sender.close()


# --- the two terminations ------------------------------------------------------------------------


async def test_an_abort_is_seen_after_what_was_buffered_and_stays():
    sender, receiver = open_link[int](name="speech", max_items=5)
    cause = ValueError("the model died")
    await sender.send(1)
    sender.abort(cause)
    assert await receiver.receive() == 1
    for _ in range(2):
        with pytest.raises(LinkBroken, match=r"speech.*the model died") as caught:
            await receiver.receive()
        assert caught.value.cause is cause
        assert caught.value.__cause__ is cause
        assert caught.value.link is receiver.link
    assert receiver.statistics().state == "broken"


async def test_a_waiting_receive_sees_an_abort():
    sender, receiver = open_link[int]()
    async with trio.open_nursery() as nursery:

        async def receive() -> None:
            with pytest.raises(LinkBroken):
                await receiver.receive()

        nursery.start_soon(receive)
        await settle()
        sender.abort()


async def test_one_clones_abort_breaks_the_link_for_the_others():
    sender, receiver = open_link[int](max_items=1)
    clone = sender.clone()
    sender.send_nowait(1)
    async with trio.open_nursery() as nursery:

        async def send() -> None:
            with pytest.raises(LinkBroken):
                await sender.send(2)

        nursery.start_soon(send)
        await settle()
        clone.abort(ValueError("first"))
        sender.clone().abort(ValueError("second"))
    with pytest.raises(LinkBroken):
        sender.send_nowait(3)
    sender.close()
    assert await receiver.receive() == 1
    with pytest.raises(LinkBroken, match="first"):
        await receiver.receive()


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_leaving_the_block_by_an_exception_is_an_abort(asynchronous: bool):
    sender, receiver = open_link[int]()
    error = ValueError("boo")

    async def leave() -> None:
        if asynchronous:
            async with sender:
                raise error
        else:
            with sender:
                raise error

    with pytest.raises(ValueError, match="boo"):
        await leave()
    with pytest.raises(LinkBroken) as caught:
        await receiver.receive()
    assert caught.value.cause is error


async def test_leaving_the_block_normally_is_the_end():
    sender, receiver = open_link[int]()
    async with sender:
        pass
    with pytest.raises(trio.EndOfChannel):
        await receiver.receive()
    sender, receiver = open_link[int]()
    with sender, receiver:
        pass
    assert receiver.statistics().open_receivers == 0


async def test_leaving_the_block_by_a_cancel_is_an_abort_and_closes():
    sender, receiver = open_link[int]()
    with trio.CancelScope() as scope:
        async with sender:
            scope.cancel()
            await trio.lowlevel.checkpoint()
    with pytest.raises(LinkBroken):
        await receiver.receive()


async def test_aclose_in_a_cancelled_scope_still_closes():
    sender, receiver = open_link[int]()
    with trio.CancelScope() as scope:
        scope.cancel()
        await sender.aclose()
    with trio.CancelScope() as scope:
        scope.cancel()
        await receiver.aclose()
    assert (sender.statistics().open_senders, sender.statistics().open_receivers) == (0, 0)


async def test_a_closed_receiver_stops_the_senders_and_names_the_link():
    sender, receiver = open_link[int](max_items=1)
    sender.send_nowait(1)
    async with trio.open_nursery() as nursery:

        async def send() -> None:
            with pytest.raises(LinkStopped) as caught:
                await sender.send(2)
            assert caught.value.link is sender.link

        nursery.start_soon(send)
        await settle()
        receiver.close()
    with pytest.raises(LinkStopped):
        sender.send_nowait(3)
    with pytest.raises(trio.BrokenResourceError):
        await sender.send(3)
    assert sender.statistics().discarded_items == 1
    assert sender.statistics().state == "stopped"


# --- bounds and policies -----------------------------------------------------------------------------


def test_the_bound_in_seconds_counts_the_audio():
    sender, receiver = open_link[AudioFrame](max_items=100, max_s=0.08)
    for _ in range(4):
        sender.send_nowait(audio(20))
    with pytest.raises(trio.WouldBlock):
        sender.send_nowait(audio(20))
    assert sender.statistics().seconds == pytest.approx(0.08)
    receiver.receive_nowait()
    sender.send_nowait(audio(20))
    assert sender.statistics().peak_s == pytest.approx(0.08)


def test_an_item_longer_than_the_bound_is_admitted_alone():
    sender, receiver = open_link[AudioFrame](max_items=100, max_s=0.05)
    sender.send_nowait(audio(1000))
    with pytest.raises(trio.WouldBlock):
        sender.send_nowait(audio(1))
    receiver.receive_nowait()
    sender.send_nowait(audio(1))


async def test_what_is_short_does_not_overtake_what_waits():
    sender, receiver = open_link[AudioFrame](max_items=100, max_s=0.1)
    sender.send_nowait(audio(80, position=0))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.send, audio(60, position=1))
        await settle()
        with pytest.raises(trio.WouldBlock):
            sender.send_nowait(audio(10, position=2))
        nursery.start_soon(sender.send, audio(10, position=2))
        await settle()
        assert [(await receiver.receive()).position for _ in range(3)] == [0, 1, 2]


async def test_one_receive_lets_in_all_that_fit():
    sender, receiver = open_link[AudioFrame](max_items=100, max_s=0.1)
    sender.send_nowait(audio(100))
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(sender.send, audio(20))
        await settle()
        receiver.receive_nowait()
        assert sender.statistics().items == 3
        assert sender.statistics().tasks_waiting_send == 0


def test_items_without_a_duration_count_nothing():
    sender, _ = open_link[str](max_items=100, max_s=0.01)
    for _ in range(100):
        sender.send_nowait("word")
    with pytest.raises(trio.WouldBlock):
        sender.send_nowait("word")


def test_rounding_does_not_add_up():
    sender, receiver = open_link[AudioFrame](max_items=100, max_s=0.3)
    frame = audio(10)
    for _ in range(3000):
        sender.send_nowait(frame)
        sender.send_nowait(frame)
        receiver.receive_nowait()
        receiver.receive_nowait()
    for _ in range(30):
        sender.send_nowait(frame)


async def test_drop_oldest_never_waits_and_tells_of_the_gap_once():
    sender, receiver = open_link[AudioFrame](name="live", max_items=2, policy="drop_oldest")
    told = []
    hub = EventHub()
    with hub.observed_by(told.append), emitting_to(hub):
        for number in range(5):
            await sender.send(audio(20, position=320 * number))
        assert [(await receiver.receive()).position for _ in range(2)] == [960, 1280]
    assert told == [
        LinkDropped(link="live", items=3, seconds=pytest.approx(0.06), position=960, time=told[0].time)
    ]
    statistics = receiver.statistics()
    assert (statistics.sent, statistics.received, statistics.dropped_items) == (5, 2, 3)
    assert statistics.dropped_s == pytest.approx(0.06)


async def test_drop_oldest_makes_room_in_seconds_for_what_is_long():
    sender, receiver = open_link[AudioFrame](max_items=10, max_s=0.1, policy="drop_oldest")
    for number in range(5):
        sender.send_nowait(audio(20, position=number))
    sender.send_nowait(audio(50, position=5))
    sender.close()
    assert [frame.position async for frame in receiver] == [3, 4, 5]


async def test_fail_raises_overflow_and_keeps_what_it_has():
    sender, receiver = open_link[int](name="inbox", max_items=1, policy="fail")
    await sender.send(1)
    with pytest.raises(LinkOverflow, match=r"inbox.*1 of 1 items") as caught:
        await sender.send(2)
    assert caught.value.link is sender.link
    assert await receiver.receive() == 1
    await sender.send(3)


@pytest.mark.parametrize(
    "options",
    [
        {"max_items": -1},
        {"max_items": 1.5},
        {"max_s": 0},
        {"max_s": math.nan},
        {"policy": "drop"},
        {"max_items": 0, "policy": "drop_oldest"},
    ],
)
def test_a_bound_that_makes_no_sense_is_refused(options):
    with pytest.raises(ConfigError, match=r"must be|nothing to drop"):
        open_link(**options)


def test_no_bound_is_no_bound():
    sender, _ = open_link[int](max_items=math.inf)
    for number in range(1000):
        sender.send_nowait(number)
    assert sender.statistics().peak_items == 1000


def test_statistics_add_up():
    sender, receiver = open_link[int](name="one", max_items=3)
    for number in range(3):
        sender.send_nowait(number)
    receiver.receive_nowait()
    statistics = sender.statistics()
    assert statistics == receiver.statistics()
    assert (statistics.name, statistics.state, statistics.policy) == ("one", "open", "block")
    assert (statistics.items, statistics.max_items, statistics.peak_items) == (2, 3, 3)
    assert (statistics.sent, statistics.received, statistics.seconds) == (3, 1, 0.0)
    assert (statistics.max_s, statistics.peak_s) == (None, None)
    assert (statistics.open_senders, statistics.open_receivers) == (1, 1)
    assert "one" in repr(sender)
    assert "one" in repr(receiver)
    sender.close()
    assert sender.statistics().state == "ended"


# --- a loop over a link: the same promises as receive ---


async def test_a_loop_that_waits_ends_with_the_stream(autojump_clock):
    sender, receiver = open_link()
    got = []

    async def collect():
        got.extend([item async for item in receiver])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect)
        await settle()
        await sender.send(1)
        await settle()
        sender.close()
    assert got == [1]


async def test_a_loop_that_waits_is_told_of_a_broken_sender(autojump_clock):
    sender, receiver = open_link()
    with pytest.RaisesGroup(pytest.RaisesExc(LinkBroken, match="no more")):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiver.__anext__)
            await settle()
            sender.abort(ValueError("no more"))


async def test_a_cancelled_loop_loses_nothing(autojump_clock):
    sender, receiver = open_link(max_items=2)
    with trio.move_on_after(1) as scope:
        await receiver.__anext__()
    assert scope.cancelled_caught
    await sender.send("kept")
    with trio.CancelScope() as scope:
        scope.cancel()
        await receiver.__anext__()
    assert scope.cancelled_caught
    assert await receiver.receive() == "kept"


async def test_a_loop_over_a_closed_end_is_refused():
    _sender, receiver = open_link()
    receiver.close()
    with pytest.raises(trio.ClosedResourceError):
        await receiver.__anext__()


async def test_a_turn_of_a_loop_is_a_checkpoint_though_an_item_is_there():
    sender, receiver = open_link()
    sender.send_nowait(1)
    with trio.testing.assert_checkpoints():
        assert await receiver.__anext__() == 1


# --- listening ---------------------------------------------------------------------------------


async def test_a_listener_is_given_what_waits_and_then_each_item_in_the_step_that_sends_it():
    sender, receiver = open_link[int](max_items=5)
    got: list[int] = []
    sender.send_nowait(1)
    sender.send_nowait(2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(receiver.listen, got.append)
        await settle()
        sender.send_nowait(3)
        assert got == [1, 2, 3]
        await sender.send(4)
        assert got == [1, 2, 3, 4]
        with pytest.raises(trio.BusyResourceError):
            await receiver.listen(got.append)
        sender.close()
    assert receiver.statistics().received == 4


async def test_what_a_listener_raises_is_raised_in_its_task_and_what_comes_then_waits():
    sender, receiver = open_link[int](max_items=5)

    def fail(item: int) -> None:
        raise ValueError(item)

    async def listen() -> None:
        with pytest.raises(ValueError, match="1"):
            await receiver.listen(fail)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        await settle()
        sender.send_nowait(1)
        sender.send_nowait(2)
    assert await receiver.receive() == 2


async def test_a_listener_that_is_cancelled_loses_nothing_and_another_goes_on():
    sender, receiver = open_link[int](max_items=5)
    got: list[int] = []
    for number in range(3):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiver.listen, got.append)
            await settle()
            sender.send_nowait(3 * number)
            nursery.cancel_scope.cancel()
            sender.send_nowait(3 * number + 1)
        sender.send_nowait(3 * number + 2)
    sender.close()
    await receiver.listen(got.append)
    assert got == list(range(9))


async def test_a_listener_is_told_of_an_abort_and_of_its_own_end():
    sender, receiver = open_link[int](max_items=5)

    async def listen(error: type[Exception]) -> None:
        with pytest.raises(error):
            await receiver.listen(print)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, LinkBroken)
        await settle()
        sender.abort(ValueError("why"))
    sender, receiver = open_link[int](max_items=5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, trio.ClosedResourceError)
        await settle()
        receiver.close()
    with pytest.raises(LinkStopped):
        sender.send_nowait(1)
    with pytest.raises(trio.ClosedResourceError):
        await receiver.listen(print)
