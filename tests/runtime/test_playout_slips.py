"""What the playout tells of its delays: one event a stall, however long it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from tests.runtime.test_playout import BED, Rig, constant, rig
from voicetrio.events import Event, PlayoutSlipped
from voicetrio.runtime.emit import EventHub, emitting_to
from voicetrio.runtime.transport import Traits


@asynccontextmanager
async def told_rig(
    *, outbox_s: float = 0.1, traits: Traits | None = None
) -> AsyncIterator[tuple[Rig, list[PlayoutSlipped]]]:
    """Give a playout with a far end, and the list of the slips that it told."""
    slips: list[PlayoutSlipped] = []

    def note(event: Event) -> None:
        assert isinstance(event, PlayoutSlipped)
        slips.append(event)

    hub = EventHub()
    with hub.observed_by(note), emitting_to(hub):
        async with rig(traits, outbox_s=outbox_s) as made:
            yield made, slips


async def test_a_peer_that_stalls_is_one_slip_of_the_whole_stall(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with told_rig() as (it, slips):
        it.playout.start_bed(BED)
        await trio.sleep(0.51)
        it.reading = trio.Event()
        await trio.sleep(4.0)
        assert slips == []  # nobody knows yet how long it will be
        it.reading.set()
        await trio.sleep(2.0)
        (slip,) = slips
        # What waits in the outbox (0.1 s) and what the peer has (its lead) is not late.
        assert slip.slipped_s == pytest.approx(4.0 - 0.1, abs=0.07)
        assert slip.late_s == pytest.approx(slip.slipped_s + it.playout.lead_s - 0.02)
        statistics = it.playout.statistics()
        assert (statistics.slips, statistics.slipped_s) == (1, slip.slipped_s)


async def test_a_peer_that_is_always_too_slow_is_told_of_once_a_second(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with told_rig() as (it, slips):
        it.playout.start_bed(BED)
        await trio.sleep(0.5)
        for _ in range(100):  # it takes a frame each 100 ms: a fifth of the pace
            it.reading = trio.Event()
            await trio.sleep(0.1)
            it.reading.set()
            await trio.lowlevel.checkpoint()
        assert it.playout.statistics().slips > 50
        assert 8 <= len(slips) <= 11
        it.playout.stop_bed(0.0)
        await trio.sleep(1.0)
        # When it falls idle, nothing is left to tell.
        assert sum(slip.slipped_s for slip in slips) == pytest.approx(it.playout.statistics().slipped_s)
        assert max(slip.late_s for slip in slips) < 0.3  # of one slip, not of their sum


async def test_two_stalls_far_apart_are_two_events_each_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with told_rig() as (it, slips):
        speech = it.playout.open_speech("reply")
        speech.release()
        await speech.send(constant(5))
        for count in (1, 2):
            await trio.sleep(1.51)
            autojump_clock.jump(0.5)  # the loop stood still
            await trio.sleep(0.03)
            assert len(slips) == count
        assert [slip.slipped_s for slip in slips] == pytest.approx([0.5, 0.5], abs=0.08)


async def test_what_was_skipped_in_a_stall_is_skipped_of_the_bed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with told_rig() as (it, slips):
        it.playout.start_bed(BED)
        await trio.sleep(0.51)
        it.reading = trio.Event()
        await trio.sleep(1.0)
        it.reading.set()
        await trio.sleep(0.3)
        (slip,) = slips
        played = it.played[it.playout.rate // 2 :]  # its fade is over
        steps = (played[1:].astype(int) - played[:-1]) % 50
        (jump,) = [step for step in steps if step != 1] or [1]
        assert jump == (1 + round(slip.slipped_s * it.playout.rate)) % 50
