from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from voicetrio.audio.clip import room_tone
from voicetrio.audio.mixer import Mixer
from voicetrio.audio.pcm import db_to_gain
from voicetrio.errors import ConfigError

RATE = 8000
TICK = 160
int16_arrays = hnp.arrays(np.int16, st.integers(0, 300))


def noise(count, seed=1, amplitude=3000.0):
    return (np.random.default_rng(seed).normal(size=count) * amplitude).clip(-32768, 32767).astype(np.int16)


def level(samples):
    return math.sqrt(float(np.mean(samples.astype(np.float64) ** 2)))


def flat(count, value=10000):
    return np.full(count, value, np.int16)


def undisturbed_bed(clip, **settings):
    """A mixer whose bed sounds at once."""
    mixer = Mixer(RATE, **settings)
    mixer.start_bed(clip, fade_s=0)
    return mixer


# --- nothing but speech ---------------------------------------------------------------------------


@given(int16_arrays)
def test_speech_alone_comes_out_as_it_went_in(speech):
    mixer = Mixer(RATE)
    assert mixer.mix(speech, speech.size) is speech


@given(int16_arrays)
def test_a_silent_bed_does_not_change_speech(speech):
    mixer = undisturbed_bed(flat(10, 0))
    assert np.array_equal(mixer.mix(speech, speech.size), speech)


@given(int16_arrays, st.integers(0, 100))
def test_what_speech_lacks_is_silence(speech, lacking):
    mixed = Mixer(RATE).mix(speech, speech.size + lacking)
    assert np.array_equal(mixed, np.concatenate((speech, np.zeros(lacking, np.int16))))


def test_nothing_is_silence():
    mixer = Mixer(RATE)
    assert not mixer.active
    assert mixer.mix(None, TICK).tolist() == [0] * TICK
    assert mixer.mix(None, 0).size == 0


def test_speech_has_a_gain_of_its_own():
    assert Mixer(RATE, speech_gain_db=-20).mix(flat(5), 5).tolist() == [1000] * 5


# --- the bed --------------------------------------------------------------------------------------


@given(st.integers(1, 9000), st.lists(st.integers(0, 700), min_size=1, max_size=30))
@settings(deadline=None)
def test_a_bed_of_any_length_loops_without_a_seam(length, ticks):
    clip = noise(length)
    mixer = undisturbed_bed(clip)
    mixed = np.concatenate([mixer.mix(None, tick) for tick in ticks])
    assert np.array_equal(mixed, np.resize(clip, mixed.size))


def test_a_bed_longer_than_a_loop_of_the_mixer_goes_round():
    clip = noise(5000)
    mixed = undisturbed_bed(clip).mix(None, 17_000)
    assert np.array_equal(mixed, np.resize(clip, 17_000))


def test_a_bed_fades_in_and_out_with_equal_power():
    mixer = Mixer(RATE)
    mixer.start_bed(flat(RATE), gain_db=-6.0, fade_s=0.1)
    full = round(10000 * db_to_gain(-6.0))
    rising = mixer.mix(None, 800)
    assert rising[0] < full * 0.01
    assert rising[399] == pytest.approx(full * math.sqrt(0.5), rel=0.01)
    assert rising[-1] == full
    mixer.stop_bed(0.1)
    falling = mixer.mix(None, 800)
    assert falling[399] == pytest.approx(full * math.sqrt(0.5), rel=0.01)
    assert falling[-1] == 0
    assert np.max(np.abs(np.diff(np.concatenate((rising, falling)).astype(int)))) < full * 0.003
    assert not mixer.active


def test_a_bed_is_active_until_its_fade_is_over():
    mixer = undisturbed_bed(flat(100))
    assert mixer.active
    mixer.stop_bed(0.04)
    assert mixer.mix(None, TICK).any()
    assert mixer.active
    mixer.mix(None, TICK)
    assert not mixer.active
    mixer.stop_bed(0.04)  # without a bed this does nothing
    assert not mixer.mix(None, TICK).any()


