from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.audio.tempo import change_tempo
from voicetrio.errors import ConfigError

RATE = 16_000


def tone(hz: float, seconds: float) -> np.ndarray:
    at = np.arange(round(seconds * RATE)) / RATE
    return np.rint(8000 * np.sin(2 * np.pi * hz * at)).astype(np.int16)


def pitch(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * RATE / len(samples))


@pytest.mark.parametrize("tempo", [0.25, 0.5, 0.8, 1.25, 2.0, 4.0])
def test_the_length_changes_and_the_pitch_stays(tempo):
    samples = tone(440, 3.0)
    changed = change_tempo(samples, RATE, tempo)
    assert len(changed) == round(len(samples) / tempo)
    assert changed.dtype == np.int16
    assert pitch(changed) == pytest.approx(440, abs=3)
    # Nothing of it is missing at the end but the filter's last window.
    assert np.abs(changed[-RATE // 10 : -RATE // 20]).max() > 4000


@given(st.integers(0, 4000), st.floats(0.25, 4.0))
def test_every_length_is_exact(count, tempo):
    changed = change_tempo(np.full(count, 1000, np.int16), RATE, tempo)
    assert len(changed) == round(count / tempo)


def test_at_its_own_tempo_nothing_is_done():
    samples = tone(440, 0.1)
    assert np.array_equal(change_tempo(samples, RATE, 1.0), samples)


@pytest.mark.parametrize("tempo", [0.0, -1.0, float("nan"), float("inf"), 101.0])
def test_an_impossible_tempo_is_refused(tempo):
    with pytest.raises(ConfigError, match="a tempo is above 0"):
        change_tempo(tone(440, 0.1), RATE, tempo)
