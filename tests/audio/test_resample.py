from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicetrio.audio.resample import FrameResampler, Resampler, resample_whole, scale_position
from voicetrio.errors import ConfigError
from voicetrio.frames import AudioFrame

PAIRS = [
    (8000, 16000),
    (16000, 8000),
    (24000, 8000),
    (8000, 24000),
    (24000, 16000),
    (16000, 24000),
    (48000, 16000),
    (44100, 16000),
    (22050, 24000),
    (11025, 16000),
    (24000, 48000),
    (192000, 8000),
]
rates = st.sampled_from([8000, 11025, 16000, 22050, 24000, 44100, 48000, 96000])


def tone(hertz, rate, seconds=1.0, amplitude=16000.0):
    return np.rint(amplitude * np.sin(np.arange(int(rate * seconds)) * (2 * math.pi * hertz / rate))).astype(
        np.int16
    )


def noise(count, seed=1):
    return (np.random.default_rng(seed).normal(size=count) * 5000).clip(-32768, 32767).astype(np.int16)


def level(samples):
    return math.sqrt(float(np.mean(samples.astype(np.float64) ** 2)))


def in_pieces(resampler, samples, sizes):
    parts, start = [], 0
    for size in sizes:
        parts.append(resampler.feed(samples[start : start + size]))
        start += size
    parts += [resampler.feed(samples[start:]), resampler.flush()]
    return np.concatenate(parts)


