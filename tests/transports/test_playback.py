from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.errors import ConfigError
from voicetrio.transports.playback import PlaybackBuffer

RATE = 1000
FRAME = np.arange(20, dtype=np.int16)


def make(**options) -> PlaybackBuffer:
    return PlaybackBuffer(RATE, keep_stretches=True, **options)


def test_it_plays_once_enough_is_buffered():
    playback = make(start_s=0.06)
    playback.push(FRAME, 0.0)
    playback.push(FRAME, 0.02)
    assert playback.advance(1.0) == 0
    assert not playback.is_playing
    playback.push(FRAME, 1.0)
    assert playback.advance(1.01) == 10
    assert playback.advance(1.06) == 60


def test_a_stream_with_less_jitter_than_buffer_never_runs_dry():
    playback = make(start_s=0.06)
    arrival = 0.0
    for number in range(500):
        arrival = max(arrival, number * 0.02 + (0.035 if number % 7 == 3 else 0.0))
        playback.push(FRAME, arrival)
    counts = playback.statistics()
    assert (counts.underruns, counts.longest_gap_s) == (0, 0.0)
    assert counts.played_samples == 500 * 20 - 60
    assert counts.peak_s == pytest.approx(0.06)


def test_running_dry_is_an_underrun_when_more_comes():
    playback = make(start_s=0.06)
    for number in range(3):
        playback.push(FRAME, number * 0.02)
    assert playback.advance(0.2) == 60
    assert playback.statistics().underruns == 0
    for number in range(3):
        playback.push(FRAME, 0.2 + number * 0.02)
    counts = playback.statistics()
    assert counts.underruns == 1
    assert counts.longest_gap_s == pytest.approx(0.24 - 0.1)
    assert playback.advance(0.25) == 70


def test_a_long_pause_is_silence_on_purpose():
    playback = make(start_s=0.02, pause_s=0.5)
    playback.push(FRAME, 0.0)
    playback.push(FRAME, 1.0)
    assert playback.statistics().underruns == 0
    playback.push(FRAME, 1.5)
    assert playback.statistics().underruns == 1


def test_audio_that_arrives_as_the_last_sample_ends_is_in_time():
    playback = make(start_s=0.02)
    playback.push(FRAME, 0.0)
    playback.push(FRAME, 0.02)
    assert playback.statistics().underruns == 0
    assert playback.advance(0.04) == 40


def test_a_clear_drops_what_was_not_played_and_moves_on():
    playback = make(start_s=0.06)
    for number in range(4):
        playback.push(FRAME, number * 0.02)
    playback.clear(500, 0.07)
    counts = playback.statistics()
    assert (counts.played_samples, counts.dropped_samples, counts.clears) == (30, 50, 1)
    assert playback.position == 500
    for _ in range(3):
        playback.push(FRAME, 0.09)
    assert playback.advance(0.1) == 510
    counts = playback.statistics()
    assert counts.underruns == 0
    assert counts.longest_clear_gap_s == pytest.approx(0.02)


def test_a_skip_in_the_middle_of_the_buffer_moves_only_what_follows():
    playback = make(start_s=0.04)
    playback.push(FRAME, 0.0)
    playback.skip(100)
    playback.push(FRAME, 0.0)
    assert playback.advance(0.02) == 20
    assert playback.advance(0.03) == 110
    assert [stretch.position for stretch in playback.take_played()] == [0, 100]


def test_what_was_played_is_kept_with_its_time():
    playback = make(start_s=0.02)
    playback.push(FRAME, 5.0)
    playback.advance(5.005)
    playback.advance(6.0)
    first, second = playback.take_played()
    assert (first.time, first.position, list(first.samples)) == (5.0, 0, [0, 1, 2, 3, 4])
    assert (second.time, second.position, second.samples.size) == (pytest.approx(5.005), 5, 15)
    assert playback.take_played() == []


@given(st.lists(st.tuples(st.floats(0, 0.2), st.integers(0, 60)), max_size=40))
def test_every_sample_is_played_once_in_order_and_never_faster_than_time(steps):
    playback = make(start_s=0.03)
    now, pushed = 0.0, 0
    for wait, size in steps:
        now += wait
        playback.push(np.arange(pushed, pushed + size, dtype=np.int16), now)
        pushed += size
    playback.advance(now + 100)
    stretches = playback.take_played()
    played = np.concatenate([stretch.samples for stretch in stretches] or [np.zeros(0, np.int16)])
    assert list(played) == list(range(played.size))
    assert played.size + round(playback.statistics().buffered_s * RATE) == pushed
    ends = [stretch.time + stretch.samples.size / RATE for stretch in stretches]
    starts = [stretch.time for stretch in stretches]
    assert all(start >= end - 1e-9 for end, start in zip(ends, starts[1:], strict=False))


def test_bad_settings_are_refused():
    with pytest.raises(ConfigError):
        PlaybackBuffer(0)
    with pytest.raises(ConfigError):
        PlaybackBuffer(8000, start_s=-1)
