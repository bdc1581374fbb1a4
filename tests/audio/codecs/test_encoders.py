from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from tests.audio.codecs.signals import (
    RATES,
    assert_length,
    decode,
    encode,
    foreign_decode,
    loudest_hz,
    pieces,
    tone,
)
from voicetrio.audio.codecs import FORMATS, complete_header, encode_whole, nearest_rate, open_encoder
from voicetrio.errors import AudioError, ConfigError

every_format = pytest.mark.parametrize("format", FORMATS)


@every_format
@pytest.mark.parametrize("piece_count", [1, 30])
def test_a_foreign_decoder_finds_the_whole_stream(format, piece_count):
    rate = RATES[format]
    samples = tone(rate + 138, rate)
    body = encode(format, samples, rate, piece=-(-samples.size // piece_count))
    decoded, decoded_rate = foreign_decode(format, body, rate)
    assert_length(format, decoded, decoded_rate, samples.size, rate)


@every_format
def test_every_rate_of_a_format_comes_back_at_its_length(format):
    for rate in FORMATS[format].rates_hz or (8000, 22050, 44100):
        samples = tone(rate // 3 + 7, rate)
        decoded, decoded_rate, damage = decode(format, encode(format, samples, rate), rate)
        assert damage is None
        assert_length(format, decoded.size, decoded_rate, samples.size, rate)


@every_format
@given(sample_count=st.integers(1, 5000), piece=st.integers(1, 5000))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_the_size_of_the_pieces_changes_nothing(format, sample_count, piece):
    rate = RATES[format]
    samples = tone(sample_count, rate)
    body, other = encode(format, samples, rate), encode(format, samples, rate, piece=piece)
    assert body == other


@every_format
def test_the_tone_survives(format):
    rate = RATES[format]
    decoded, decoded_rate, _ = decode(format, encode(format, tone(rate, rate, 700), rate), rate)
    assert loudest_hz(decoded, decoded_rate) == pytest.approx(700, abs=3)


@pytest.mark.parametrize("format", ["wav", "pcm", "flac"])
def test_lossless_formats_give_the_samples_back(format):
    samples = np.random.default_rng(1).integers(-32768, 32768, 30_000).astype(np.int16)
    assert np.array_equal(decode(format, encode(format, samples, 24000), 24000)[0], samples)


@every_format
def test_a_stream_of_nothing_is_its_header(format):
    with open_encoder(format, RATES[format]) as encoder:
        assert encoder.encode(np.empty(0, np.int16)) == b""
        header = encoder.finish()
    assert header[:4] == {"wav": b"RIFF", "flac": b"fLaC", "opus": b"OggS"}.get(format, b"")


@pytest.mark.parametrize(
    ("format", "input_ms", "header_bytes"),
    [
        *(("wav", 20, 44), ("pcm", 20, 0), ("mulaw", 20, 0), ("alaw", 20, 0), ("g722", 20, 0)),
        *(("opus", 20, 104), ("flac", 40, 42), ("mp3", 80, 0), ("aac", 100, 0)),
    ],
)
def test_the_first_sound_comes_out_early(format, input_ms, header_bytes):
    rate = RATES[format]
    with open_encoder(format, rate) as encoder:
        body = b""
        for part in pieces(tone(rate * input_ms // 1000, rate), rate // 50):
            body += encoder.encode(part)
    assert len(body) > header_bytes


def test_settings_reach_the_codec():
    samples = np.random.default_rng(2).normal(0, 3000, 24000).astype(np.int16)
    size = {
        (format, bit_rate): len(encode(format, samples, 24000, bit_rate=bit_rate))
        for format in ("mp3", "aac", "opus")
        for bit_rate in (32_000, 96_000)
    }
    for format in ("mp3", "aac", "opus"):
        assert 2 < size[format, 96_000] / size[format, 32_000] < 4
    speech = tone(24000, 24000)
    assert len(encode("flac", speech, 24000, compression_level=5)) < len(encode("flac", speech, 24000))
    pages = [encode("opus", speech, 24000, page_ms=ms).count(b"OggS") for ms in (20, 200)]
    assert pages[0] > 4 * pages[1]


@pytest.mark.parametrize("application", ["audio", "voip", "lowdelay"])
@pytest.mark.parametrize("frame_ms", [5, 20, 60])
def test_opus_is_exact_whatever_its_settings(application, frame_ms):
    body = encode("opus", tone(24_137, 24000), 24000, application=application, frame_ms=frame_ms)
    assert decode("opus", body, 24000)[0].size == 2 * 24_137
    assert foreign_decode("opus", body, 24000) == (2 * 24_137, 48000)


def test_opus_pages_hold_as_much_as_fits():
    noise = np.random.default_rng(3).normal(0, 8000, 48000 * 3).astype(np.int16)
    body = encode("opus", noise, 48000, page_ms=1000, bit_rate=256_000)
    assert decode("opus", body, 48000)[0].size == noise.size
    assert foreign_decode("opus", body, 48000) == (noise.size, 48000)


def test_an_unknown_format_is_refused_with_the_list():
    with pytest.raises(AudioError, match=r"'ogg'.*aac, alaw, flac, g722, mp3, mulaw, opus, pcm, wav"):
        open_encoder("ogg", 24000)


def test_a_rate_that_the_format_lacks_is_refused_with_the_nearest():
    with pytest.raises(AudioError, match=r"opus cannot carry 22050 Hz: resample to 24000 Hz"):
        open_encoder("opus", 22050)
    with pytest.raises(AudioError, match="0 Hz is not a sample rate"):
        open_encoder("pcm", 0)
    assert nearest_rate("opus", 44100) == 48000
    assert nearest_rate("opus", 96000) == 48000
    assert nearest_rate("flac", 11025) == 11025


@pytest.mark.parametrize(
    ("format", "settings", "message"),
    [
        ("mp3", {"bitrate": 1}, "mp3 has no setting 'bitrate': choose from bit_rate, compression_level"),
        ("pcm", {"bit_rate": 1}, "pcm has no setting 'bit_rate': it has none"),
        ("mp3", {"bit_rate": 1}, "bit_rate"),
        ("mp3", {"bit_rate": "64k"}, "bit_rate"),
        ("opus", {"application": "music"}, "application"),
        ("opus", {"frame_ms": 7}, "frame_ms"),
    ],
)
def test_a_wrong_setting_is_named(format, settings, message):
    with pytest.raises(ConfigError, match=message):
        open_encoder(format, 24000, **settings)


@pytest.mark.parametrize(
    "samples", [b"\0\0", [1, 2], np.zeros(4, np.float32), np.zeros((4, 1), np.int16), np.zeros(4, np.int32)]
)
def test_what_is_not_mono_int16_is_refused_and_spoils_nothing(samples):
    with open_encoder("mp3", 24000) as encoder:
        with pytest.raises(AudioError, match="mono int16"):
            encoder.encode(samples)
        encoder.encode(tone(480, 24000))
        assert encoder.finish()


def test_samples_that_are_a_view_with_steps_are_read_right():
    both = np.stack([tone(4800, 24000, 300), tone(4800, 24000, 900)], axis=1)
    assert encode("flac", both[:, 1], 24000) == encode("flac", both[:, 1].copy(), 24000)


def test_a_wav_header_tells_the_size_if_it_is_promised():
    with open_encoder("wav", 24000, sample_count=4) as encoder:
        body = encoder.encode(np.arange(4, dtype=np.int16)) + encoder.finish()
    assert int.from_bytes(body[40:44], "little") == 8
    with open_encoder("wav", 24000, sample_count=4) as encoder:
        encoder.encode(np.arange(3, dtype=np.int16))
        with pytest.raises(AudioError, match="promised 4 samples, and 3 came"):
            encoder.finish()
    with open_encoder("wav", 24000, sample_count=2) as encoder:
        with pytest.raises(AudioError, match="promised 2 samples, and more came"):
            encoder.encode(np.arange(3, dtype=np.int16))


@every_format
def test_a_whole_file_decodes_like_the_stream(format):
    rate = RATES[format]
    samples = tone(rate, rate)
    streamed = decode(format, encode(format, samples, rate), rate)[0]
    assert np.array_equal(decode(format, encode_whole(format, samples, rate), rate)[0], streamed)


def test_a_whole_file_knows_its_length():
    assert encode_whole("wav", tone(100, 24000), 24000)[40:44] == (200).to_bytes(4, "little")
    flac = encode_whole("flac", tone(100, 24000), 24000)
    assert int.from_bytes(flac[18:26], "big") & (1 << 36) - 1 == 100
    assert complete_header("mp3", b"body", 5) == b"body"
    with pytest.raises(AudioError, match="whole flac stream"):
        complete_header("flac", b"no", 5)
