"""The turn source that listens: positions, gaps, rates, failures."""

from itertools import pairwise

import numpy as np
import pytest
import trio

from tests.conversation.calls import leaf
from voicetrio.conversation.inbox import Inbox, UserActed, UserTurn
from voicetrio.conversation.listening import Listening
from voicetrio.errors import ConfigError, LinkOverflow, ServiceError
from voicetrio.events import SpeechStarted, SpeechStopped, Transcript
from voicetrio.frames import AudioFrame, DtmfFrame, MessageFrame
from voicetrio.machines.capture_clock import CaptureClock
from voicetrio.machines.voice import VoiceLasted
from voicetrio.runtime.emit import EventHub, emitting_to
from voicetrio.runtime.links import open_link
from voicetrio.testing.scripted import ScriptedSTT, ScriptedVAD


def audio(start_s, end_s, *, rate=16000, voice=False):
    """Frames of 20 ms."""
    step = rate // 50
    return [
        AudioFrame.from_samples(np.full(step, 1000 if voice else 0, np.int16), rate, at)
        for at in range(round(start_s * rate), round(end_s * rate), step)
    ]


async def following(box):
    """The next news; a wake is none."""
    while True:
        news = await box.receive()
        if news is not None:
            return news


async def listen(frames, listening=None, *, rate=16000, live=False, paced=False):
    """Let ``listening`` hear ``frames``; return what it told."""
    listening = listening or Listening(ScriptedVAD(), None)
    box = Inbox(CaptureClock(rate, trio.current_time()), rate, live=live, max_items=10_000)
    sender, receiver = trio.open_memory_channel(10_000)

    async def feed():
        with sender:
            for frame in frames:
                if paced and isinstance(frame, AudioFrame):
                    await trio.sleep(frame.duration_s)
                await sender.send(frame)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed)
        await listening.run(receiver, box)
    told = []
    while box.statistics().items:
        told.append(await box.receive())
    return told


class Spy:
    """A recogniser that understands nothing and keeps what it was given."""

    rate = 16000

    def __init__(self):
        self.items = []

    async def listen(self, inlet, outlet):
        async for item in inlet:
            self.items.append(item)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
async def test_positions_are_on_the_capture_clock_whatever_the_rates(rate, autojump_clock):
    stt = ScriptedSTT(["hello there"])
    frames = audio(0, 1, rate=rate) + audio(1, 2, rate=rate, voice=True) + audio(2, 3, rate=rate)
    hub = EventHub()
    with emitting_to(hub):
        subscription = hub.subscribe()
        told = await listen(frames, Listening(ScriptedVAD(), stt), rate=rate)
        hub.close()
        observed = [event async for event in subscription]
    started, stopped, transcript = told
    assert isinstance(started, SpeechStarted)
    assert isinstance(stopped, SpeechStopped)
    assert isinstance(transcript, Transcript)
    assert started.position == pytest.approx(rate * 1, abs=0.03 * rate)
    assert stopped.position == pytest.approx(rate * 2, abs=0.03 * rate)
    assert stopped.start == started.position
    assert (transcript.start, transcript.position) == (started.position, stopped.position)
    assert transcript.words[-1].end == pytest.approx(stopped.position, abs=3)
    assert [type(event) for event in observed] == [SpeechStarted, SpeechStopped, Transcript]


async def test_the_recogniser_hears_the_audio_before_the_boundary_that_speaks_of_it(autojump_clock):
    spy = Spy()
    await listen(audio(0, 1, voice=True) + audio(1, 2), Listening(ScriptedVAD(), spy))
    heard_to = 0
    boundaries = 0
    for item in spy.items:
        if isinstance(item, AudioFrame):
            heard_to = item.end
        else:
            boundaries += 1
            assert item.position <= heard_to
    assert boundaries == 2


async def test_marks_are_told(autojump_clock):
    listening = Listening(ScriptedVAD(), None, marks_s=(0.2, 0.35))
    told = await listen(audio(0, 1, voice=True) + audio(1, 2), listening)
    assert [news.mark_s for news in told if isinstance(news, VoiceLasted)] == [0.2, 0.35]


async def test_the_end_of_the_input_ends_speech_and_waits_for_its_text(autojump_clock):
    stt = ScriptedSTT(["hello"], decode_s=2.0)
    told = await listen(audio(0, 1, voice=True), Listening(ScriptedVAD(), stt))
    assert [type(news) for news in told] == [SpeechStarted, SpeechStopped, Transcript]


async def test_a_microphone_that_is_muted_in_mid_speech_ends_speech_by_the_clock(autojump_clock):
    spy = Spy()
    listening = Listening(ScriptedVAD(), spy)
    box = Inbox(CaptureClock(16000, trio.current_time()), 16000, live=True, max_items=100)
    sender, receiver = trio.open_memory_channel(1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listening.run, receiver, box)
        for frame in audio(0, 0.5, voice=True):
            sender.send_nowait(frame)
        assert isinstance(await following(box), SpeechStarted)
        before = trio.current_time()
        stopped = await following(box)
        assert isinstance(stopped, SpeechStopped)
        assert trio.current_time() - before == pytest.approx(1.0)
        assert stopped.position == pytest.approx(8000, abs=256)
        await trio.testing.wait_all_tasks_blocked()
        # The recogniser has all of the audio before it is told of the stop.
        assert (spy.items[-2].end, spy.items[-1].kind) == (8000, "stop")
        sender.close()


