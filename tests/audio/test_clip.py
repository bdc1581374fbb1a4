from __future__ import annotations

import io
import math

import av
import numpy as np
import pytest

from voicetrio.audio.clip import load_bed, load_clip, room_tone
from voicetrio.audio.pcm import dbfs
from voicetrio.audio.wav import wav_bytes
from voicetrio.errors import AudioError, ConfigError


def tone(rate, seconds, hertz=440.0, amplitude=8000.0):
    return np.rint(amplitude * np.sin(np.arange(int(rate * seconds)) * (2 * math.pi * hertz / rate))).astype(
        np.int16
    )


def encoded(form, codec, samples, rate):
    """``samples`` (mono or stereo) as a file that FFmpeg wrote."""
    sink = io.BytesIO()
    layout = "mono" if samples.ndim == 1 else "stereo"
    with av.open(sink, "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate = rate
        for packet in stream.encode(frame):
            container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return sink.getvalue()


def pitch(samples, rate):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return float(np.fft.rfftfreq(samples.size, 1 / rate)[int(np.argmax(spectrum))])


@pytest.mark.parametrize(
    ("form", "codec", "rate", "spare_s"),
    [
        ("wav", "pcm_s16le", 44100, 0),
        ("flac", "flac", 48000, 0),
        ("ogg", "libopus", 48000, 0.03),
        ("mp3", "libmp3lame", 44100, 0.06),
    ],
)
def test_any_file_that_ffmpeg_decodes_is_a_clip(tmp_path, form, codec, rate, spare_s):
    path = tmp_path / f"clip.{form}"
    path.write_bytes(encoded(form, codec, tone(rate, 0.5), rate))
    clip = load_clip(path, 24000)
    assert (clip.dtype, clip.ndim) == (np.int16, 1)
    assert 0 <= clip.size / 24000 - 0.5 <= spare_s + 0.0001
    assert pitch(clip, 24000) == pytest.approx(440, abs=4)
    assert dbfs(clip[2400:9600]) == pytest.approx(dbfs(tone(24000, 0.5)), abs=0.5)


def test_a_clip_at_the_wanted_rate_is_decoded_exactly():
    samples = tone(24000, 0.2)
    assert np.array_equal(load_clip(encoded("flac", "flac", samples, 24000), 24000), samples)


def test_channels_are_mixed_down():
    stereo = np.stack((tone(24000, 0.2), np.zeros(4800, np.int16)), axis=1)
    clip = load_clip(encoded("flac", "flac", stereo, 24000), 24000)
    assert np.max(np.abs(clip - stereo[:, 0] / 2)) <= 1


def test_a_clip_of_a_few_samples_survives_resampling():
    assert load_clip(wav_bytes(np.full(10, 1000, np.int16), 8000), 24000).size == 30


def test_a_bed_is_joined_at_its_ends():
    saw = np.linspace(-9000, 9000, 24000).astype(np.int16)
    bed = load_bed(wav_bytes(saw, 24000), 24000, seam_s=0.1)
    assert bed.size == 24000 - 2400
    assert np.max(np.abs(np.diff(np.concatenate((bed, bed[:10])).astype(int)))) < 20


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "the file is empty"),
        (b"a text that is no sound " * 50, "not audio that can be decoded"),
        (wav_bytes(np.zeros(0, np.int16), 8000), "no samples|not audio"),
    ],
)
def test_what_is_no_audio_is_one_clear_line(tmp_path, data, why):
    path = tmp_path / "bed.ogg"
    path.write_bytes(data)
    with pytest.raises(AudioError, match=why) as caught:
        load_clip(path, 24000)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(AudioError, match=r"absent\.ogg: no such file"):
        load_clip(tmp_path / "absent.ogg", 24000)
    with pytest.raises(AudioError, match="is a directory"):
        load_clip(tmp_path, 24000)


def test_a_small_file_of_many_hours_is_not_unpacked():
    bomb = encoded("flac", "flac", np.zeros(8000 * 90, np.int16), 8000)
    assert len(bomb) < 30_000
    with pytest.raises(AudioError, match="longer than 60 s"):
        load_clip(bomb, 8000, max_s=60)


def test_a_file_that_changes_its_rate_on_the_way_is_refused():
    parts = [encoded("mp3", "libmp3lame", tone(rate, 0.5), rate) for rate in (44100, 22050)]
    with pytest.raises(AudioError, match=r"changes its sample rate from \d+ to \d+ Hz"):
        load_clip(b"".join(parts), 24000)


def test_a_video_without_sound_has_no_clip():
    sink = io.BytesIO()
    with av.open(sink, "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame(16, 16, "yuv420p")))
        container.mux(stream.encode(None))
    with pytest.raises(AudioError, match="no audio track"):
        load_clip(sink.getvalue(), 8000)


def test_a_rate_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="rate"):
        load_clip(b"", 0)
    with pytest.raises(ConfigError, match="no samples"):
        room_tone(24000, 0.0)


# --- room tone ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000])
def test_room_tone_is_soft_and_has_the_asked_level(rate):
    tone = room_tone(rate, 4.0)
    assert tone.size == rate * 4
    assert dbfs(tone) == pytest.approx(-42.0, abs=0.1)
    assert np.max(np.abs(tone.astype(int))) < 32768 * 10 ** (-24 / 20)
    assert dbfs(room_tone(rate, 4.0, level_dbfs=-30.0)) == pytest.approx(-30.0, abs=0.1)


def test_the_same_seed_gives_the_same_room():
    assert np.array_equal(room_tone(8000, 1.0, seed=7), room_tone(8000, 1.0, seed=7))
    assert not np.array_equal(room_tone(8000, 1.0, seed=7), room_tone(8000, 1.0, seed=8))


def test_room_tone_loops_without_a_seam():
    tone = room_tone(24000, 2.0).astype(int)
    steps = np.abs(np.diff(tone))
    assert abs(int(tone[0]) - int(tone[-1])) <= steps.max()
    # The band above the noise's own would light up at a click.
    across = np.concatenate((tone[-512:], tone[:512]))
    inside = tone[10_000:11_024]

    def treble(samples):
        return np.abs(np.fft.rfft(samples * np.hanning(samples.size)))[430:].mean()

    assert treble(across) < 2 * treble(inside)
    clicked = np.concatenate((tone[-512:], tone[200:712] + 300))
    assert treble(clicked) > 2 * treble(inside)  # the measure sees a click when there is one


def test_room_tone_has_no_direct_current_and_is_darker_above():
    spectrum = np.abs(np.fft.rfft(room_tone(24000, 4.0).astype(float))) ** 2
    hertz = np.fft.rfftfreq(24000 * 4, 1 / 24000)

    def power(low, high):
        return spectrum[(hertz >= low) & (hertz < high)].mean()

    assert power(0, 5) < power(100, 200) / 10
    assert power(100, 200) > power(400, 800) > power(1600, 3200) > power(5000, 10000)
