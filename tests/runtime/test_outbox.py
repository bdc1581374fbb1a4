"""The outbox: order, bounds, the urgent lane, and the gate."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from voicetrio.frames import AudioFrame
from voicetrio.runtime.outbox import Gate, Outbox, dialling_allowed, using_gate
from voicetrio.runtime.transport import Clear, SendAudio, SendMessage


def frame(position: int = 0) -> AudioFrame:
    return AudioFrame.silence(480, 24000, position=position)


async def test_operations_come_out_in_order_and_urgent_ones_first() -> None:
    outbox = Outbox(Gate())
    outbox.offer(frame())
    outbox.put(SendMessage("a"))
    outbox.put(Clear(1, 0), urgent=True)
    kinds = [type(await outbox.next()) for _ in range(3)]
    assert kinds == [Clear, SendAudio, SendMessage]


async def test_audio_is_bounded_in_seconds_and_an_offer_never_waits(
    autojump_clock: trio.testing.MockClock,
) -> None:
    outbox = Outbox(Gate(), max_s=0.1)
    assert [outbox.offer(frame(k)) for k in range(7)] == [True] * 5 + [False] * 2
    assert outbox.stuck_since == trio.current_time()
    await outbox.next()
    assert outbox.offer(frame())
    assert outbox.statistics().peak_s == pytest.approx(0.1)


async def test_messages_are_bounded_in_number() -> None:
    outbox = Outbox(Gate(), max_items=2)
    assert [outbox.put(SendMessage(k)) for k in range(3)] == [True, True, False]


async def test_a_shut_gate_lets_nothing_in_and_nothing_out(autojump_clock: trio.testing.MockClock) -> None:
    gate = Gate()
    outbox = Outbox(gate)
    outbox.offer(frame())
    gate.shut()
    assert not outbox.offer(frame())
    assert not outbox.put(SendMessage("a"), urgent=True)
    with trio.move_on_after(5) as scope:
        await outbox.next()
    assert scope.cancelled_caught


async def test_a_gate_shut_between_the_wake_and_the_write_holds() -> None:
    gate = Gate()
    outbox = Outbox(gate)
    got: list[object] = []

    async def writer() -> None:
        got.append(await outbox.next())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer)
        await trio.testing.wait_all_tasks_blocked()
        outbox.offer(frame())  # the writer is woken, and has not run yet
        gate.shut()
        outbox.discard()
        await trio.testing.wait_all_tasks_blocked()
        assert got == []
        nursery.cancel_scope.cancel()


async def test_audio_is_taken_back_with_its_position_and_messages_stay() -> None:
    outbox = Outbox(Gate())
    outbox.offer(frame(480))
    outbox.put(SendMessage("stays"))
    outbox.offer(frame(960))
    assert outbox.take_back_audio() == 480
    assert outbox.take_back_audio() is None
    assert await outbox.next() == SendMessage("stays")


async def test_a_cancelled_next_loses_nothing() -> None:
    outbox = Outbox(Gate())
    with trio.CancelScope() as scope:
        scope.cancel()
        await outbox.next()
    outbox.offer(frame())
    assert isinstance(await outbox.next(), SendAudio)


async def test_a_write_under_way_counts_as_stuck(autojump_clock: trio.testing.MockClock) -> None:
    outbox = Outbox(Gate())
    outbox.put(SendMessage("a"))
    operation = await outbox.next()
    began = trio.current_time()
    await trio.sleep(3)
    assert outbox.stuck_since == began
    outbox.written(operation)
    assert outbox.stuck_since is None


async def test_only_one_reader_is_allowed() -> None:
    outbox = Outbox(Gate())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.next)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await outbox.next()
        nursery.cancel_scope.cancel()


async def test_while_the_writer_waits_an_operation_is_written_in_the_step_that_made_it() -> None:
    outbox = Outbox(Gate())
    at_once: list[object] = []
    told: list[object] = []
    outbox.on_written = told.append
    refused = SendMessage("not at once")

    def write(operation: object) -> bool:
        if operation == refused:
            return False
        at_once.append(operation)
        return True

    queued: list[object] = []

    async def writer() -> None:
        queued.append(await outbox.next(write))

    outbox.put(SendMessage("before it waits"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer)
        await trio.testing.wait_all_tasks_blocked()
        assert queued == [SendMessage("before it waits")]
        outbox.written(queued.pop())
        nursery.start_soon(writer)
        await trio.testing.wait_all_tasks_blocked()
        assert outbox.offer(frame())
        assert outbox.put(Clear(1, 0), urgent=True)
        assert at_once == [SendAudio(frame()), Clear(1, 0)]
        # What is not written at once is given to the writer, and nothing overtakes it.
        assert outbox.put(refused)
        assert outbox.put(SendMessage("behind"))
        assert len(at_once) == 2
    assert queued == [refused]
    assert told == [SendMessage("before it waits"), SendAudio(frame()), Clear(1, 0)]
    assert outbox.statistics().written_items == 3
    assert await outbox.next(write) == SendMessage("behind")


async def test_nothing_is_written_at_once_through_a_shut_gate_or_by_a_writer_that_left() -> None:
    gate = Gate()
    outbox = Outbox(gate)
    at_once: list[object] = []

    def write(operation: object) -> bool:
        at_once.append(operation)
        return True

    with trio.move_on_after(0.01):
        await outbox.next(write)
    assert outbox.put(SendMessage("later"))
    assert at_once == []
    assert await outbox.next(write) == SendMessage("later")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.next, write)
        await trio.testing.wait_all_tasks_blocked()
        gate.shut()
        assert not outbox.offer(frame())
        assert not outbox.put(SendMessage("too late"))
        nursery.cancel_scope.cancel()
    assert at_once == []


async def test_a_dial_is_allowed_where_no_session_was_cancelled() -> None:
    assert dialling_allowed()
    gate = Gate()
    with using_gate(gate):
        assert dialling_allowed()
        gate.shut()
        assert not dialling_allowed()
    assert dialling_allowed()
