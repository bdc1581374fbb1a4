"""The demo's caller."""

from __future__ import annotations

import numpy as np
import pytest

from voicetrio.cli.demo.caller import cough


def test_a_cough_is_short_loud_and_dies_away() -> None:
    sound = cough(16000, 0.4)
    assert sound.dtype == np.int16
    assert sound.size == 6400
    assert np.abs(sound).max() == pytest.approx(12000, abs=1)
    quarters = [float(np.square(q, dtype=float).mean()) for q in np.array_split(sound, 4)]
    assert quarters[3] < quarters[1] / 4


def test_the_same_seed_is_the_same_cough() -> None:
    assert np.array_equal(cough(seed=5), cough(seed=5))
    assert not np.array_equal(cough(seed=5), cough(seed=6))


@pytest.mark.models
def test_the_vad_takes_a_cough_for_a_voice_and_the_recogniser_for_none() -> None:
    from voicetrio.services.local.stt import load_whisper
    from voicetrio.services.local.vad import EarshotVAD

    vad = EarshotVAD()
    sound = np.concatenate([np.zeros(8000, np.int16), cough(16000), np.zeros(8000, np.int16)])
    windows = sound[: sound.size // vad.window * vad.window].reshape(-1, vad.window)
    assert sum(vad.probability(window) > 0.5 for window in windows) * vad.window > 0.2 * 16000
    assert load_whisper().decode(sound, 16000).text == ""
