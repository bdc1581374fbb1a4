from __future__ import annotations

import numpy as np
import pytest
import trio

from voicetrio.errors import ConfigError, ServiceError
from voicetrio.events import Transcript, TranscriptWord
from voicetrio.frames import AudioFrame
from voicetrio.services.segments import SegmentedSTT
from voicetrio.services.stt import SpeechBoundary

RATE = 1000
"""One sample a millisecond: positions read as milliseconds."""


def ramp(position: int, count: int) -> AudioFrame:
    """Make audio whose every sample tells its position: 1 + position modulo 30000, so never 0."""
    return AudioFrame.from_samples(1 + np.arange(position, position + count) % 30000, RATE, position)


def frames(first: int, last: int, step: int = 20) -> list[AudioFrame]:
    return [ramp(position, step) for position in range(first, last, step)]


def start(position: int) -> SpeechBoundary:
    return SpeechBoundary("start", position)


def stop(position: int) -> SpeechBoundary:
    return SpeechBoundary("stop", position)


class Decoder:
    """A model that takes its time and tells what it was given."""

    def __init__(self, *texts: str, decode_s: float = 0.0) -> None:
        self.texts = list(texts)
        self.decode_s = decode_s
        self.given: list[np.ndarray] = []

    async def __call__(self, samples, rate):
        assert rate == RATE
        self.given.append(samples)
        text = self.texts.pop(0) if self.texts else f"text {len(self.given)}"
        await trio.sleep(self.decode_s)
        return text, [(word, 0.1 * k, 0.1 * k + 0.1) for k, word in enumerate(text.split())]

    def spans(self) -> list[tuple[int, int]]:
        """First position and one past the last of each decode, from the ramp."""
        return [(int(samples[0]) - 1, int(samples[-1])) for samples in self.given]


async def listen(stt: SegmentedSTT, items: list[object]) -> list[Transcript]:
    send, inlet = trio.open_memory_channel[object](len(items))
    outlet, transcripts = trio.open_memory_channel[Transcript](len(items))
    for item in items:
        send.send_nowait(item)
    send.close()
    with outlet:
        await stt.listen(inlet, outlet)
    return [transcript async for transcript in transcripts]


async def test_a_segment_has_its_preroll_its_tail_and_one_final_transcript(autojump_clock) -> None:
    decoder = Decoder("go forward", decode_s=0.4)
    stt = SegmentedSTT(decoder, rate=RATE, preroll_s=0.5, tail_s=0.2)
    told = await listen(
        stt, [*frames(0, 2000), start(1500), *frames(2000, 4000), stop(3500), *frames(4000, 5000)]
    )
    assert decoder.spans() == [(1000, 3700)]
    assert told == [
        Transcript(
            text="go forward",
            final=True,
            start=1500,
            position=3500,
            words=(TranscriptWord("go", 1000, 1100), TranscriptWord("forward", 1100, 1200)),
            decode_s=pytest.approx(0.4),
        )
    ]


async def test_the_samples_are_those_of_the_stream_whatever_the_frames(autojump_clock) -> None:
    decoder = Decoder()
    items = [ramp(0, 7), ramp(7, 1000), ramp(1007, 1), start(900), ramp(1008, 992), stop(1800)]
    await listen(SegmentedSTT(decoder, rate=RATE), items)
    assert (decoder.given[0] == ramp(400, 1600).samples).all()


async def test_the_preroll_never_reaches_into_the_segment_before(autojump_clock) -> None:
    decoder = Decoder()
    items = [
        *frames(0, 1300),
        start(200),
        stop(1000),
        *frames(1300, 2000),
        start(1300),
        *frames(2000, 3000),
        stop(2600),
    ]
    await listen(SegmentedSTT(decoder, rate=RATE), items)
    assert decoder.spans() == [(0, 1200), (1200, 2800)]


async def test_decoding_does_not_hold_up_collecting_and_keeps_the_order(autojump_clock) -> None:
    decoder = Decoder("first", "second", decode_s=1.0)
    items = [*frames(0, 600), start(200), stop(500), *frames(600, 2000), start(1200), stop(1800)]
    told = await listen(SegmentedSTT(decoder, rate=RATE), items)
    assert [(t.text, t.position) for t in told] == [("first", 500), ("second", 1800)]
    # Both stops came at the same instant: the second waited for the first's decode.
    assert [t.decode_s for t in told] == pytest.approx([1.0, 2.0])


