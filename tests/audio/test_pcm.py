from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from voicetrio.audio.pcm import (
    add_saturating,
    db_to_gain,
    dbfs,
    from_float,
    gain_to_db,
    rms,
    to_float,
    to_mono,
    voiced_span,
)
from voicetrio.errors import ConfigError

int16_arrays = hnp.arrays(np.int16, st.integers(0, 200))


@given(int16_arrays)
def test_float_and_back_is_the_identity(samples):
    assert np.array_equal(from_float(to_float(samples)), samples)


def test_float_saturates_and_nan_is_silence():
    samples = from_float(np.array([1.0, 2.0, -1.0, -7.0, np.nan, np.inf, -np.inf]))
    assert samples.tolist() == [32767, 32767, -32768, -32768, 0, 32767, -32768]


@given(int16_arrays, st.integers(-32768, 32767))
def test_a_saturating_sum_is_the_clipped_exact_sum(samples, other):
    total = add_saturating(samples, np.full(samples.shape, other, np.int16))
    assert total.tolist() == [max(-32768, min(32767, int(one) + other)) for one in samples]


def test_decibels():
    assert db_to_gain(0) == 1.0
    assert db_to_gain(-20) == pytest.approx(0.1)
    assert db_to_gain(-math.inf) == 0.0
    assert gain_to_db(2.0) == pytest.approx(6.0206)
    assert gain_to_db(0.0) == -math.inf
    with pytest.raises(ConfigError, match="negative"):
        gain_to_db(-1.0)


def test_levels_are_relative_to_a_full_scale_square():
    square = np.tile(np.array([-32768, 32767], np.int16), 500)
    assert dbfs(square) == pytest.approx(0.0, abs=0.001)
    sine = from_float(np.sin(np.arange(48000) * (2 * math.pi * 1000 / 48000)))
    assert dbfs(sine) == pytest.approx(-3.01, abs=0.01)
    assert rms(np.zeros(0, np.int16)) == 0.0
    assert dbfs(np.zeros(5, np.int16)) == -math.inf


def test_mono_is_the_mean_of_the_channels():
    assert to_mono(np.array([[10, 20], [-32768, -32768], [1, 2]], np.int16)).tolist() == [15, -32768, 2]
    mono = np.array([1, 2], np.int16)
    assert to_mono(mono) is mono
    assert to_mono(mono.reshape(-1, 1)).tolist() == [1, 2]


@pytest.mark.parametrize("rate", [8000, 22050, 24000, 48000])
def test_voiced_span_finds_the_edges_within_half_a_window(rate):
    samples = np.zeros(rate * 2, np.int16)
    start, stop = rate // 2, rate * 3 // 2
    samples[start:stop] = np.resize(np.array([6000, -6000], np.int16), stop - start)
    found = voiced_span(samples, rate)
    assert found is not None
    assert start - rate * 0.011 <= found[0] <= start
    assert stop <= found[1] <= stop + rate * 0.011


def test_voiced_span_ignores_what_lies_below_the_threshold():
    hiss = np.resize(np.array([100, -100], np.int16), 24000)  # -50 dBFS
    assert voiced_span(hiss, 24000, -40.0) is None
    assert voiced_span(hiss, 24000, -60.0) == (0, 24000)
    assert voiced_span(np.zeros(0, np.int16), 24000) is None
    loud = hiss.copy()
    loud[9600:12000] *= 50
    found = voiced_span(loud, 24000, -40.0)
    assert found is not None
    assert found[0] >= 9600 - 264
    assert found[1] <= 12000 + 264


def test_voiced_span_wants_mono():
    with pytest.raises(ConfigError, match="to_mono"):
        voiced_span(np.zeros((10, 2), np.int16), 8000)


def test_importing_the_package_does_not_load_the_codecs():
    code = "import sys, voicetrio.audio; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
