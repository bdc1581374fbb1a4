"""One reply's handle: what it waits for, what it says of itself, and what interrupts it."""

from __future__ import annotations

import numpy as np
import pytest
import trio

from tests.runtime.test_playout import BED, FRAME, RATE, constant, rig
from voicetrio.errors import ReplyFlushed
from voicetrio.frames import AudioFrame, WordFrame
from voicetrio.runtime.transport import Traits


async def test_it_is_audible_with_its_first_frame_and_its_place_is_known_then(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig() as it:
        speech = it.playout.open_speech("reply")
        assert speech.first_playout is None
        speech.release()
        heard_at: list[float] = []

        async def wait() -> None:
            await speech.wait_audible()
            heard_at.append(trio.current_time())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.sleep(1)
            assert heard_at == []
            await speech.send(constant(1.0))
        assert heard_at == [1.0]
        assert speech.first_playout == 0
        assert speech.remaining_s == pytest.approx(1.0)
        speech.finish()
        await speech.wait_played()
        assert speech.remaining_s == 0
        assert speech.last_playout == RATE


async def test_whoever_waits_for_a_reply_is_told_of_its_flush(autojump_clock: trio.testing.MockClock) -> None:
    async with rig() as it:
        speech = it.playout.open_speech("reply")
        told: list[str] = []

        async def wait_audible() -> None:
            await speech.wait_audible()
            told.append("audible")

        async def wait_played() -> None:
            await speech.wait_played()
            told.append("played")

        async def fill() -> None:
            with pytest.raises(ReplyFlushed):
                await speech.send(constant(30))
            told.append("sent")

        async with trio.open_nursery() as nursery:
            for task in (wait_audible, wait_played, fill):
                nursery.start_soon(task)
            await trio.sleep(1)
            assert speech.statistics().waiting
            speech.flush()
            speech.flush()
            assert not speech.statistics().waiting
        assert sorted(told) == ["audible", "played", "sent"]
        await speech.wait_played()  # nothing will be heard any more


async def test_a_reply_whose_end_is_on_its_way_can_still_be_flushed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig(Traits(output_rate=RATE, lead_s=0.5)) as it:
        speech = it.playout.open_speech("reply")
        speech.release()
        await speech.send(constant(1.0))
        speech.finish()
        await trio.sleep(0.6)
        assert speech.state == "over"  # given to the peer, and not yet heard

        async def wait() -> None:
            await speech.wait_played()
            assert trio.current_time() == pytest.approx(0.6, abs=0.01)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            speech.flush()
            await trio.testing.wait_all_tasks_blocked()
        assert len(it.clears) == 1
        assert speech.heard().samples < RATE
        heard = it.playout.open_speech("heard")
        heard.release()
        await heard.send(constant(0.2))
        heard.finish()
        await heard.wait_played()
        heard.flush()  # it was heard to its end: nothing to drop
        await trio.testing.wait_all_tasks_blocked()
        assert len(it.clears) == 1
        assert not heard.flushed


async def test_each_word_is_told_in_the_tick_that_begins_it(autojump_clock: trio.testing.MockClock) -> None:
    async with rig() as it:
        speech = it.playout.open_speech("reply")
        told: list[tuple[str, int, float]] = []
        speech.on_word = lambda text, position: told.append((text, position, trio.current_time()))
        speech.release()
        for k, word in enumerate(("one", "two")):
            await speech.send(WordFrame(word, k * RATE // 2 + 100, (k + 1) * RATE // 2, RATE))
        await speech.send(constant(1.0))
        speech.finish()
        await speech.wait_played()
        assert [(text, position) for text, position, _ in told] == [("one", 100), ("two", RATE // 2 + 100)]
        # Written a lead before it is heard.
        assert told[1][2] == pytest.approx(0.5, abs=it.playout.lead_s + 0.02)


async def test_a_flush_of_what_was_never_heard_leaves_no_trace(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig() as it:
        first = it.playout.open_speech("first")
        first.release()
        await first.send(constant(1.0))
        waiting = it.playout.open_speech("waiting", live_s=None)
        waiting.release()
        await waiting.send(constant(1.0, 7))
        waiting.finish()
        await trio.sleep(0.2)
        waiting.pause()  # it is not its turn: there is nothing to fade
        waiting.flush()
        first.finish()
        await first.wait_played()
        await trio.sleep(1)
        assert it.clears == []
        assert 7 not in it.played
        assert np.count_nonzero(it.played) == RATE


async def test_a_flush_fixes_what_was_heard_of_the_reply_before_it_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Two replies lie in the peer's buffer: the clear takes the end of the first one as well."""
    async with rig(Traits(output_rate=RATE, lead_s=1.0)) as it:
        first, second = (it.playout.open_speech(name) for name in ("first", "second"))
        for speech in (first, second):
            speech.release()
        await first.send(constant(0.8))
        first.finish()
        await second.send(constant(3.0))
        await trio.sleep(0.3)
        assert second.audible
        second.flush()
        assert first.heard().samples == pytest.approx(0.3 * RATE, abs=2 * FRAME)
        await trio.sleep(5)
        assert first.heard().samples == pytest.approx(0.3 * RATE, abs=2 * FRAME)
        assert second.heard().samples == 0
        assert first.heard_quality == second.heard_quality == "estimated"


async def test_a_flush_just_after_the_last_sample_has_nothing_to_fade(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig(Traits(output_rate=RATE, lead_s=0.02)) as it:
        speech = it.playout.open_speech("reply")
        speech.release()
        await speech.send(constant(0.2))
        await trio.sleep(0.5)  # it has run dry, and is not finished
        assert speech.statistics().starved_ticks
        written = len(it.played)
        speech.flush()
        await trio.sleep(0.5)
        assert not it.played[written:].any()


async def test_a_reply_that_was_paused_stays_so_when_the_peer_comes_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig(Traits(output_rate=RATE, rewind_s=5.0)) as it:
        paused, next_one = (it.playout.open_speech(name) for name in ("paused", "next"))
        for speech in (paused, next_one):
            speech.release()
            await speech.send(constant(1.0))
        await trio.sleep(0.3)
        paused.pause()
        await trio.sleep(0.5)
        it.playout.hold()
        it.playout.release()
        ticks = it.playout.statistics().ticks
        await trio.sleep(1)
        assert it.playout.statistics().ticks == ticks
        paused.resume()
        await trio.sleep(0.5)
        assert it.playout.statistics().ticks > ticks


async def test_silence_is_waited_for_until_the_bed_has_faded(autojump_clock: trio.testing.MockClock) -> None:
    async with rig() as it:
        await it.playout.wait_silent()  # nothing sounds
        it.playout.start_bed(BED)
        await trio.sleep(1)
        it.playout.stop_bed()
        await it.playout.wait_silent()
        assert trio.current_time() == pytest.approx(1.4, abs=0.05)
        assert not it.playout.is_active


async def test_a_flush_in_a_fade_of_another_reply_takes_nothing_from_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig(Traits(output_rate=RATE, can_clear=False)) as it:
        first = it.playout.open_speech("first")
        first.release()
        await first.send(constant(1.0))
        await trio.sleep(0.3)
        first.flush()
        with pytest.raises(ReplyFlushed):
            await first.send(AudioFrame.silence(FRAME, RATE))
        second = it.playout.open_speech("second")
        second.release()
        await second.send(constant(1.0, 77))
        second.finish()
        await second.wait_played()
        assert np.count_nonzero(it.played == 77) >= RATE - 2 * FRAME


async def test_a_reply_that_was_heard_is_not_played_again_when_the_peer_comes_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with rig(Traits(output_rate=RATE, rewind_s=5.0)) as it:
        heard, second = (it.playout.open_speech(name) for name in ("heard", "second"))
        for speech, value in ((heard, 7), (second, 3)):
            speech.release()
            await speech.send(constant(0.5 if speech is heard else 3.0, value))
            speech.finish()
        await trio.sleep(1.5)
        it.playout.hold()
        it.playout.release()
        await second.wait_played()
        assert np.count_nonzero(it.played == 7) == RATE // 2
        assert heard.heard().samples == RATE // 2


@pytest.mark.parametrize("confirms", [True, False])
async def test_of_the_past_only_what_may_be_asked_for_again_is_kept(
    confirms: bool, autojump_clock: trio.testing.MockClock
) -> None:
    async with rig(Traits(output_rate=RATE, rewind_s=4.0, confirms=confirms)) as it:
        speech = it.playout.open_speech("long")
        speech.release()
        async with trio.open_nursery() as nursery:

            async def fill() -> None:
                for _ in range(200):
                    await speech.send(constant(0.1, 7))

            nursery.start_soon(fill)
            for _ in range(80):
                await trio.sleep(0.1)
                if confirms:
                    assert it.playout.confirm(0, it.playout.heard()[0])
            kept_s = (speech._next - speech._tape.start) / RATE
            assert kept_s == pytest.approx(0.9 if confirms else it.playout.keep_s, abs=0.3)
            it.playout.hold()
            it.playout.release()
            await trio.sleep(0.5)
            nursery.cancel_scope.cancel()
        assert set(it.played[: 8 * RATE // 2].tolist()) == {7}
