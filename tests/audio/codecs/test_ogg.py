from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from tests.audio.codecs.signals import encode, pieces, tone
from voicetrio.audio.codecs.ogg import OggReader, OggWriter
from voicetrio.errors import AudioError


def pages_of(data: bytes, piece: int = 1 << 20):
    reader = OggReader()
    return [page for part in pieces(data, piece) for page in reader.feed(part)], reader.corrupt


def continued(first_part: bytes, last_part: bytes) -> bytes:
    """Make two pages of which a packet of 255 + n bytes begins in the first and ends in the second."""
    writer = OggWriter(7)
    # A full segment last in a page is a packet that goes on: the writer is given 255 bytes and its closing
    # zero is taken away again.
    page = bytearray(writer.page([first_part], -1))
    assert len(first_part) == 255
    assert page[26:29] == b"\x02\xff\x00"
    page[26:29] = b"\x01\xff"
    second = bytearray(writer.page([last_part], 960))
    second[5] |= 0x01
    return sign(page) + sign(second)


def sign(page: bytearray) -> bytes:
    """Write the checksum, computed bit by bit as RFC 3533 words it."""
    page[22:26] = bytes(4)
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    page[22:26] = crc.to_bytes(4, "little")
    return bytes(page)


@given(
    packets=st.lists(st.binary(min_size=1, max_size=700), min_size=1, max_size=8),
    piece=st.integers(1, 900),
    granule=st.integers(-1, 2**62),
)
@settings(deadline=None, derandomize=True)
def test_packets_come_back_however_the_bytes_are_cut(packets, piece, granule):
    writer = OggWriter(serial=5)
    data = writer.page(packets[:1], 0, is_first=True) + writer.page(packets, granule, is_last=True)
    pages, corrupt = pages_of(data, piece)
    assert corrupt == 0
    assert [page.packets for page in pages] == [packets[:1], packets]
    assert [(page.is_first, page.is_last, page.serial) for page in pages] == [
        (True, False, 5),
        (False, True, 5),
    ]
    assert pages[1].granule == granule


def test_the_checksum_is_the_one_of_the_specification():
    page = bytearray(OggWriter(1).page([b"some packet"], 123))
    assert sign(bytearray(page)) == page


def test_a_packet_may_go_on_in_the_next_page():
    pages, corrupt = pages_of(continued(bytes(255), b"end"))
    assert corrupt == 0
    assert [page.packets for page in pages] == [[], [bytes(255) + b"end"]]


def test_half_a_packet_whose_page_was_lost_is_dropped():
    both = continued(bytes(255), b"end")
    second = both[both.rindex(b"OggS") :]
    assert [page.packets for page in pages_of(second)[0]] == [[]]
    first = both[: both.rindex(b"OggS")]
    other = OggWriter(7).page([b"another"], 960)
    assert [page.packets for page in pages_of(first + other)[0]] == [[], [b"another"]]


def test_a_page_with_a_wrong_checksum_and_junk_between_pages_are_left_out():
    writer = OggWriter(1)
    good, bad, last = (bytearray(writer.page([name], 0)) for name in (b"good", b"bad", b"last"))
    bad[-1] ^= 1
    pages, corrupt = pages_of(b"junk Og" + bytes(good) + bytes(bad) + b"OggOgg" + bytes(last), piece=5)
    assert [page.packets for page in pages] == [[b"good"], [b"last"]]
    assert corrupt >= 3


def test_a_flood_of_false_pages_is_refused():
    with pytest.raises(AudioError, match="damaged in more than 1000 places"):
        pages_of((b"OggS" + bytes(22) + b"\0") * 2000)


def test_a_packet_without_an_end_is_refused():
    page = bytearray(OggWriter(1).page([bytes(255 * 254)], 0))
    page[26:27] = b"\xfe"
    del page[27 + 254]
    page[5] |= 0x01
    first = bytearray(page)
    first[5] = 0
    with pytest.raises(AudioError, match="more than 1 MiB"):
        pages_of(sign(first) + sign(page) * 20)


def test_a_page_takes_what_fits():
    packets = [bytes(255)] * 200
    assert OggWriter.fitting(packets) == 127
    assert OggWriter.fitting([bytes(100_000)]) == 1
    with pytest.raises(AudioError, match="do not fit"):
        OggWriter(1).page(packets, 0)


def test_every_opus_page_is_whole_and_numbered():
    pages, corrupt = pages_of(encode("opus", tone(24000, 24000), 24000))
    assert corrupt == 0
    assert pages[0].is_first
    assert [page.is_last for page in pages] == [False] * (len(pages) - 1) + [True]
    granules = [page.granule for page in pages]
    assert granules == sorted(granules)