async def test_a_gap_in_the_audio_ends_speech_and_the_vad_forgets(autojump_clock):
    vad = ScriptedVAD()
    told = await listen(audio(0, 1, voice=True) + audio(5, 6, voice=True), Listening(vad, None))
    assert [type(news) for news in told] == [SpeechStarted, SpeechStopped] * 2
    assert told[1].position == pytest.approx(16000, abs=256)
    assert told[2].position == pytest.approx(5 * 16000, abs=256)
    assert vad.resets == 1


async def test_keys_messages_and_typed_text(autojump_clock):
    told = await listen(
        [DtmfFrame("1"), MessageFrame({"x": 1}), MessageFrame({"type": "text", "text": "hi"})]
    )
    assert told == [UserActed(), UserActed(), UserTurn("hi")]


async def test_audio_at_another_rate_than_the_clock_is_a_clear_error(autojump_clock):
    with pytest.raises(BaseExceptionGroup) as caught:
        await listen(audio(0, 1, rate=8000), rate=16000)
    assert isinstance(leaf(caught.value), ConfigError)


class _Stuck:
    rate = 16000

    async def listen(self, inlet, outlet):
        await trio.sleep_forever()


class _Gone:
    rate = 16000

    async def listen(self, inlet, outlet):
        await inlet.receive()


async def test_a_recogniser_that_falls_behind_live_audio_is_a_failure(autojump_clock):
    listening = Listening(ScriptedVAD(), _Stuck(), stt_lag_s=2.0)
    with pytest.raises(BaseExceptionGroup) as caught:
        await listen(audio(0, 5), listening, live=True, paced=True)
    assert isinstance(leaf(caught.value), LinkOverflow)


async def test_a_recogniser_that_falls_behind_a_file_holds_the_file_up(autojump_clock):
    listening = Listening(ScriptedVAD(), _Stuck(), stt_lag_s=2.0)
    with trio.move_on_after(60) as scope:
        await listen(audio(0, 5), listening)
    assert scope.cancelled_caught


async def test_a_recogniser_that_stops_early_is_a_failure(autojump_clock):
    with pytest.raises(BaseExceptionGroup) as caught:
        await listen(audio(0, 5), Listening(ScriptedVAD(), _Gone()))
    assert isinstance(leaf(caught.value), ServiceError)


async def test_a_vad_with_windows_of_another_size_and_rate(autojump_clock):
    vad = ScriptedVAD(rate=8000, window=200)  # 25 ms
    told = await listen(audio(0, 1) + audio(1, 2, voice=True) + audio(2, 3), Listening(vad, None))
    assert told[0].position == pytest.approx(16000, abs=600)
    assert told[1].position == pytest.approx(32000, abs=600)


async def test_the_recogniser_is_given_40_ms_at_once_and_200_while_nobody_speaks(autojump_clock):
    spy = Spy()
    speech = audio(3, 4, voice=True)
    await listen(audio(0, 3) + speech + audio(4, 7.03), Listening(ScriptedVAD(), spy))
    frames = [item for item in spy.items if isinstance(item, AudioFrame)]
    assert b"".join(frame.pcm for frame in frames) == b"".join(
        frame.pcm for frame in audio(0, 3) + speech + audio(4, 7.03)
    )
    assert all(before.end == after.position for before, after in pairwise(frames))

    def lengths_s(start_s: float, stop_s: float) -> set[float]:
        return {round(f.duration_s, 3) for f in frames if start_s * 16000 <= f.position < stop_s * 16000}

    assert lengths_s(0, 0.48) == {0.04}
    assert lengths_s(0.52, 2.8) == lengths_s(5.5, 6.8) == {0.2}
    assert max(lengths_s(3.1, 4.4)) == 0.04
    # Nothing is held back when a start or a stop of speech is told.
    for before, after in pairwise(spy.items):
        if not isinstance(after, AudioFrame):
            assert before.end >= after.position


async def test_live_audio_of_a_session_is_heard_in_the_step_that_brings_it(autojump_clock):
    spy = Spy()
    listening = Listening(ScriptedVAD(), spy)
    box = Inbox(CaptureClock(16000, trio.current_time()), 16000, live=True, max_items=100)
    sender, receiver = open_link(max_items=1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listening.run, receiver, box)
        await trio.testing.wait_all_tasks_blocked()
        for frame in audio(0, 0.2, voice=True):
            sender.send_nowait(frame)
        assert box.statistics().items == 1  # with no checkpoint in between
        assert isinstance(await following(box), SpeechStarted)
        assert isinstance(await following(box), SpeechStopped)  # by the clock: nothing more came
        assert trio.current_time() == pytest.approx(1.0)
        sender.send_nowait(DtmfFrame("1"))
        assert await following(box) == UserActed()
        sender.close()
    assert [item.kind for item in spy.items if not isinstance(item, AudioFrame)] == ["start", "stop"]


async def test_what_hearing_live_audio_raises_ends_the_listening_and_not_who_sent_it(autojump_clock):
    listening = Listening(ScriptedVAD(), Spy())
    box = Inbox(CaptureClock(16000, trio.current_time()), 16000, live=True, max_items=100)
    sender, receiver = open_link(max_items=1000)

    async def run():
        with pytest.raises(BaseExceptionGroup) as caught:
            await listening.run(receiver, box)
        assert isinstance(leaf(caught.value), ConfigError)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        sender.send_nowait(AudioFrame.silence(160, 8000))
