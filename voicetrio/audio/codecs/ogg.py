"""Ogg pages (RFC 3533): bytes in, packets out, and the other way.

A page is ``OggS``, a header of 27 bytes, a table of segment lengths, and the segments.  A packet is a run of
segments that ends with one shorter than 255 bytes; it may go on in the next page.  A page whose checksum
does not match is dropped and counted, and the search goes on for the next ``OggS``.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final, final

import attrs

from voicetrio.errors import AudioError

__all__ = ["OggPage", "OggReader", "OggWriter"]

_MAGIC: Final = b"OggS"
_HEADER_BYTES: Final = 27
_CONTINUED, _FIRST, _LAST = 0x01, 0x02, 0x04
_MAX_PACKET_BYTES: Final = 1 << 20
_MAX_SEGMENTS: Final = 255
_MAX_CORRUPT: Final = 1000


@attrs.frozen
class OggPage:
    """One page, and the packets that end in it."""

    packets: list[bytes]
    granule: int
    """The position at the end of the last packet that ends here; -1 if none does."""
    serial: int
    """Which of the streams in the file it belongs to."""
    is_first: bool
    is_last: bool


@final
class OggReader:
    """Cuts a stream of bytes into pages."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._partial: dict[int, bytes] = {}
        self.corrupt = 0
        """Stretches of bytes that were no page, or a damaged one."""

    def feed(self, data: bytes) -> list[OggPage]:
        """Take bytes; return the pages that they complete."""
        self._held += data
        pages = []
        while (page := self._next()) is not None:
            pages.append(page)
        return pages

    def _next(self) -> OggPage | None:
        while True:
            self._seek_magic()
            if len(self._held) < _HEADER_BYTES:
                return None
            table_end = _HEADER_BYTES + self._held[26]
            if len(self._held) < table_end:
                return None
            lengths = self._held[_HEADER_BYTES:table_end]
            page_end = table_end + sum(lengths)
            if len(self._held) < page_end:
                return None
            raw = bytes(self._held[:page_end])
            if self._held[4] == 0 and _checksum(raw) == int.from_bytes(raw[22:26], "little"):
                del self._held[:page_end]
                return self._parse(raw, bytes(lengths), raw[table_end:])
            del self._held[:4]  # not the page that it seemed to be: look behind its magic
            self._count_corrupt()

    def _seek_magic(self) -> None:
        """Drop what stands before the next ``OggS``, keeping what may be the start of one."""
        if self._held.startswith(_MAGIC[: len(self._held)]):
            return
        self._count_corrupt()
        at = self._held.find(_MAGIC)
        del self._held[: at if at >= 0 else max(0, len(self._held) - 3)]
        while self._held and not self._held.startswith(_MAGIC[: len(self._held)]):
            del self._held[:1]

    def _count_corrupt(self) -> None:
        # Each look at a false page costs its whole checksum, so a stream made of them must not go on.
        self.corrupt += 1
        if self.corrupt > _MAX_CORRUPT:
            raise AudioError(f"the Ogg stream is damaged in more than {_MAX_CORRUPT} places")

    def _parse(self, raw: bytes, lengths: bytes, body: bytes) -> OggPage:
        flags, serial = raw[5], int.from_bytes(raw[14:18], "little")
        partial = self._partial.pop(serial, b"")
        # A page that does not continue, or continues what was lost, says which of the two is missing.
        skip_first = bool(flags & _CONTINUED) and not partial
        if not flags & _CONTINUED:
            partial = b""
        packets = []
        start = end = 0
        for length in lengths:
            end += length
            if length < 255:
                if not skip_first:
                    packets.append(partial + body[start:end])
                partial, start, skip_first = b"", end, False
        if start < end and not skip_first:
            if len(partial) + end - start > _MAX_PACKET_BYTES:
                raise AudioError("the Ogg stream holds a packet of more than 1 MiB")
            self._partial[serial] = partial + body[start:end]
        granule = int.from_bytes(raw[6:14], "little", signed=True)
        return OggPage(packets, granule, serial, bool(flags & _FIRST), bool(flags & _LAST))


@final
class OggWriter:
    """Makes the pages of one stream; its packets end in the page that they begin in."""

    def __init__(self, serial: int) -> None:
        self._serial = serial
        self._sequence = 0

    @staticmethod
    def fitting(packets: list[bytes]) -> int:
        """Return how many of ``packets`` fit into one page, at least one."""
        segments = 0
        for count, packet in enumerate(packets):
            segments += len(packet) // 255 + 1
            if segments > _MAX_SEGMENTS:
                return max(1, count)
        return len(packets)

    def page(
        self, packets: list[bytes], granule: int, *, is_first: bool = False, is_last: bool = False
    ) -> bytes:
        """Return the next page; ``granule`` is the position at its end."""
        lengths = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
        if len(lengths) > _MAX_SEGMENTS:
            raise AudioError(f"{len(lengths)} segments do not fit into an Ogg page of {_MAX_SEGMENTS}")
        flags = _FIRST * is_first | _LAST * is_last
        start = _MAGIC + struct.pack("<BBqII", 0, flags, granule, self._serial, self._sequence)
        rest = bytes([len(lengths)]) + lengths + b"".join(packets)
        self._sequence += 1
        return start + struct.pack("<I", _checksum(start + bytes(4) + rest)) + rest


_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _checksum(page: bytes) -> int:
    """Return the page's checksum, counted with zeros in its place (RFC 3533, section 6).

    Ogg's CRC is zlib's polynomial with the bits the other way round, so zlib does the work.
    """
    blank = page[:22] + b"\0\0\0\0" + page[26:]
    crc = zlib.crc32(blank.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)
