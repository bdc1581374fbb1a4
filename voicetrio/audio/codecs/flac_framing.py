"""FLAC framing (RFC 9639): bytes in, metadata and whole frames out.

A frame does not tell its length.  It ends where the next one begins: at a sync code whose header has a
valid checksum, the stream's own parameters, and exactly the number that must come next.  Sound that happens
to look like all of that is a matter of 2**-40 a byte, and the decoder's own checksum would then tell.
"""

from __future__ import annotations

from functools import cache
from typing import Final, final

import attrs

from voicetrio.errors import AudioError

__all__ = ["FlacReader", "FrameHeader", "parse_frame_header"]

_MAX_HEADER_BYTES: Final = 16
_MAX_FRAME_BYTES: Final = 1 << 22  # 65535 samples of 8 channels and 32 bits, and some more
STREAMINFO_BYTES: Final = 34


@attrs.frozen
class FrameHeader:
    """What a frame says of itself."""

    is_variable: bool
    """True if ``number`` counts samples, False if it counts frames."""
    number: int
    block_samples: int
    rate_code: int
    sample_size_code: int

    def is_followed_by(self, other: FrameHeader) -> bool:
        """Tell whether ``other`` is the very next frame of the same stream."""
        step = self.block_samples if self.is_variable else 1
        return (
            other.number == self.number + step
            and other.is_variable == self.is_variable
            and other.rate_code == self.rate_code
            and other.sample_size_code == self.sample_size_code
        )


def parse_frame_header(data: bytes) -> FrameHeader | None:
    """Read the header that ``data`` begins with; None if it begins with none (RFC 9639, section 9.1)."""
    if len(data) < 6 or data[0] != 0xFF or data[1] & 0xFE != 0xF8:
        return None
    block_code, rate_code = data[2] >> 4, data[2] & 0x0F
    channels, size_code = data[3] >> 4, data[3] >> 1 & 0x07
    if block_code == 0 or rate_code == 15 or channels > 10 or size_code == 3 or data[3] & 1:
        return None
    number, at = _coded_number(data, 4)
    extra_block = {6: 1, 7: 2}.get(block_code, 0)
    extra_rate = {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    end = at + extra_block + extra_rate
    if number is None or len(data) <= end or _crc8(data[:end]) != data[end]:
        return None
    if extra_block:
        block_samples = int.from_bytes(data[at : at + extra_block], "big") + 1
    elif block_code == 1:
        block_samples = 192
    else:
        block_samples = 144 << block_code if block_code <= 5 else 1 << block_code
    return FrameHeader(bool(data[1] & 1), number, block_samples, rate_code, size_code)


def _coded_number(data: bytes, at: int) -> tuple[int | None, int]:
    """Read a number coded like UTF-8, of up to 36 bits; return it and the place behind it."""
    first = data[at]
    if first < 0x80:
        return first, at + 1
    length = 8 - (first ^ 0xFF).bit_length()
    tail = data[at + 1 : at + length]
    if not 2 <= length <= 7 or len(tail) < length - 1 or any(byte & 0xC0 != 0x80 for byte in tail):
        return None, at
    number = first & (0x7F >> length)
    for byte in tail:
        number = number << 6 | byte & 0x3F
    return number, at + length


@cache
def _crc8_table() -> bytes:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value << 1 ^ 0x07 if value & 0x80 else value << 1) & 0xFF
        table.append(value)
    return bytes(table)


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = _crc8_table()[crc ^ byte]
    return crc


@final
class FlacReader:
    """Cuts a FLAC stream into frames."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._state = "magic"
        self._skip = 0
        self._is_last_block = False
        self._header: FrameHeader | None = None
        self._searched = 0
        self.stream_info: bytes | None = None
        """The 34 bytes of STREAMINFO, once they have come."""

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; return the frames that they complete.  Raises AudioError for what is no FLAC."""
        self._held += data
        while self._state != "frames":
            if not self._read_metadata():
                return []
        frames = []
        while (frame := self._next_frame()) is not None:
            frames.append(frame)
        return frames

    def finish(self) -> bytes:
        """Return the last frame, which nothing follows; empty if there is none."""
        if self._state != "frames":
            raise AudioError("these bytes hold no flac audio: the stream ends within its header")
        rest = bytes(self._held)
        self._held.clear()
        return rest

    def _read_metadata(self) -> bool:
        """Go one step through the blocks before the frames; False if more bytes are needed."""
        if self._skip:
            dropped = min(self._skip, len(self._held))
            del self._held[:dropped]
            self._skip -= dropped
            return not self._skip
        if self._state == "magic":
            if len(self._held) < 4:
                return False
            if self._held[:4] != b"fLaC":
                raise AudioError(f"these bytes are not flac: they begin with {bytes(self._held[:4])!r}")
            del self._held[:4]
            self._state = "blocks"
            return True
        if self._is_last_block:
            self._state = "frames"
            return True
        if len(self._held) < 4:
            return False
        kind, size = self._held[0] & 0x7F, int.from_bytes(self._held[1:4], "big")
        if self.stream_info is None:
            if kind != 0 or size != STREAMINFO_BYTES:
                raise AudioError("the flac stream is damaged: it does not begin with STREAMINFO")
            if len(self._held) < 4 + size:
                return False
            self.stream_info = bytes(self._held[4 : 4 + size])
        self._is_last_block = bool(self._held[0] & 0x80)
        self._skip = 4 + size
        return True

    def _next_frame(self) -> bytes | None:
        if self._header is None:
            if len(self._held) < _MAX_HEADER_BYTES:
                return None
            self._header = parse_frame_header(bytes(self._held[:_MAX_HEADER_BYTES]))
            if self._header is None:
                raise AudioError("the flac stream is damaged: no frame where one must be")
            self._searched = _MAX_HEADER_BYTES // 2  # no frame is shorter
        sync = b"\xff\xf9" if self._header.is_variable else b"\xff\xf8"
        while (at := self._held.find(sync, self._searched)) >= 0:
            if at + _MAX_HEADER_BYTES > len(self._held):
                self._searched = at
                return None
            found = parse_frame_header(bytes(self._held[at : at + _MAX_HEADER_BYTES]))
            if found is not None and self._header.is_followed_by(found):
                frame = bytes(self._held[:at])
                del self._held[:at]
                self._header, self._searched = found, _MAX_HEADER_BYTES // 2
                return frame
            self._searched = at + 1
        self._searched = max(self._searched, len(self._held) - 1)
        if len(self._held) > _MAX_FRAME_BYTES:
            raise AudioError("the flac stream is damaged: a frame has no end")
        return None
