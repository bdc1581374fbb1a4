from __future__ import annotations

import contextlib
import io

import av
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from tests.audio.codecs.signals import HEADERLESS, RATES, decode, encode, loudest_hz, tone
from voicetrio.audio.codecs import FORMATS, encode_whole, open_decoder, sniff_format
from voicetrio.audio.wav import wav_bytes
from voicetrio.errors import AudioError

every_format = pytest.mark.parametrize("format", FORMATS)
WITH_HEADER = ("wav", "opus", "flac", "mp3", "aac")

BODIES = {name: encode(name, tone(RATES[name] // 2, RATES[name]), RATES[name]) for name in FORMATS}


@every_format
@given(piece=st.integers(1, 3000))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_bytes_may_come_in_any_pieces(format, piece):
    whole = decode(format, BODIES[format], RATES[format], piece=1 << 20)
    assert np.array_equal(decode(format, BODIES[format], RATES[format], piece=piece)[0], whole[0])


@pytest.mark.parametrize("format", WITH_HEADER)
def test_the_rate_is_known_once_the_header_has_come(format):
    with open_decoder(format) as decoder:
        decoder.decode(BODIES[format][:3])
        assert decoder.rate is None
        decoder.decode(BODIES[format][3:])
        assert decoder.rate == (48000 if format == "opus" else 24000)


def test_sound_comes_before_the_stream_has_ended():
    for format in FORMATS:
        with open_decoder(format, rate=RATES[format] if format in HEADERLESS else None) as decoder:
            body = BODIES[format]
            assert decoder.decode(body[: len(body) // 2]).size > 0


def read_all(decoder, body):
    return np.concatenate([decoder.decode(body), decoder.finish()])


@pytest.mark.parametrize("format", WITH_HEADER)
@pytest.mark.parametrize("junk", [b"", b"\0" * 5000, b"<html>not found</html>" * 50])
def test_what_holds_no_audio_is_an_error(format, junk):
    with open_decoder(format) as decoder:
        with pytest.raises(AudioError):
            read_all(decoder, junk)


@pytest.mark.parametrize("format", ["wav", "flac", "opus", "pcm"])
def test_a_truncated_stream_gives_what_it_has_and_says_so(format):
    body = BODIES[format]
    if format == "wav":
        body = wav_bytes(tone(12000, 24000), 24000)
    samples, _, damage = decode(format, body[: len(body) * 2 // 3 - 1], 24000)
    assert samples.size > 2000
    assert damage is not None
    assert "ends" in damage


def test_a_flac_stream_shorter_than_it_declares_says_so():
    body = encode_whole("flac", tone(5760, 24000), 24000)
    cut = body.rindex(b"\xff\xf8")  # exactly before the last frame
    samples, _, damage = decode("flac", body[:cut], 24000)
    assert damage == f"ends after {samples.size} of the 5760 samples that it declares"


@pytest.mark.parametrize("format", ["opus", "flac", "aac"])  # MP3 has no checksum: damage is a noise
def test_a_damaged_middle_costs_only_itself_and_is_told(format):
    body = bytearray(BODIES[format])
    middle = len(body) // 2
    body[middle : middle + 40] = bytes(40)
    samples, rate, damage = decode(format, bytes(body), RATES[format])
    assert damage is not None
    assert "corrupt" in damage
    assert samples.size / rate > 0.3


@pytest.mark.parametrize("format", FORMATS)
@given(data=st.data())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_no_bytes_raise_anything_but_an_audio_error(format, data):
    body = bytearray(BODIES[format])
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(body)))
        if data.draw(st.booleans()):
            del body[at : at + data.draw(st.integers(1, 100))]
        else:
            body[at : at + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=50))
    with contextlib.suppress(AudioError):
        decode(format, bytes(body), RATES[format])


@every_format
def test_a_stream_longer_than_the_limit_is_refused_before_it_fills_memory(format):
    rate = RATES[format]
    bomb = encode(format, np.zeros(30 * rate, np.int16), rate, piece=rate)
    with open_decoder(format, rate=rate if format in HEADERLESS else None, max_s=10) as decoder:
        with pytest.raises(AudioError, match=f"{format} stream is longer than the limit of 10 s"):
            decoder.decode(bomb)


def test_rates_are_asked_for_where_they_are_needed():
    with pytest.raises(AudioError, match="does not tell its rate: give rate"):
        open_decoder("pcm")
    with pytest.raises(AudioError, match="tells its rate itself"):
        open_decoder("mp3", rate=24000)
    with pytest.raises(AudioError, match="g722 cannot carry 8000 Hz"):
        open_decoder("g722", rate=8000)
    with pytest.raises(AudioError, match="unknown audio format"):
        open_decoder("m4a")
    assert open_decoder("mulaw").rate == 8000


@pytest.mark.parametrize("layout", ["stereo", "5.1", "7.1"])
def test_channels_are_mixed_down(layout):
    """Eight channels crash the library's own access to planes; see library.py."""
    channels = av.AudioLayout(layout).nb_channels
    interleaved = np.repeat(tone(24000, 48000), channels).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(interleaved, format="s16", layout=layout)
    frame.sample_rate = 48000
    sink = io.BytesIO()
    with av.open(sink, "w", format="adts") as container:
        stream = container.add_stream("aac", rate=48000, layout=layout)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    samples, rate, damage = decode("aac", sink.getvalue(), 48000)
    assert (rate, damage) == (48000, None)
    assert loudest_hz(samples, rate) == pytest.approx(440, abs=4)


def _foreign_encode(format: str, codec: str, samples, *, layout: str, sample_format: str, **options) -> bytes:
    frame = av.AudioFrame.from_ndarray(samples, format=sample_format, layout=layout)
    frame.sample_rate = 44100
    sink = io.BytesIO()
    with av.open(sink, "w", format=format, **options) as container:
        stream = container.add_stream(codec, rate=44100, layout=layout)
        if codec == "flac":
            stream.codec_context.format = "s32"
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return sink.getvalue()


def test_a_flac_file_of_24_bits_in_stereo_with_a_seekable_header_is_read():
    wide = np.repeat(tone(44100, 44100).astype(np.int32) << 16, 2).reshape(1, -1)
    body = _foreign_encode("flac", "flac", wide, layout="stereo", sample_format="s32")
    samples, rate, damage = decode("flac", body, 44100)
    assert (rate, damage) == (44100, None)
    assert np.array_equal(samples, tone(44100, 44100))


def test_tags_and_the_xing_frame_of_an_mp3_file_are_no_sound():
    body = _foreign_encode(
        "mp3", "libmp3lame", tone(44100, 44100).reshape(1, -1), layout="mono", sample_format="s16"
    )
    assert body[:3] == b"ID3"
    assert b"Xing" in body[:400] or b"Info" in body[:400]
    samples, rate, damage = decode("mp3", body + b"TAG" + bytes(125), 44100, piece=7)
    assert (rate, damage) == (44100, None)
    assert 0 <= samples.size - 44100 <= 2304


def test_chained_and_cut_opus_streams_are_read():
    first = encode("opus", tone(24000, 24000), 24000)
    second = encode("opus", tone(12001, 24000), 24000)
    assert decode("opus", first + second, 24000)[0].size == 2 * 36_001
    # The first second of sound is cut out: what is left still ends where its last page says.
    pages = [b"OggS" + page for page in first.split(b"OggS")[1:]]
    samples, _, damage = decode("opus", b"".join(pages[:2] + pages[12:]), 24000)
    assert damage is None
    assert samples.size == pytest.approx(2 * 24000 - 10 * 960, abs=400)


def test_an_ogg_stream_of_another_codec_says_what_it_holds():
    body = _foreign_encode(
        "ogg",
        "flac",
        tone(4410, 44100).astype(np.int32).reshape(1, -1) << 16,
        layout="mono",
        sample_format="s32",
    )
    with open_decoder("opus") as decoder, pytest.raises(AudioError, match="holds no Opus"):
        decoder.decode(body)


def test_the_format_is_told_by_the_first_bytes():
    for format in WITH_HEADER:
        assert sniff_format(BODIES[format][:64]) == format
    assert sniff_format(b"ID3\4\0\0\0\0\0\0") == "mp3"
    for unknown in (b"", b"\xff", b"<html>", b"OggS" + bytes(60)):
        assert sniff_format(unknown) is None
