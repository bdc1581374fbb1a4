from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from tests.audio.codecs.signals import loudest_hz, tone
from voicetrio.audio.codecs import ContainerReader, encode_whole
from voicetrio.errors import AudioError, CodecMisuse


def container(format: str, codec: str, samples: np.ndarray, rate: int) -> bytes:
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
    sink = io.BytesIO()
    with av.open(sink, "w", format=format) as muxer:
        stream = muxer.add_stream(codec, rate=rate, layout="mono")
        muxer.mux(stream.encode(frame))
        muxer.mux(stream.encode(None))
    return sink.getvalue()


def read_all(data: bytes, piece: int = 10_000, **options) -> tuple[np.ndarray, int, str | None]:
    reader = ContainerReader(data, **options)
    parts = []
    while (part := reader.read(piece)).size:
        parts.append(part)
    reader.close()
    return np.concatenate(parts), reader.rate, reader.damage


@pytest.mark.parametrize(
    ("format", "codec"), [("ipod", "aac"), ("webm", "libopus"), ("ogg", "flac"), ("aiff", "pcm_s16be")]
)
def test_files_that_do_not_stream_are_read(format, codec):
    samples, rate, damage = read_all(container(format, codec, tone(96_000, 48_000), 48_000))
    assert (rate, damage) == (48_000, None)
    assert 0 <= samples.size - 96_000 <= 2048
    assert loudest_hz(samples, rate) == pytest.approx(440, abs=2)


def test_pieces_are_of_the_size_that_was_asked_for():
    reader = ContainerReader(encode_whole("flac", tone(5000, 24000), 24000))
    sizes = [reader.read(999).size for _ in range(7)]
    assert sizes == [999] * 5 + [5, 0]


def test_a_truncated_file_gives_what_it_has_and_says_so():
    body = encode_whole("flac", tone(24000, 24000), 24000)
    samples, _, damage = read_all(body[: len(body) // 2])
    assert 0 < samples.size < 24000
    assert damage is not None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"hello " * 100, "cannot be read"),
        (bytes(1000), "cannot be read"),
        (encode_whole("opus", np.empty(0, np.int16), 24000), "holds no sound|cannot be read"),
    ],
)
def test_what_holds_no_audio_is_an_error(data, message):
    with pytest.raises(AudioError, match=message):
        read_all(data)


def test_a_film_without_sound_is_an_error():
    sink = io.BytesIO()
    with av.open(sink, "w", format="matroska") as muxer:
        stream = muxer.add_stream("mpeg4", rate=25, width=64, height=64, pix_fmt="yuv420p")
        muxer.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        muxer.mux(stream.encode(None))
    with pytest.raises(AudioError, match="holds no audio"):
        ContainerReader(sink.getvalue())


@pytest.mark.parametrize("target", ["file:///etc/hostname", "http://127.0.0.1:9/"])
def test_a_play_list_opens_nothing(target):
    play_list = f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n"
    with pytest.raises(AudioError, match="cannot be read"):
        ContainerReader(play_list.encode())
    with pytest.raises(AudioError, match="cannot be read"):
        ContainerReader(f"ffconcat version 1.0\nfile {target}\n".encode())


def test_a_file_longer_than_the_limit_is_refused():
    body = encode_whole("flac", np.zeros(24000 * 30, np.int16), 24000)
    with pytest.raises(AudioError, match="longer than the limit of 10 s"):
        read_all(body, max_s=10)


def test_nothing_is_read_after_the_end():
    reader = ContainerReader(encode_whole("wav", tone(100, 8000), 8000))
    reader.close()
    reader.close()
    with pytest.raises(CodecMisuse):
        reader.read(10)