async def test_an_open_segment_is_finished_when_the_audio_ends(autojump_clock) -> None:
    decoder = Decoder("unfinished")
    told = await listen(SegmentedSTT(decoder, rate=RATE), [*frames(0, 1000), start(800)])
    assert decoder.spans() == [(300, 1000)]
    assert [(t.text, t.start, t.position) for t in told] == [("unfinished", 800, 1000)]


async def test_every_stop_is_answered_also_without_a_start_or_words(autojump_clock) -> None:
    decoder = Decoder("")
    items = [stop(0), *frames(0, 1000), stop(700), start(800), start(900), stop(950)]
    told = await listen(SegmentedSTT(decoder, rate=RATE), items)
    assert [(t.text, t.start, t.position, t.words) for t in told] == [
        ("", 0, 0, ()),
        ("", 700, 700, ()),
        ("", 800, 950, ()),
    ]
    assert len(decoder.given) == 1


async def test_a_short_gap_is_silence_and_an_overlap_is_heard_once(autojump_clock) -> None:
    decoder = Decoder()
    items = [*frames(0, 400), start(0), *frames(800, 1200), *frames(1100, 1300), stop(1300)]
    await listen(SegmentedSTT(decoder, rate=RATE), items)
    expected = ramp(0, 1300).samples.copy()
    expected[400:800] = 0
    assert (decoder.given[0] == expected).all()


async def test_a_long_gap_begins_a_new_part_with_true_positions(autojump_clock) -> None:
    decoder = Decoder("before", "after")
    items = [*frames(0, 400), start(100), *frames(20000, 20400), stop(20300)]
    told = await listen(SegmentedSTT(decoder, rate=RATE), items)
    assert decoder.spans() == [(0, 400), (20000, 20400)]
    assert [(t.text, t.start, t.position) for t in told] == [("before after", 100, 20300)]
    assert [word.start for word in told[0].words] == [0, 20000]


async def test_a_long_segment_is_cut_where_it_is_quiet_and_its_texts_are_joined(autojump_clock) -> None:
    decoder = Decoder("one", "two", "", "four")
    loud = [frame.with_samples(np.full(20, 500)) for frame in frames(0, 30000)]
    quiet = {7500, 7520, 7540, 7560, 7580, 15020, 15040, 15060, 15080, 15100}
    items = [frame.with_samples(np.full(20, 1)) if frame.position in quiet else frame for frame in loud]
    items.insert(1, start(0))
    told = await listen(SegmentedSTT(decoder, rate=RATE, max_segment_s=10.0), [*items, stop(30000)])
    assert [t.text for t in told] == ["one two four"]
    edges = np.cumsum([len(samples) for samples in decoder.given])
    assert 7500 <= edges[0] <= 7600
    assert 15000 <= edges[1] <= 15130
    assert edges[-1] == 30000
    assert max(len(samples) for samples in decoder.given) <= 10000
    assert told[0].words[1].start == edges[0]


async def test_the_inlet_waits_when_the_decoder_is_far_behind(autojump_clock) -> None:
    decoder = Decoder(decode_s=1000.0)
    stt = SegmentedSTT(decoder, rate=RATE)
    send, inlet = trio.open_memory_channel[object](0)
    outlet, _transcripts = trio.open_memory_channel[Transcript](0)
    taken = 0
    with trio.move_on_after(500.0):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stt.listen, inlet, outlet)
            for position in range(0, 100000, 1000):
                for item in (ramp(position, 1000), start(position), stop(position + 900)):
                    await send.send(item)
                    taken += 1
    # One is being decoded, four wait, one is in the collector's hand.
    assert taken == 6 * 3


async def test_the_past_that_is_kept_is_bounded(autojump_clock) -> None:
    decoder = Decoder()
    await listen(SegmentedSTT(decoder, rate=RATE, preroll_s=0.5), [*frames(0, 20000), start(10000)])
    assert decoder.spans() == [(17500, 20000)]


async def test_what_the_model_raises_comes_through_and_wrong_audio_is_refused(autojump_clock) -> None:
    async def fail(samples, rate):
        raise ServiceError("broken", service="model")

    with pytest.raises(ServiceError, match="broken"):
        await listen(SegmentedSTT(fail, rate=RATE), [*frames(0, 100), start(0), stop(90)])
    with pytest.raises(ConfigError, match=r"expects mono audio of 1000 Hz, not 1 channel\(s\) of 8000"):
        await listen(SegmentedSTT(Decoder(), rate=RATE), [AudioFrame.silence(10, 8000)])


def test_a_part_must_have_room_for_a_quiet_place() -> None:
    with pytest.raises(ConfigError, match="at least 8 s"):
        SegmentedSTT(Decoder(), max_segment_s=3.0)
