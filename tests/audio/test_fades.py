from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.audio.fades import GainRamp, fade_in_gains, fade_out_gains, seamless_loop
from voicetrio.errors import ConfigError


@pytest.mark.parametrize("count", [1, 2, 7, 480, 1024, 100_000])
def test_a_fade_in_and_a_fade_out_keep_the_power(count):
    rising, falling = fade_in_gains(count), fade_out_gains(count)
    assert np.allclose(rising**2 + falling**2, 1.0, atol=1e-5)
    assert rising[-1] == 1.0
    assert falling[-1] == 0.0
    ideal = np.sin(np.arange(1, count + 1) * (np.pi / 2 / count))
    assert np.allclose(rising, ideal, atol=1e-3)
    assert np.all(np.diff(rising) >= 0)


def test_no_samples_need_no_gains():
    assert fade_in_gains(0).size == 0


@given(st.integers(1, 3000), st.floats(0, 4), st.lists(st.integers(0, 500), max_size=20))
def test_a_ramp_does_not_depend_on_how_it_is_cut(length, target, cuts):
    whole, cut = GainRamp(1000), GainRamp(1000)
    whole.set(target, length / 1000)
    cut.set(target, length / 1000)
    total = sum(cuts)
    pieces = [np.broadcast_to(np.float32(cut.take(count)), count) for count in cuts]
    expected = np.broadcast_to(np.float32(whole.take(total)), total)
    assert np.array_equal(np.concatenate([*pieces, np.zeros(0, np.float32)]), expected)
    assert cut.gain == whole.gain
    assert cut.settled == (total >= length or target == 1.0)  # it begins at 1


def test_the_last_sample_of_a_ramp_has_exactly_the_new_gain():
    ramp = GainRamp(24000)
    ramp.set(0.0, 0.02)
    faded = ramp.apply(np.full(480, 20000, np.int16))
    assert faded[-1] == 0
    assert faded[0] > 19990
    assert np.all(np.diff(faded.astype(int)) <= 0)
    assert np.max(np.abs(np.diff(faded.astype(int)))) < 20000 * np.pi / 2 / 480 + 2  # no click
    assert ramp.settled
    assert ramp.apply(np.full(5, 20000, np.int16)).tolist() == [0] * 5


def test_a_change_of_mind_goes_on_from_the_gain_it_has():
    ramp = GainRamp(1000)
    ramp.set(0.0, 1.0)
    before = ramp.take(400)
    assert ramp.gain == pytest.approx(float(before[-1]))
    ramp.set(1.0, 1.0)
    after = ramp.take(1000)
    assert abs(float(after[0]) - float(before[-1])) < 0.01
    assert after[-1] == 1.0


def test_asking_again_for_the_same_gain_does_not_start_again():
    ramp, once = GainRamp(1000), GainRamp(1000)
    once.set(0.25, 0.1)
    expected = once.take(100)
    gains = []
    for _ in range(10):
        ramp.set(0.25, 0.1)
        gains.append(ramp.take(10))
    assert np.array_equal(np.concatenate(gains), expected)
    assert ramp.take(10) == 0.25


def test_asking_for_the_same_gain_sooner_is_heeded():
    ramp = GainRamp(1000)
    ramp.set(0.0, 10.0)
    ramp.take(5)
    ramp.set(0.0, 0.01)
    ramp.take(10)
    assert ramp.settled
    assert ramp.gain == 0.0


def test_a_ramp_of_no_time_jumps():
    ramp = GainRamp(8000, 0.0)
    ramp.set(0.5)
    assert ramp.apply(np.array([100, -100], np.int16)).tolist() == [50, -50]


def test_unity_gives_the_same_array_back():
    samples = np.arange(10, dtype=np.int16)
    assert GainRamp(8000).apply(samples) is samples


def test_a_ramp_treats_all_channels_alike_and_saturates():
    ramp = GainRamp(1000, 0.0)
    ramp.set(4.0, 0.01)
    out = ramp.apply(np.full((20, 2), -20000, np.int16))
    assert out.shape == (20, 2)
    assert np.array_equal(out[:, 0], out[:, 1])
    assert out[-1, 0] == -32768


def test_advance_is_take_without_gains():
    taken, advanced = GainRamp(1000), GainRamp(1000)
    for ramp in (taken, advanced):
        ramp.set(0.0, 0.1)
    taken.take(37)
    advanced.advance(37)
    assert np.array_equal(taken.take(50), advanced.take(50))


def test_negative_gains_and_times_are_refused():
    ramp = GainRamp(8000)
    with pytest.raises(ConfigError, match="negative"):
        ramp.set(-0.1)
    with pytest.raises(ConfigError, match="negative"):
        ramp.set(1.0, float("nan"))


def test_a_seamless_loop_repeats_without_a_jump():
    slope = np.linspace(-20000, 20000, 4000).astype(np.int16)  # a saw tooth: the worst loop there is
    loop = seamless_loop(slope, 400)
    assert loop.size == 3600
    twice = np.concatenate((loop, loop)).astype(int)
    assert np.max(np.abs(np.diff(twice))) < 40000 * np.pi / 2 / 400 + 20
    assert np.array_equal(loop[400:], slope[400:3600])


def test_a_loop_shorter_than_its_seam_is_joined_as_far_as_it_reaches():
    assert seamless_loop(np.arange(10, dtype=np.int16), 100).size == 5
    one = np.array([7], np.int16)
    assert seamless_loop(one, 100) is one
    assert seamless_loop(one, 0) is one
