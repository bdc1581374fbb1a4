"""Queues that many sessions have are watched by their names, and kept alive by nobody."""

from __future__ import annotations

import gc

import trio

from voicetrio.frames import AudioFrame
from voicetrio.runtime.links import open_link
from voicetrio.runtime.outbox import Gate, Outbox
from voicetrio.runtime.queues import MAX_NAMES, QueueStatistics, watching_queues
from voicetrio.runtime.transport import SendMessage


async def test_queues_of_one_name_are_counted_together():
    with watching_queues() as watch:
        first, _first = open_link(name="a", max_items=10)
        second, _second = open_link(name="a", max_items=10)
        other, _other = open_link(name="b", max_items=10)
        for sender, frames in ((first, 1), (second, 3), (other, 0)):
            for _ in range(frames):
                await sender.send(AudioFrame.silence(320, 16000))
    assert watch.statistics() == (QueueStatistics("a", 4, 3, 0.06), QueueStatistics("b", 0, 0, 0.0))


def test_an_outbox_tells_its_operations_and_the_seconds_of_its_audio():
    with watching_queues() as watch:
        outbox = Outbox(Gate())
        outbox.offer(AudioFrame.silence(480, 24000))
        outbox.put(SendMessage("hello"))
    assert watch.statistics() == (QueueStatistics("outbox", 2, 2, 0.02),)


async def test_a_queue_is_seen_by_who_watches_the_task_that_makes_it():
    made = []

    async def make() -> None:
        made.append(open_link(name="inside"))
        await trio.lowlevel.checkpoint()

    with watching_queues() as outer:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(make)
        with watching_queues() as inner:
            made.append(open_link(name="nested"))
    made.append(open_link(name="after"))
    assert [queue.name for queue in outer.statistics()] == ["inside"]
    assert [queue.name for queue in inner.statistics()] == ["nested"]


def test_a_watch_keeps_no_queue_alive():
    with watching_queues() as watch:
        ends = open_link(name="short")
        assert watch.statistics()
        del ends
    gc.collect()
    assert watch.statistics() == ()


def test_names_without_end_are_put_together():
    with watching_queues() as watch:
        ends = [open_link(name=f"link {number}") for number in range(MAX_NAMES + 10)]
        names = [queue.name for queue in watch.statistics()]
    assert len(ends) == MAX_NAMES + 10
    assert len(names) == MAX_NAMES + 1
    assert "other" in names
