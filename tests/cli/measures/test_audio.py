"""Finding voice in recordings, also above a background."""

from __future__ import annotations

import numpy as np
import pytest

from voicetrio.audio import read_wav
from voicetrio.cli.measures import (
    falls_silent_s,
    frame_levels_db,
    outside,
    percentile,
    speech_threshold_db,
    voice_threshold_db,
    voiced_end_s,
    voiced_onset_s,
    voiced_spans,
)
from voicetrio.data import speech_path
from voicetrio.frames import Samples

RATE = 16000
EXACT_S = 0.011


def tone(seconds: float, amplitude: float, rate: int = RATE) -> Samples:
    return np.rint(amplitude * np.sin(2 * np.pi * 220 * np.arange(round(seconds * rate)) / rate)).astype(
        np.int16
    )


def noise(seconds: float, amplitude: float, rate: int = RATE) -> Samples:
    return np.rint(np.random.default_rng(7).normal(0, amplitude, round(seconds * rate))).astype(np.int16)


def mixed(background: Samples, *voices: tuple[float, Samples], rate: int = RATE) -> Samples:
    total = background.astype(np.int32)
    for start_s, voice in voices:
        start = round(start_s * rate)
        total[start : start + len(voice)] += voice
    return np.clip(total, -32768, 32767).astype(np.int16)


def test_levels_are_in_decibels_of_full_scale() -> None:
    assert frame_levels_db(tone(0.5, 32767), RATE).max() == pytest.approx(-3.01, abs=0.1)
    assert frame_levels_db(np.zeros(RATE, np.int16), RATE).max() == -120.0
    assert len(frame_levels_db(np.zeros(10, np.int16), RATE)) == 0


def test_voice_is_found_to_a_few_milliseconds() -> None:
    recording = mixed(np.zeros(4 * RATE, np.int16), (0.5, tone(0.7, 8000)), (2.0, tone(1.0, 8000)))
    assert voiced_spans(recording, RATE) == [
        (pytest.approx(0.5, abs=EXACT_S), pytest.approx(1.2, abs=EXACT_S)),
        (pytest.approx(2.0, abs=EXACT_S), pytest.approx(3.0, abs=EXACT_S)),
    ]


def test_voice_at_the_very_edges_of_a_recording_is_found() -> None:
    (span,) = voiced_spans(tone(1.0, 8000), RATE)
    assert span == (0.0, pytest.approx(1.0, abs=EXACT_S))


def test_short_gaps_are_bridged_and_clicks_are_not_voice() -> None:
    recording = mixed(
        np.zeros(4 * RATE, np.int16),
        (0.5, tone(0.4, 8000)),
        (1.0, tone(0.4, 8000)),
        (3.0, tone(0.004, 20000)),
    )
    assert voiced_spans(recording, RATE) == [
        (pytest.approx(0.5, abs=EXACT_S), pytest.approx(1.4, abs=EXACT_S))
    ]


def test_a_threshold_from_the_background_tells_voice_from_bed() -> None:
    bed = noise(5.0, 400)
    recording = mixed(bed, (2.0, tone(1.0, 8000)))
    threshold_db = voice_threshold_db(outside(recording, RATE, [(2.0, 3.0)]), RATE)
    assert voiced_spans(bed, RATE, threshold_db) == []
    assert voiced_onset_s(recording, RATE, threshold_db) == pytest.approx(2.0, abs=EXACT_S)
    assert voiced_end_s(recording, RATE, threshold_db) == pytest.approx(3.0, abs=EXACT_S)


def test_a_silent_background_still_has_a_threshold() -> None:
    assert voice_threshold_db(np.zeros(RATE, np.int16), RATE) == -50.0
    assert voice_threshold_db(np.empty(0, np.int16), RATE) == -50.0


def test_outside_leaves_out_the_spans_and_their_margins() -> None:
    samples = np.arange(RATE, dtype=np.int16)
    kept = outside(samples, RATE, [(0.25, 0.5)], margin_s=0.05)
    assert len(kept) == RATE - round(0.35 * RATE)
    assert kept[3199] == 3199
    assert kept[3200] == 8800


def test_onset_and_end_look_where_they_are_told() -> None:
    recording = mixed(np.zeros(4 * RATE, np.int16), (0.5, tone(0.5, 8000)), (2.0, tone(1.0, 8000)))
    assert voiced_onset_s(recording, RATE, after_s=1.5) == pytest.approx(2.0, abs=EXACT_S)
    assert voiced_onset_s(recording, RATE, after_s=2.5) == 2.5
    assert voiced_onset_s(recording, RATE, after_s=3.5) is None
    assert voiced_end_s(recording, RATE, before_s=1.5) == pytest.approx(1.0, abs=EXACT_S)
    assert voiced_end_s(recording, RATE, before_s=2.5) == 2.5
    assert voiced_end_s(recording, RATE, before_s=0.4) is None


def test_falling_silent_is_the_end_of_the_voice_that_is_there() -> None:
    recording = mixed(np.zeros(4 * RATE, np.int16), (0.5, tone(0.5, 8000)), (1.1, tone(0.5, 8000)))
    assert falls_silent_s(recording, RATE, after_s=0.7) == pytest.approx(1.6, abs=EXACT_S)
    assert falls_silent_s(recording, RATE, after_s=0.7, for_s=0.05) == pytest.approx(1.0, abs=EXACT_S)
    assert falls_silent_s(recording, RATE, after_s=2.0) == 2.0
    assert falls_silent_s(recording, RATE, after_s=3.9) is None
    assert falls_silent_s(tone(1.0, 8000), RATE, after_s=0.5) is None


def test_the_noise_of_the_callers_room_is_not_their_voice() -> None:
    speech = mixed(noise(3.0, 150), (0.5, tone(1.0, 4000)))
    assert voiced_end_s(speech, RATE) == pytest.approx(3.0, abs=EXACT_S)  # an absolute level takes the noise
    threshold_db = speech_threshold_db(speech, RATE)
    assert voiced_end_s(speech, RATE, threshold_db) == pytest.approx(1.5, abs=EXACT_S)
    assert speech_threshold_db(np.empty(0, np.int16), RATE) == -50.0


@pytest.mark.parametrize(("name", "last_s"), [("go-forward.wav", 2.26), ("digits-29340.wav", 1.61)])
def test_the_last_voiced_sample_of_a_recorded_human_is_found(name: str, last_s: float) -> None:
    samples, rate = read_wav(speech_path(name))
    found = voiced_end_s(samples, rate, speech_threshold_db(samples, rate))
    assert found == pytest.approx(last_s, abs=0.06)  # a last sound fades, so its end is a matter of taste


def test_percentiles_lie_between_the_nearest_values() -> None:
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([1.0, 2.0], 50) == 1.5
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)
