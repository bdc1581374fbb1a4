from __future__ import annotations

import numpy as np
import pytest

from tests.audio.codecs.signals import decode, encode, pieces, tone
from voicetrio.audio.codecs.flac_framing import FlacReader, parse_frame_header
from voicetrio.errors import AudioError


def header(number: bytes, *, second: int = 0xF8, block: int = 0x2, extra: bytes = b"") -> bytes:
    """Make a frame header: mono, 16 bits, rate as in STREAMINFO, with its checksum."""
    data = bytes([0xFF, second, block << 4, 0x08]) + number + extra
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07 if crc & 0x80 else crc << 1) & 0xFF
    return data + bytes([crc]) + bytes(16)


@pytest.mark.parametrize("number", [0, 127, 128, 0x7FF, 0x800, 0xFFFF, 0x10FFFF])
def test_frame_numbers_of_any_length_are_read(number):
    assert parse_frame_header(header(chr(number).encode("utf-8", "surrogatepass"))).number == number


def test_a_sample_number_of_36_bits_is_read():
    coded = b"\xfe" + b"\xbf" * 6
    parsed = parse_frame_header(header(coded, second=0xF9))
    assert (parsed.number, parsed.is_variable) == (2**36 - 1, True)


@pytest.mark.parametrize(
    ("block", "extra", "samples"),
    [
        (1, b"", 192),
        (2, b"", 576),
        (5, b"", 4608),
        (8, b"", 256),
        (15, b"", 32768),
        (6, b"\x63", 100),
        (7, b"\x03\xe7", 1000),
    ],
)
def test_block_sizes_are_read(block, extra, samples):
    assert parse_frame_header(header(b"\0", block=block, extra=extra)).block_samples == samples


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xf8\x20\x08\0",
        bytes(16),
        header(b"\0", block=0),
        header(b"\x80"),
        header(b"\xc2\x00"),
        header(b"\xff"),
        header(b"\0")[:5] + b"\xee" + bytes(10),
    ],
)
def test_what_is_no_header_is_refused(data):
    assert parse_frame_header(data) is None


def test_a_variable_stream_goes_on_by_its_block_size():
    first = parse_frame_header(header(b"\0", second=0xF9))
    assert first.is_followed_by(parse_frame_header(header(chr(576).encode(), second=0xF9)))
    assert not first.is_followed_by(parse_frame_header(header(b"\1", second=0xF9)))


def test_sound_that_looks_like_a_sync_code_does_not_cut_a_frame():
    """Noise is stored as it is, and one sample in ten, -8, is the two bytes of a sync code."""
    samples = np.random.default_rng(5).integers(-32768, 32767, 24000).astype(np.int16)
    samples[::10] = -8
    body = encode("flac", samples, 24000)
    assert body.count(b"\xff\xf8") > 2000
    assert np.array_equal(decode("flac", body, 24000)[0], samples)


def test_frames_are_the_same_however_the_bytes_are_cut():
    body = encode("flac", tone(6000, 24000), 24000)

    def frames(piece: int) -> list[bytes]:
        reader = FlacReader()
        found = [frame for part in pieces(body, piece) for frame in reader.feed(part)]
        return [*found, reader.finish()]

    assert frames(1) == frames(13) == frames(1 << 20)
    assert b"".join(frames(1)) == body[42:]


def test_a_frame_without_an_end_is_refused():
    reader = FlacReader()
    reader.feed(encode("flac", tone(600, 24000), 24000))
    with pytest.raises(AudioError, match="a frame has no end"):
        reader.feed(bytes(6 << 20))


def test_a_stream_without_stream_info_is_refused():
    with pytest.raises(AudioError, match="STREAMINFO"):
        FlacReader().feed(b"fLaC\x84\0\0\x22" + bytes(40))
    with pytest.raises(AudioError, match="no frame where one must be"):
        FlacReader().feed(encode("flac", tone(10, 24000), 24000)[:42] + bytes(40))
