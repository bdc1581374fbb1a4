import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.machines.capture_clock import CaptureClock

RATE = 16000
FRAME = 320


def feed(clock, arrivals, first=0):
    for index, arrival in enumerate(arrivals):
        clock.heard(first + index * FRAME, first + (index + 1) * FRAME, arrival)


def test_a_position_is_spoken_when_its_audio_arrives_at_the_earliest():
    clock = CaptureClock(RATE, 100.0)
    feed(clock, [100.05 + 0.02 * k for k in range(50)])
    assert clock.time_of(50 * FRAME) == pytest.approx(101.03, abs=0.03)


def test_an_early_arrival_moves_the_clock_at_once():
    clock = CaptureClock(RATE, 100.0)
    feed(clock, [100.2, 100.21])
    assert clock.time_of(2 * FRAME) == pytest.approx(100.21)


def test_a_microphone_that_was_muted_starts_again_where_it_is():
    clock = CaptureClock(RATE, 0.0)
    feed(clock, [0.02 * k for k in range(1, 11)])
    clock.heard(10 * FRAME, 11 * FRAME, 30.0)
    assert clock.time_of(11 * FRAME) == pytest.approx(30.0)


def test_after_a_stall_the_burst_brings_the_clock_back():
    clock = CaptureClock(RATE, 0.0)
    feed(clock, [0.02 * k for k in range(1, 51)])
    feed(clock, [2.0] * 50, first=50 * FRAME)  # a second of audio, all at once
    assert clock.time_of(100 * FRAME) == pytest.approx(2.0, abs=0.01)


def test_drift_is_followed():
    clock = CaptureClock(RATE, 0.0)
    slow = 1.0001
    feed(clock, [0.02 * slow * k for k in range(1, 60001)])
    assert clock.time_of(60000 * FRAME) == pytest.approx(1200 * slow, abs=0.0025)


def test_a_file_read_faster_than_real_time_carries_the_clock_with_it():
    clock = CaptureClock(RATE, 0.0)
    feed(clock, [0.001 * k for k in range(1, 101)])
    assert clock.position_at(0.1) == 100 * FRAME


def test_it_says_when_waits_for_a_position_come_earlier():
    clock = CaptureClock(RATE, 0.0)
    clock.heard(0, FRAME, 1.0)
    assert not clock.heard(FRAME, 2 * FRAME, 1.015)  # 5 ms early
    assert clock.heard(2 * FRAME, 3 * FRAME, 1.02)  # and 15 more
    assert not clock.heard(3 * FRAME, 4 * FRAME, 1.04)


@given(
    st.lists(st.floats(0, 0.2), min_size=1, max_size=30),
    st.integers(-(10**6), 10**8),
    st.sampled_from([8000, 16000, 44100, 48000]),
)
def test_a_position_survives_the_way_to_seconds_and_back(late, position, rate):
    clock = CaptureClock(rate, 1000.0)
    for index, late_s in enumerate(late):
        clock.heard(index * 320, (index + 1) * 320, 1000 + (index + 1) * 320 / rate + late_s)
    assert clock.position_at(clock.time_of(position)) == position