def test_a_new_bed_is_cross_faded_at_constant_loudness():
    mixer = undisturbed_bed(noise(RATE * 4, seed=1))
    mixer.mix(None, RATE)
    mixer.start_bed(noise(RATE * 4, seed=2), fade_s=1.0)
    levels = [level(mixer.mix(None, RATE // 10)) for _ in range(12)]
    assert all(one == pytest.approx(3000, rel=0.12) for one in levels)
    assert np.array_equal(mixer.mix(None, 100), noise(RATE * 4, seed=2)[9600:9700])


def test_skipping_moves_the_bed_and_its_fade_on():
    heard, skipped = Mixer(RATE), Mixer(RATE)
    for mixer in (heard, skipped):
        mixer.start_bed(noise(5000), fade_s=0.1)
    heard.mix(None, 12_345)
    skipped.skip(12_345)
    assert np.array_equal(heard.mix(None, 500), skipped.mix(None, 500))


# --- ducking --------------------------------------------------------------------------------------


def ducking_mixer():
    mixer = Mixer(RATE, duck_db=-12.0, duck_attack_s=0.05, duck_hold_s=0.1, duck_release_s=0.2)
    mixer.start_bed(flat(RATE), fade_s=0)
    return mixer


def test_the_bed_goes_down_under_speech_and_comes_back():
    mixer = ducking_mixer()
    silence = flat(RATE, 0)
    ducked = round(10000 * db_to_gain(-12.0))
    before = mixer.mix(None, 400)
    under = mixer.mix(silence[:800], 800)
    after = mixer.mix(None, 4000)
    assert set(before.tolist()) == {10000}
    assert under[200] < 9000  # on its way
    assert set(under[399:].tolist()) == {ducked}
    assert set(after[:800].tolist()) == {ducked}  # held
    assert ducked < after[1600] < 10000
    assert set(after[2399:].tolist()) == {10000}
    steps = np.diff(np.concatenate((before, under, after)).astype(int))
    assert np.max(np.abs(steps)) < 60  # smooth


def test_a_short_pause_in_speech_does_not_pump_the_bed():
    mixer = ducking_mixer()
    mixer.mix(flat(800, 0), 800)
    ducked = round(10000 * db_to_gain(-12.0))
    assert set(mixer.mix(None, 700).tolist()) == {ducked}
    assert set(mixer.mix(flat(800, 0), 800).tolist()) == {ducked}


def test_one_shots_are_not_ducked():
    mixer = Mixer(RATE, duck_db=-60.0, duck_attack_s=0.0)
    mixer.play(flat(TICK, 500))
    assert mixer.mix(flat(TICK, 0), TICK).tolist() == [500] * TICK


# --- one-shots ------------------------------------------------------------------------------------


@given(st.integers(1, 2000), st.integers(1, 300))
@settings(deadline=None)
def test_a_one_shot_plays_once_and_completely(length, tick):
    mixer = Mixer(RATE)
    clip = noise(length)
    shot = mixer.play(clip)
    parts = []
    while not shot.done:
        assert mixer.active
        parts.append(mixer.mix(None, tick))
    mixed = np.concatenate(parts)
    assert np.array_equal(mixed[:length], clip)
    assert not mixed[length:].any()
    assert mixed.size - length < tick
    assert not mixer.active


def test_a_one_shot_can_be_stopped_with_a_fade():
    mixer = Mixer(RATE)
    shot = mixer.play(flat(RATE))
    mixer.mix(None, TICK)
    shot.stop(0.02)
    assert not shot.done
    faded = mixer.mix(None, TICK * 2)
    assert np.max(np.abs(np.diff(faded[:TICK].astype(int)))) < 120
    assert not faded[TICK - 1 :].any()
    assert shot.done
    shot.stop()
    assert shot.done


def test_a_one_shot_stopped_at_once_is_never_heard():
    mixer = Mixer(RATE)
    shot = mixer.play(flat(RATE))
    shot.stop(0)
    assert shot.done
    assert not mixer.active
    assert not mixer.mix(None, TICK).any()


def test_one_shots_add_up_with_their_gains():
    mixer = Mixer(RATE)
    mixer.play(flat(TICK, 1000), gain_db=-20)
    mixer.play(flat(TICK // 2, 1000))
    assert mixer.mix(flat(TICK, 5), TICK).tolist() == [1105] * 80 + [105] * 80


# --- the sum --------------------------------------------------------------------------------------


def test_the_sum_saturates():
    mixer = Mixer(RATE)
    mixer.play(np.array([30000, -30000], np.int16))
    assert mixer.mix(np.array([30000, -30000], np.int16), 2).tolist() == [32767, -32768]


@given(st.integers(0, 2**32 - 1), st.floats(-40, 0), st.floats(-40, 0))
@settings(deadline=None)
def test_the_mix_is_the_sum_of_its_parts(seed, bed_db, shot_db):
    speech, bed, shot = noise(400, seed), noise(123, seed + 1), noise(400, seed + 2)

    def mixed(*, with_speech, with_bed, with_shot):
        mixer = Mixer(RATE)
        if with_bed:
            mixer.start_bed(bed, bed_db, 0.02)
        if with_shot:
            mixer.play(shot, shot_db)
        return mixer.mix(speech if with_speech else np.zeros(400, np.int16), 400).astype(int)

    parts = [
        mixed(with_speech=True, with_bed=False, with_shot=False),
        mixed(with_speech=False, with_bed=True, with_shot=False),
        mixed(with_speech=False, with_bed=False, with_shot=True),
    ]
    whole = mixed(with_speech=True, with_bed=True, with_shot=True)
    assert np.max(np.abs(whole - sum(parts))) <= 1  # each part is rounded to a whole number


def rendered(cuts):
    """Play one scene of 8000 samples, asked for in pieces that end at ``cuts``."""
    speech, spans = noise(8000, seed=5), [(700, 1500), (1600, 1601), (3000, 5500)]
    mixer = Mixer(RATE, duck_attack_s=0.03, duck_hold_s=0.05, duck_release_s=0.1)
    shots = []
    scene = {
        100: lambda: mixer.start_bed(noise(777, seed=6), -3.0, 0.1),
        1000: lambda: shots.append(mixer.play(noise(900, seed=7), -6.0)),
        1300: lambda: shots[0].stop(0.05),
        2500: lambda: mixer.start_bed(noise(9000, seed=8), 0.0, 0.2),
        3100: lambda: mixer.stop_bed(0.3),
        3300: lambda: mixer.start_bed(noise(3, seed=9), -10.0, 0.1),
        5600: lambda: mixer.skip(1000),
        7000: lambda: mixer.stop_bed(0.05),
    }
    # A piece may end in the middle of speech, but what happens, and speech, begin with a piece.
    edges = sorted({0, 8000, *scene, *(start for start, _ in spans), *cuts})
    parts = []
    for start, stop in itertools.pairwise(edges):
        scene.get(start, lambda: None)()
        given_to = next((min(stop, end) for begin, end in spans if begin <= start < end), None)
        parts.append(mixer.mix(None if given_to is None else speech[start:given_to], stop - start))
    return np.concatenate(parts)


@given(st.lists(st.integers(1, 7999), max_size=60))
@settings(deadline=None, max_examples=60)
def test_the_signal_does_not_depend_on_the_ticks(cuts):
    assert np.array_equal(rendered(cuts), rendered([]))


@pytest.mark.parametrize("tick", [1, 80, 160, 480])
def test_usual_ticks_give_the_same_signal(tick):
    assert np.array_equal(rendered(range(tick, 8000, tick)), rendered([]))


def test_what_was_returned_does_not_change_later():
    mixer = undisturbed_bed(noise(1000))
    first = mixer.mix(None, TICK)
    copy = first.copy()
    mixer.mix(None, TICK)
    assert np.array_equal(first, copy)


def test_sessions_share_a_clip_without_changing_it():
    clip = room_tone(RATE, 1.0)
    clip.flags.writeable = False
    one, other = undisturbed_bed(clip), undisturbed_bed(clip)
    one.mix(None, 1234)
    assert np.array_equal(other.mix(None, 500), clip[:500])


@pytest.mark.parametrize(
    "speech",
    [np.zeros(TICK + 1, np.int16), np.zeros(TICK), np.zeros((TICK, 2), np.int16)],
    ids=["long", "float", "stereo"],
)
def test_speech_of_another_shape_is_refused(speech):
    with pytest.raises(ConfigError, match="speech must be int16 mono"):
        Mixer(RATE).mix(speech, TICK)


@pytest.mark.parametrize("clip", [np.zeros(0, np.int16), np.zeros(5), np.zeros((5, 2), np.int16)])
def test_clips_of_another_shape_are_refused(clip):
    mixer = Mixer(RATE)
    with pytest.raises(ConfigError, match="clip must"):
        mixer.start_bed(clip)
    with pytest.raises(ConfigError, match="clip must"):
        mixer.play(clip)
    assert not mixer.active


def test_a_rate_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="rate"):
        Mixer(0)
