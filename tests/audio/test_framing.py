from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.audio.framing import Reframer, frame_samples
from voicetrio.errors import ConfigError
from voicetrio.frames import AudioFrame

RATE = 8000


def source(start, stop):
    """Samples whose values tell their position; none is 0."""
    return (np.arange(start, stop) % 30000 + 1).astype(np.int16)


def frame(start, count, rate=RATE):
    return AudioFrame.from_samples(source(start, start + count), rate, start)


def run(reframer, frames):
    made = [one for each in frames for one in reframer.feed(each)]
    return made + reframer.flush()


pieces = st.lists(
    st.tuples(st.integers(1, 700), st.one_of(st.just(0), st.just(0), st.integers(1, 900))), min_size=1
)


def stream(sizes_and_gaps):
    frames, position = [], 123
    for size, gap in sizes_and_gaps:
        position += gap
        frames.append(frame(position, size))
        position += size
    return frames


@given(pieces, st.sampled_from([10, 16, 20, 30, 32, 60]))
def test_no_sample_is_lost_added_or_moved(sizes_and_gaps, frame_ms):
    frames = stream(sizes_and_gaps)
    made = run(Reframer(frame_ms), frames)
    given_positions = [position for each in frames for position in range(each.position, each.end)]
    made_positions = [position for each in made for position in range(each.position, each.end)]
    assert made_positions == given_positions
    for each in made:
        assert np.array_equal(each.samples, source(each.position, each.end))


@given(pieces, st.sampled_from([10, 16, 20, 30, 32, 60]))
def test_only_a_frame_before_a_gap_or_the_end_is_short(sizes_and_gaps, frame_ms):
    made = run(Reframer(frame_ms), stream(sizes_and_gaps))
    size = frame_samples(RATE, frame_ms)
    for each, following in itertools.pairwise(made):
        assert each.sample_count == size or following.position > each.end
    assert 0 < made[-1].sample_count <= size


@given(pieces, st.sampled_from([10, 16, 20, 30, 32, 60]))
def test_padded_frames_are_all_full_and_silent_only_in_gaps(sizes_and_gaps, frame_ms):
    frames = stream(sizes_and_gaps)
    made = run(Reframer(frame_ms, pad=True), frames)
    size = frame_samples(RATE, frame_ms)
    assert {each.sample_count for each in made} == {size}
    assert all(each.end <= following.position for each, following in itertools.pairwise(made))
    end = frames[-1].end + size
    expected, actual = np.zeros(end, np.int16), np.zeros(end, np.int16)
    for each in frames:
        expected[each.position : each.end] = source(each.position, each.end)
    for each in made:
        actual[each.position : each.end] = each.samples
    assert np.array_equal(actual, expected)


@given(
    st.lists(st.integers(1, 900), min_size=1), st.lists(st.sampled_from([10, 16, 20, 30, 32, 60]), max_size=4)
)
def test_through_several_framings_and_back_nothing_changes(sizes, framings):
    made = stream([(size, 0) for size in sizes])
    total = sum(sizes)
    for frame_ms in framings:
        made = run(Reframer(frame_ms), made)
    assert np.array_equal(np.concatenate([each.samples for each in made]), source(123, 123 + total))
    assert made[0].position == 123


def test_a_frame_that_is_full_passes_as_it_is():
    full = frame(0, 160)
    assert Reframer(20).feed(full)[0] is full


def test_a_large_frame_is_cut_without_a_copy():
    large = AudioFrame(bytes(1000), RATE, 1, 40)
    made = Reframer(20).feed(large)
    assert [(each.position, each.sample_count) for each in made] == [(40, 160), (200, 160), (360, 160)]
    assert all(isinstance(each.pcm, memoryview) for each in made)


def test_channels_stay_together():
    samples = np.stack((source(0, 500), -source(0, 500)), axis=1)
    reframer = Reframer(20)
    made = [
        one
        for start in range(0, 500, 70)
        for one in reframer.feed(AudioFrame.from_samples(samples[start : start + 70], RATE, start))
    ]
    made += reframer.flush()
    assert np.array_equal(np.concatenate([each.samples for each in made]), samples)


def test_another_rate_ends_the_frame_in_the_making():
    reframer = Reframer(20)
    assert reframer.feed(frame(0, 100)) == []
    made = reframer.feed(frame(300, 320, 16000))
    assert [(each.rate, each.sample_count) for each in made] == [(8000, 100), (16000, 320)]


def test_a_jump_back_ends_the_frame_in_the_making():
    reframer = Reframer(20)
    reframer.feed(frame(1000, 100))
    made = reframer.feed(frame(0, 160))
    assert [(each.position, each.sample_count) for each in made] == [(1000, 100), (0, 160)]


def test_reset_drops_what_is_held():
    reframer = Reframer(20)
    reframer.feed(frame(0, 100))
    assert reframer.held_samples == 100
    reframer.reset()
    assert reframer.held_samples == 0
    assert reframer.flush() == []


def test_an_empty_frame_changes_nothing():
    reframer = Reframer(20)
    assert reframer.feed(frame(0, 0)) == []
    assert reframer.flush() == []


def test_it_can_stand_as_a_transform():
    assert Reframer(10)(frame(0, 160))[1].position == 80


@pytest.mark.parametrize(
    ("rate", "frame_ms", "count"), [(22050, 20, 441), (22050, 60, 1323), (11025, 40, 441)]
)
def test_odd_rates_have_exact_frames(rate, frame_ms, count):
    assert frame_samples(rate, frame_ms) == count


@pytest.mark.parametrize(
    ("rate", "frame_ms"), [(22050, 10), (22050, 16), (11025, 20), (11025, 30), (16000, 0)]
)
def test_frames_that_are_no_whole_number_of_samples_are_refused(rate, frame_ms):
    with pytest.raises(ConfigError, match="whole number"):
        frame_samples(rate, frame_ms)


def test_a_refused_rate_does_not_lose_what_is_held():
    reframer = Reframer(10)
    reframer.feed(frame(0, 30))
    with pytest.raises(ConfigError, match="22050"):
        reframer.feed(frame(0, 30, 22050))
    assert reframer.flush()[0].sample_count == 30


def test_a_frame_of_no_length_is_refused():
    with pytest.raises(ConfigError):
        Reframer(0)