@settings(deadline=None)
@given(rates, rates, st.integers(0, 3000))
def test_the_length_is_exact_after_a_flush(from_hz, to_hz, count):
    assert resample_whole(noise(count), from_hz, to_hz).size == -(-count * to_hz // from_hz)


@settings(deadline=None, max_examples=50)
@given(rates, rates, st.integers(0, 2000), st.lists(st.integers(0, 400), max_size=10))
def test_it_does_not_matter_how_the_stream_is_cut(from_hz, to_hz, count, sizes):
    samples = noise(count)
    cut = in_pieces(Resampler(from_hz, to_hz), samples, sizes)
    assert np.array_equal(cut, resample_whole(samples, from_hz, to_hz))


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_at_most_5_ms_are_held_back(from_hz, to_hz):
    resampler = Resampler(from_hz, to_hz)
    fed = given_back = 0
    for chunk in np.split(noise(from_hz), range(from_hz // 50, from_hz, from_hz // 50)):
        fed += chunk.size
        given_back += resampler.feed(chunk).size
        assert fed / from_hz - given_back / to_hz <= 0.005


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_an_impulse_stays_where_it_is(from_hz, to_hz):
    samples = np.zeros(from_hz, np.int16)
    samples[from_hz // 3] = 30000
    peak = int(np.argmax(np.abs(resample_whole(samples, from_hz, to_hz))))
    assert abs(peak / to_hz - (from_hz // 3) / from_hz) <= 1 / min(from_hz, to_hz)


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_a_tone_in_the_pass_band_stays_the_same_tone(from_hz, to_hz):
    hertz = 0.25 * min(from_hz, to_hz)
    out = resample_whole(tone(hertz, from_hz), from_hz, to_hz)
    ideal = 16000.0 * np.sin(np.arange(out.size) * (2 * math.pi * hertz / to_hz))
    edge = to_hz // 50
    assert level(out[edge:-edge] - ideal[edge:-edge]) < 16000 * 0.003  # -50 dB, gain and time together


@pytest.mark.parametrize(("from_hz", "to_hz"), [pair for pair in PAIRS if pair[0] > pair[1] * 1.3])
@pytest.mark.parametrize("above", [1.02, 1.1, 1.29])
def test_a_tone_above_the_new_nyquist_frequency_is_gone(from_hz, to_hz, above):
    before = tone(above * to_hz / 2, from_hz)
    after = resample_whole(before, from_hz, to_hz)[to_hz // 50 : -to_hz // 50]
    assert level(after) <= level(before) * 1e-3  # -60 dB


def test_raising_the_rate_adds_no_image():
    out = resample_whole(tone(3000, 8000), 8000, 16000)[320:-320]
    spectrum = np.abs(np.fft.rfft(out * np.hanning(out.size)))
    hertz = np.fft.rfftfreq(out.size, 1 / 16000)
    assert spectrum[(hertz > 4500) & (hertz < 5500)].max() < spectrum.max() * 1e-3


def test_equal_rates_are_passed_through():
    resampler = Resampler(16000, 16000)
    samples = noise(100)
    assert resampler.feed(samples) is samples
    assert resampler.flush().size == 0


def test_channels_stay_apart():
    stereo = np.stack((tone(440, 48000, 0.2), np.zeros(9600, np.int16)), axis=1)
    out = resample_whole(stereo, 48000, 16000)
    assert out.shape == (3200, 2)
    assert np.array_equal(out[:, 0], resample_whole(stereo[:, 0], 48000, 16000))
    assert not out[:, 1].any()


@pytest.mark.parametrize("channels", range(1, 9))
def test_up_to_eight_channels_keep_their_order(channels):
    levels = np.arange(1, channels + 1, dtype=np.int16) * 1000
    samples = np.tile(levels, (2000, 1))
    out = resample_whole(samples if channels > 1 else samples[:, 0], 16000, 24000)
    middle = np.atleast_1d(out[1500])
    assert np.all(np.abs(middle - levels) <= 1)


def test_after_a_flush_or_a_reset_it_is_as_good_as_new():
    resampler = Resampler(24000, 8000)
    first = np.concatenate((resampler.feed(noise(1000)), resampler.flush()))
    second = np.concatenate((resampler.feed(noise(1000)), resampler.flush()))
    resampler.feed(noise(333, seed=2))
    resampler.reset()
    third = np.concatenate((resampler.feed(noise(1000)), resampler.flush()))
    assert np.array_equal(first, second)
    assert np.array_equal(first, third)


def test_a_long_stream_does_not_drift():
    resampler = Resampler(22050, 16000)
    chunk = noise(22050)
    count = sum(resampler.feed(chunk).size for _ in range(120)) + resampler.flush().size
    assert count == 120 * 16000


@pytest.mark.parametrize(("from_hz", "to_hz", "channels"), [(0, 8000, 1), (8000, -1, 1), (8000, 16000, 9)])
def test_what_cannot_be_converted_is_refused(from_hz, to_hz, channels):
    with pytest.raises(ConfigError):
        Resampler(from_hz, to_hz, channels)


def test_samples_of_another_kind_are_refused():
    with pytest.raises(ConfigError, match="float64"):
        Resampler(8000, 16000).feed(np.zeros(10))
    with pytest.raises(ConfigError, match="1 channel"):
        Resampler(8000, 16000).feed(np.zeros((10, 2), np.int16))


# --- frames ---------------------------------------------------------------------------------------


def frames_of(samples, rate, size, position=0):
    return [
        AudioFrame.from_samples(samples[start : start + size], rate, position + start)
        for start in range(0, samples.shape[0], size)
    ]


def run(resampler, frames):
    made = [one for frame in frames for one in resampler.feed(frame)]
    return made + resampler.flush()


def test_scaled_positions_round_down():
    assert scale_position(0, 8000, 16000) == 0
    assert scale_position(5, 16000, 8000) == 2
    assert scale_position(-5, 16000, 8000) == -3
    assert scale_position(10**12, 44100, 48000) == 10**12 * 480 // 441


def test_frames_come_out_contiguous_and_equal_to_the_whole():
    samples = noise(10_000)
    made = run(FrameResampler(16000), frames_of(samples, 24000, 333))
    assert made[0].position == 0
    assert all(frame.end == following.position for frame, following in pairwise(made))
    whole = resample_whole(samples, 24000, 16000)
    out = np.concatenate([frame.samples for frame in made])
    assert out.size == 10_000 * 2 // 3
    assert np.array_equal(out, whole[: out.size])


@settings(deadline=None, max_examples=60)
@given(
    rates,
    rates,
    st.integers(0, 10_000),
    st.lists(
        st.tuples(st.integers(0, 500), st.sampled_from([0, 0, 0, 1, 2, 50, 700])), min_size=1, max_size=12
    ),
)
def test_positions_are_scaled_and_gaps_stay_gaps(from_hz, to_hz, position, sizes_and_gaps):
    frames, spans = [], []
    for size, gap in sizes_and_gaps:
        position += gap
        frames.append(AudioFrame.from_samples(noise(size), from_hz, position))
        if spans and spans[-1][1] == position:
            spans[-1][1] += size
        else:
            spans.append([position, position + size])
        position += size
    made = run(FrameResampler(to_hz), frames)
    covered = [place for frame in made for place in range(frame.position, frame.end)]
    expected = [
        place
        for start, stop in spans
        for place in range(scale_position(start, from_hz, to_hz), scale_position(stop, from_hz, to_hz))
    ]
    assert covered == expected
    assert all(frame.rate == to_hz for frame in made)


def test_a_gap_does_not_smear_sound_across_it():
    click = np.zeros(800, np.int16)
    click[-1] = 20000
    quiet = np.zeros(800, np.int16)
    made = run(
        FrameResampler(8000),
        [AudioFrame.from_samples(click, 16000, 0), AudioFrame.from_samples(quiet, 16000, 8000)],
    )
    assert any(frame.samples.any() for frame in made if frame.end <= 400)
    assert not any(frame.samples.any() for frame in made if frame.position >= 4000)


def test_the_rate_may_change_on_the_way():
    low, high = noise(8000), noise(24000)
    frames = frames_of(low, 8000, 160) + frames_of(high, 24000, 480, position=24000)  # both last 1 s
    made = run(FrameResampler(16000), frames)
    assert [made[0].position, made[-1].end] == [0, 32000]
    assert all(frame.end == following.position for frame, following in pairwise(made))


def test_a_new_rate_that_goes_on_in_samples_follows_at_once():
    frames = [
        *frames_of(noise(1600), 8000, 160),
        *frames_of(noise(4800), 24000, 480, position=1600),
        AudioFrame.from_samples(noise(480), 24000, 1600 + 4800 + 2400),  # after a gap of 100 ms
    ]
    made = run(FrameResampler(16000), frames)
    positions = [(frame.position, frame.end) for frame in made]
    assert positions[0][0] == 0
    gaps = [(end, start) for (_, end), (start, _) in pairwise(positions) if end != start]
    assert gaps == [(3200 + 3200, 3200 + 3200 + 1600)]


def test_frames_of_the_wanted_rate_pass_as_they_are():
    frame = AudioFrame.from_samples(noise(160), 16000, 77)
    assert FrameResampler(16000).feed(frame)[0] is frame


def test_the_number_of_channels_may_change_on_the_way():
    frames = [
        AudioFrame.from_samples(noise(800), 8000, 0),
        AudioFrame.from_samples(np.stack((noise(800), noise(800)), axis=1), 8000, 800),
    ]
    made = run(FrameResampler(16000), frames)
    assert [frame.channels for frame in made] == sorted(frame.channels for frame in made)
    assert made[-1].channels == 2
    assert made[-1].end == 3200
    assert all(frame.end == following.position for frame, following in pairwise(made))


def test_a_jump_back_starts_again_there():
    made = run(
        FrameResampler(8000),
        [AudioFrame.from_samples(noise(1600), 16000, 16000), AudioFrame.from_samples(noise(1600), 16000, 0)],
    )
    assert made[0].position == 8000
    assert (made[-1].end, sum(frame.sample_count for frame in made)) == (800, 1600)


def test_reset_forgets_what_is_held_and_where_it_was():
    resampler = FrameResampler(8000)
    resampler.feed(AudioFrame.from_samples(noise(1600), 16000, 5000))
    resampler.reset()
    assert resampler.flush() == []
    assert resampler(AudioFrame.from_samples(noise(1600), 16000, 0))[0].position == 0


def test_a_rate_of_nothing_is_refused():
    with pytest.raises(ConfigError):
        FrameResampler(0)
