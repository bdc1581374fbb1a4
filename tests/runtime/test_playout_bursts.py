"""A peer that takes a burst is written several ticks at once, but only while a reply has them ready."""

from __future__ import annotations

import numpy as np
import pytest
import trio
import trio.testing

from tests.runtime.test_playout import BED, FRAME, RATE, Rig, constant, ramp, rig
from voicetrio.frames import AudioFrame
from voicetrio.runtime.transport import Traits

BURST = Traits(output_rate=RATE, burst_s=0.04)


async def say(r: Rig, audio: AudioFrame) -> None:
    """Play one whole reply to its end."""
    speech = r.playout.open_speech("a")
    speech.release()
    await speech.send(audio)
    speech.finish()
    await speech.wait_played()


def lengths(r: Rig) -> list[int]:
    """How many ticks each frame was made of."""
    return [frame.sample_count // FRAME for _, frame in r.frames]


async def test_a_reply_with_audio_ahead_is_written_two_ticks_at_once_on_the_same_deadlines(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig(BURST) as r:
        start = trio.current_time()
        await say(r, ramp(1.0))
        assert np.array_equal(r.played, ramp(1.0).samples)
        assert set(lengths(r)) == {2}
        # The lead at once, then each frame when its first sample is due.
        times = [time - start for time, _ in r.frames]
        assert times[:4] == pytest.approx([0.0, 0.0, 0.04, 0.08])
        assert times == pytest.approx([max(0.0, frame.position / RATE - 0.04) for _, frame in r.frames])
        assert r.playout.statistics().ticks == 50


async def test_a_reply_that_comes_in_small_pieces_is_written_as_it_comes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig(BURST) as r:
        speech = r.playout.open_speech("a")
        speech.release()
        await speech.send(constant(0.07))
        for _ in range(20):
            await speech.send(constant(0.02))
            await trio.sleep(0.02)
        speech.finish()
        await speech.wait_played()
        # No more is taken at once than is there, so that nothing runs dry for it.
        assert speech.statistics().starved_ticks == 0
        assert 1 in lengths(r)
        assert r.played[: round(0.47 * RATE)].all()


async def test_the_end_of_a_reply_is_not_filled_up_to_a_burst(autojump_clock: trio.testing.MockClock) -> None:
    async with rig(BURST) as r:
        await say(r, constant(0.1))
        assert lengths(r) == [2, 2, 1]


@pytest.mark.parametrize(
    ("traits", "outbox_s"),
    [
        (Traits(output_rate=RATE, burst_s=0.04, can_clear=False), 0.5),
        (Traits(output_rate=RATE, burst_s=0.04), 0.03),
        (Traits(output_rate=RATE), 0.5),
    ],
    ids=["cannot clear", "small outbox", "no burst"],
)
async def test_one_tick_at_a_time_goes_to_a_peer_that(
    traits: Traits, outbox_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    async with rig(traits, outbox_s=outbox_s) as r:
        await say(r, constant(0.5))
        assert lengths(r) == [1] * 25


async def test_a_bed_alone_is_written_tick_by_tick_so_that_a_reply_begins_at_the_next_tick(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig(BURST) as r:
        r.playout.start_bed(BED)
        await trio.sleep(0.51)
        assert set(lengths(r)) == {1}
        before = len(r.frames)
        await say(r, constant(0.2, 9000))
        assert r.frames[before][0] == pytest.approx(0.52)
        assert lengths(r)[before : before + 5] == [2] * 5


async def test_nothing_of_a_burst_is_written_after_a_flush_but_the_fade(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig(BURST) as r:
        speech = r.playout.open_speech("a")
        speech.release()
        await speech.send(constant(2.0))
        await trio.sleep(0.53)
        written = len(r.frames)
        speech.flush()
        await trio.sleep(1)
        assert lengths(r)[written:] == [1]
        assert abs(r.played[-1]) < 50
        assert len(r.clears) == 1
        # Heard is what the clock says, however much was written beyond it.
        assert written * 2 * FRAME > speech.heard().samples == round(0.53 * RATE)


async def test_a_live_speech_is_written_tick_by_tick(autojump_clock: trio.testing.MockClock) -> None:
    async with rig(BURST) as r:
        speech = r.playout.open_speech("a", live_s=0.2)
        speech.release()
        await speech.send(constant(0.2))
        await trio.sleep(0.5)
        assert set(lengths(r)) == {1}
