"""The playout under virtual time: each frame at its deadline, flush, pause, resume, stalls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
import trio

from voicetrio.errors import ReplyFlushed
from voicetrio.frames import AudioFrame, WordFrame
from voicetrio.runtime.outbox import Gate, Outbox
from voicetrio.runtime.playout import Playout, PlayoutSettings
from voicetrio.runtime.transport import Clear, Operation, SendAudio, Traits

RATE = 24000
FRAME = 480


class Rig:
    """A playout with a far end that writes at once, unless it is stopped."""

    def __init__(self, traits: Traits | None = None, *, outbox_s: float = 0.5) -> None:
        self.gate = Gate()
        self.outbox = Outbox(self.gate, max_s=outbox_s)
        self.playout = Playout(traits or Traits(output_rate=RATE), self.outbox, self.gate, PlayoutSettings())
        self.operations: list[tuple[float, Operation]] = []
        self.reading = trio.Event()
        self.reading.set()

    async def write(self) -> None:
        while True:
            operation = await self.outbox.next()
            await self.reading.wait()
            self.operations.append((trio.current_time(), operation))
            self.outbox.written(operation)

    @property
    def frames(self) -> list[tuple[float, AudioFrame]]:
        return [(t, op.frame) for t, op in self.operations if isinstance(op, SendAudio)]

    @property
    def clears(self) -> list[Clear]:
        return [op for _, op in self.operations if isinstance(op, Clear)]

    @property
    def played(self) -> np.ndarray:
        return np.concatenate([frame.samples for _, frame in self.frames])


@asynccontextmanager
async def rig(traits: Traits | None = None, *, outbox_s: float = 0.5) -> AsyncIterator[Rig]:
    made = Rig(traits, outbox_s=outbox_s)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.write)
        nursery.start_soon(made.playout.run)
        yield made
        nursery.cancel_scope.cancel()


def constant(seconds: float, value: int = 1000, position: int = 0) -> AudioFrame:
    return AudioFrame.from_samples(np.full(round(seconds * RATE), value, np.int16), RATE, position)


def ramp(seconds: float) -> AudioFrame:
    count = round(seconds * RATE)
    return AudioFrame.from_samples((np.arange(count) % 20000 + 1).astype(np.int16), RATE)


BED = (np.arange(RATE) % 50).astype(np.int16)


async def test_ten_minutes_of_bed_are_exactly_30000_frames_each_at_its_deadline(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig() as r:
        start = trio.current_time()
        r.playout.start_bed(BED)
        await trio.sleep_until(start + 600)
        frames = [(t, f) for t, f in r.frames if t < start + 600]
        assert len(frames) == 30_000
        for k, (time, frame) in enumerate(frames):
            assert time == pytest.approx(start + k * 0.02, abs=1e-9)
            assert frame.position == k * FRAME
        assert r.outbox.statistics().peak_s <= 0.04


async def test_a_bed_that_was_started_before_the_playout_ran_starts_on_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    await trio.sleep(1000)
    r = Rig()
    r.playout.start_bed(BED)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(r.write)
        nursery.start_soon(r.playout.run)
        await trio.sleep(1.01)
        nursery.cancel_scope.cancel()
    assert r.playout.statistics().slips == 0
    assert [time for time, _ in r.frames] == [1000 + k * 0.02 for k in range(51)]


async def test_an_idle_playout_makes_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with rig() as r:
        await trio.sleep(100)
        assert r.frames == []
        assert r.playout.statistics().ticks == 0


async def test_a_reply_is_written_exactly_once_and_in_order(autojump_clock: trio.testing.MockClock) -> None:
    async with rig() as r:
        speech = r.playout.open_speech("a")
        sent = ramp(1.01)
        await speech.send(sent)
        speech.finish()
        await trio.sleep(1)
        assert r.frames == []  # held until released
        speech.release()
        await speech.wait_played()
        played = r.played[: sent.sample_count]
        assert np.array_equal(played, sent.samples)
        assert not r.played[sent.sample_count :].any()
        assert speech.heard().samples == sent.sample_count


async def test_a_wake_from_silence_fills_the_peers_buffer_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig() as r:
        await trio.sleep(3.21)
        speech = r.playout.open_speech("a")
        await speech.send(constant(1))
        released = trio.current_time()
        speech.release()
        await speech.wait_audible()
        await trio.sleep(0.001)
        assert [t for t, _ in r.frames] == [released] * 3
        await trio.sleep(0.02)
        assert r.frames[-1][0] == pytest.approx(released + 0.02)


async def test_replies_are_played_in_the_order_of_their_release(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig() as r:
        first, second = r.playout.open_speech("first"), r.playout.open_speech("second")
        for speech, value in ((first, 100), (second, 200)):
            await speech.send(constant(0.1, value))
            speech.finish()
        second.release()
        first.release()
        await first.wait_played()
        assert set(r.played[:2400]) == {200}
        assert set(r.played[2400:4800]) == {100}


async def test_sending_waits_while_too_much_is_ahead(autojump_clock: trio.testing.MockClock) -> None:
    async with rig() as r:
        speech = r.playout.open_speech("a")
        speech.release()
        start = trio.current_time()
        for _ in range(30):
            await speech.send(constant(1))
            assert speech.remaining_to_play_s <= 4.1
        assert trio.current_time() - start >= 30 - 4 - 0.1


async def test_a_flush_sends_a_clear_and_only_a_fade_after_it(autojump_clock: trio.testing.MockClock) -> None:
    async with rig() as r:
        speech = r.playout.open_speech("a")
        speech.release()
        await speech.send(constant(3))
        await trio.sleep(1.0)
        speech.flush()
        flushed_at = len(r.frames)
        await trio.sleep(1.0)
        (clear,) = r.clears
        after = [f for _, f in r.frames[flushed_at:]]
        assert clear.epoch == 1
        assert after[0].position == clear.position
        samples = np.concatenate([f.samples for f in after])
        assert not samples[FRAME:].any()
        assert abs(int(samples[0])) <= 1000
        assert (np.diff(samples[:FRAME].astype(int)) <= 0).all()
        with pytest.raises(ReplyFlushed):
            await speech.send(constant(0.1))
        assert speech.heard().samples <= RATE
        assert speech.heard().samples == pytest.approx(RATE, abs=2 * FRAME)


async def test_a_peer_that_cannot_clear_is_faded_from_what_it_already_has(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig(Traits(output_rate=RATE, can_clear=False)) as r:
        speech = r.playout.open_speech("a")
        speech.release()
        await speech.send(constant(5))
        await trio.sleep(1.0)
        before = len(r.played)
        speech.flush()
        await trio.sleep(1.0)
        assert r.clears == []
        assert not r.played[before + FRAME :].any()
        assert speech.heard().samples == before


async def test_a_flush_while_paused_needs_no_clear(autojump_clock: trio.testing.MockClock) -> None:
    async with rig() as r:
        r.playout.start_bed(BED)
        speech = r.playout.open_speech("a")
        speech.release()
        await speech.send(constant(5))
        await trio.sleep(1.0)
        speech.pause()
        await trio.sleep(0.5)
        speech.flush()
        await trio.sleep(0.5)
        assert r.clears == []
        times = [t for t, _ in r.frames]
        assert np.allclose(np.diff(times), 0.02)  # the bed went on, without a gap


async def test_a_paused_reply_resumes_where_its_fade_began(autojump_clock: trio.testing.MockClock) -> None:
    async with rig() as r:
        speech = r.playout.open_speech("a")
        speech.release()
        await speech.send(ramp(0.5))
        speech.finish()
        await trio.sleep(0.2)
        speech.pause()
        before = len(r.played)
        await trio.sleep(1.0)
        assert not r.played[before + FRAME :].any()
        speech.resume()
        await speech.wait_played()
        sounding = r.played[r.played != 0]
        # Whole but for the two fades: the end is the reply's end.
        assert sounding[-1] == ramp(0.5).samples[-1]
        assert speech.heard().samples == ramp(0.5).sample_count
        assert speech.statistics().accepted == ramp(0.5).sample_count


async def test_ducking_makes_it_12_db_quieter_and_back(autojump_clock: trio.testing.MockClock) -> None:
    async with rig() as r:
        speech = r.playout.open_speech("a")
        speech.release()
        await speech.send(constant(3, 10_000))
        await trio.sleep(1.0)
        speech.duck()
        await trio.sleep(1.0)
        assert 20 * np.log10(r.played[-1] / 10_000) == pytest.approx(-12, abs=0.1)
        speech.unduck()
        await trio.sleep(0.5)
        assert r.played[-1] == 10_000


async def test_after_a_stall_speech_is_delayed_and_nothing_of_it_lost(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig() as r:
        speech = r.playout.open_speech("a")
        speech.release()
        sent = ramp(3)
        await speech.send(sent)
        speech.finish()
        await trio.sleep(1.01)  # between two ticks
        autojump_clock.jump(0.5)  # the whole loop stood still
        stalled_until = trio.current_time()
        await trio.sleep(0.001)
        burst = [t for t, _ in r.frames if t >= stalled_until]
        assert len(burst) == 3
        await speech.wait_played()
        assert np.array_equal(r.played[: sent.sample_count], sent.samples)
        statistics = r.playout.statistics()
        assert statistics.slips == 1
        assert statistics.slipped_s == pytest.approx(0.5, abs=0.08)


async def test_a_full_outbox_delays_speech_and_skips_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with rig(outbox_s=0.1) as r:
        speech = r.playout.open_speech("a")
        speech.release()
        sent = ramp(2)
        await speech.send(sent)
        speech.finish()
        await trio.sleep(0.5)
        r.reading = trio.Event()
        await trio.sleep(1.0)
        assert r.outbox.statistics().queued_s <= 0.1 + 1e-9
        assert r.outbox.stuck_since is not None
        r.reading.set()
        await speech.wait_played()
        assert np.array_equal(r.played[: sent.sample_count], sent.samples)
        assert r.playout.statistics().blocked_ticks > 0


async def test_a_flush_takes_back_what_the_network_did_not_take(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig(Traits(output_rate=RATE, can_clear=False)) as r:
        speech = r.playout.open_speech("a")
        speech.release()
        await speech.send(constant(5))
        await trio.sleep(0.5)
        r.reading = trio.Event()
        await trio.sleep(0.3)
        written = len(r.played)
        speech.flush()
        r.reading.set()
        await trio.sleep(0.5)
        # One frame was in the writer's hand; then comes the fade, and nothing more.
        assert np.count_nonzero(r.played) <= written + 2 * FRAME
        positions = [f.position for _, f in r.frames]
        assert positions == [k * FRAME for k in range(len(positions))]


async def test_heard_text_is_a_prefix_that_grows_with_the_words(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig() as r:
        speech = r.playout.open_speech("a")
        for k, word in enumerate(["one", "two", "three", "four"]):
            await speech.send(WordFrame(word, k * RATE // 2, (k + 1) * RATE // 2, RATE))
        await speech.send(constant(2))
        speech.finish()
        speech.release()
        start = trio.current_time()
        await trio.sleep_until(start + 1.3)
        assert speech.heard().text == "one two three"
        assert speech.heard().unheard == "four"
        await speech.wait_played()
        assert speech.heard().text == "one two three four"
        assert trio.current_time() == pytest.approx(start + 2.0, abs=0.05)


async def test_other_rates_are_resampled_with_their_words(autojump_clock: trio.testing.MockClock) -> None:
    async with rig() as r:
        speech = r.playout.open_speech("a")
        tone = (8000 * np.sin(np.arange(22050) * 2 * np.pi * 440 / 22050)).astype(np.int16)
        await speech.send(WordFrame("hm", 0, 22050, 22050))
        await speech.send(AudioFrame.from_samples(tone, 22050))
        speech.finish()
        speech.release()
        await speech.wait_played()
        assert speech.heard().samples == pytest.approx(RATE, abs=2)
        assert speech.heard().words[0][2] == pytest.approx(RATE - 1, abs=2)


async def test_live_audio_that_piles_up_is_dropped_from_its_old_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig() as r:
        speech = r.playout.open_speech("live", live_s=0.12)
        speech.release()
        for k in range(50):
            await speech.send(constant(0.02, k + 1))
            await trio.sleep(0.02)
        for k in range(50, 75):  # half a second arrives at once
            await speech.send(constant(0.02, k + 1))
        await trio.sleep(0.02)
        for k in range(75, 100):
            await speech.send(constant(0.02, k + 1))
            await trio.sleep(0.02)
        assert speech.statistics().skipped > 0
        assert speech.remaining_to_play_s <= 0.12 + 0.02


async def test_nothing_is_made_once_the_gate_is_shut(autojump_clock: trio.testing.MockClock) -> None:
    async with rig() as r:
        r.playout.start_bed(BED)
        speech = r.playout.open_speech("a")
        speech.release()
        await speech.send(constant(5))
        await trio.sleep(1.0)
        ticks, frames = r.playout.statistics().ticks, len(r.frames)
        r.gate.shut()
        r.outbox.discard()
        speech.flush()
        await trio.sleep(1.0)
        assert (r.playout.statistics().ticks, len(r.frames)) == (ticks, frames)


async def test_a_tap_sees_each_frame_with_its_position(autojump_clock: trio.testing.MockClock) -> None:
    async with rig() as r:
        seen: list[AudioFrame] = []
        with r.playout.tap(seen.append):
            r.playout.start_bed(BED)
            await trio.sleep(1.0)
        count = len(seen)
        await trio.sleep(1.0)
        assert len(seen) == count > 40
        assert [f.position for f in seen] == [k * FRAME for k in range(count)]


async def test_confirmations_make_heard_exact(autojump_clock: trio.testing.MockClock) -> None:
    async with rig(Traits(output_rate=RATE, confirms=True)) as r:
        speech = r.playout.open_speech("a")
        speech.release()
        await speech.send(constant(5))
        await trio.sleep(1.0)
        assert r.playout.confirm(0, 12_000)
        assert speech.heard().samples == 12_000
        assert speech.heard().quality == "exact"
        assert not r.playout.confirm(7, 13_000)
        # What a clear fixed stays as well known as it was.
        speech.flush()
        await trio.sleep(0.2)
        assert len(r.clears) == 1
        assert (speech.heard().samples, speech.heard().quality) == (12_000, "exact")


async def test_the_drain_ends_when_all_was_heard_and_a_cut_counts_what_was_not(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig() as r:
        speech = r.playout.open_speech("a")
        speech.release()
        await speech.send(constant(1))
        speech.finish()
        start = trio.current_time()
        await r.playout.wait_drained()
        assert trio.current_time() - start == pytest.approx(1.0, abs=0.07)
        other = r.playout.open_speech("b")
        other.release()
        await other.send(constant(3))
        await trio.sleep(1)
        lost = r.playout.cut()
        assert lost == {"b": 3 * RATE - other.statistics().accepted}


RESUMABLE = Traits(output_rate=RATE, confirms=True, rewind_s=5)


async def test_a_held_playout_stands_still_and_goes_on_from_what_was_heard(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig(RESUMABLE) as r:
        speech = r.playout.open_speech("story")
        spoken = ramp(4.0)
        speech.release()
        await speech.send(spoken)
        speech.finish()
        await trio.sleep(1.0)
        assert r.playout.confirm(0, 12000)
        r.reading = trio.Event()  # the network is gone: what is written from now on is lost
        await trio.sleep(0.2)
        r.playout.hold()
        r.outbox.begin_again()
        lost_at, before = r.playout.position, len(r.operations)
        r.reading.set()
        await trio.sleep(30)
        assert len(r.operations) <= before + 1  # the write that was under way
        assert r.playout.position == lost_at
        epoch, position = r.playout.release((0, 14400))
        assert (epoch, position) == (1, lost_at)
        del r.operations[:]
        await trio.sleep(10)
        assert r.frames[0][1].position == lost_at
        again = r.played
        rest = spoken.samples[14400:]
        fade = round(0.02 * RATE)
        assert np.array_equal(again[fade : rest.size], rest[fade:])
        assert not again[rest.size :].any()


async def test_without_a_report_the_last_confirmation_counts_when_the_playout_goes_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig(RESUMABLE) as r:
        speech = r.playout.open_speech("story")
        speech.release()
        await speech.send(ramp(2.0))
        await trio.sleep(1.0)
        r.playout.confirm(0, 20000)
        r.playout.hold()
        await trio.sleep(5)
        assert r.playout.heard() == (20000, "exact")
        r.playout.release()
        del r.operations[:]
        await trio.sleep(1)
        fade = round(0.02 * RATE)
        assert r.played[fade] == (20000 + fade) % 20000 + 1


async def test_a_report_that_cannot_be_true_is_not_believed(autojump_clock: trio.testing.MockClock) -> None:
    async with rig(RESUMABLE) as r:
        speech = r.playout.open_speech("story")
        speech.release()
        await speech.send(ramp(2.0))
        await trio.sleep(1.0)
        r.playout.confirm(0, 20000)
        for reported in ((3, 22000), (0, 10**9)):
            r.playout.hold()
            r.playout.release(reported)
            assert speech.heard().samples == 20000
            r.playout.confirm(r.playout.statistics().clears, r.playout.position)


async def test_whoever_waits_for_a_reply_waits_until_what_was_lost_is_heard_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig(RESUMABLE) as r:
        speech = r.playout.open_speech("story")
        speech.release()
        await speech.send(ramp(2.0))
        speech.finish()
        start = trio.current_time()
        played_at: list[float] = []

        async def wait() -> None:
            await speech.wait_played()
            played_at.append(trio.current_time() - start)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.sleep(1.99)  # all of it is written
            r.playout.confirm(0, 24000)
            r.playout.hold()
            await trio.sleep(10)
            assert not played_at
            r.playout.release((0, 24000))
        assert played_at[0] == pytest.approx(13.0, abs=0.7)  # 12 s, and the second half again


async def test_a_reply_that_is_flushed_while_held_is_not_heard_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig(RESUMABLE) as r:
        speech = r.playout.open_speech("story")
        speech.release()
        await speech.send(ramp(2.0))
        await trio.sleep(1.0)
        r.playout.hold()
        speech.flush()
        await trio.sleep(1)
        del r.operations[:]
        r.playout.release()
        await trio.sleep(3)
        assert not r.frames
        assert not r.clears


async def test_a_one_shot_is_played_once_beside_everything_else(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig() as it:
        shot = it.playout.play(np.full(2400, 500, np.int16))
        await trio.sleep(1)
        assert shot.done
        assert np.count_nonzero(it.played == 500) == 2400


async def test_what_is_said_twice_to_a_reply_counts_once(autojump_clock: trio.testing.MockClock) -> None:
    async with rig() as it:
        speech = it.playout.open_speech("reply")
        speech.release()
        speech.release()
        await speech.send(WordFrame("hello", 0, 2400, 24000))
        await speech.send(constant(1.0))
        await speech.send(AudioFrame.from_samples(np.empty(0, np.int16), 24000))
        await trio.sleep(0.5)
        speech.duck()
        speech.pause()
        speech.pause()
        speech.unduck()  # it stays paused
        await trio.sleep(1)
        silent = it.playout.statistics().ticks
        await trio.sleep(1)
        assert it.playout.statistics().ticks == silent
        assert speech.text == "hello"
        speech.finish()
        speech.resume()
        await trio.sleep(1)
        assert np.count_nonzero(it.played) >= 24000 - 2 * 480


async def test_stereo_is_mixed_down_and_a_reply_may_change_its_rate(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig() as it:
        speech = it.playout.open_speech("reply")
        speech.release()
        await speech.send(AudioFrame.from_samples(np.full((24000, 2), (1000, 3000), np.int16), 24000))
        for _ in range(2):
            await speech.send(AudioFrame.from_samples(np.full(4000, 2000, np.int16), 8000))
        await speech.send(AudioFrame.from_samples(np.full(16000, 2000, np.int16), 16000))
        speech.finish()
        await trio.sleep(4)
        assert np.count_nonzero(np.abs(it.played.astype(int) - 2000) < 100) == pytest.approx(72000, abs=600)


async def test_a_position_that_is_never_confirmed_is_taken_for_heard(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig(Traits(output_rate=24000, confirms=True)) as it:
        speech = it.playout.open_speech("reply")
        speech.release()
        await speech.send(constant(0.5))
        speech.finish()
        await trio.sleep(0.1)
        assert it.playout.confirm(0, 480)  # and then nothing more
        await speech.wait_played()
        assert trio.current_time() == pytest.approx(0.5 + 1.0, abs=0.3)
