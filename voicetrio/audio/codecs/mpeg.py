"""MP3 and AAC: frames that stand by themselves, so a stream can be joined and cut anywhere.

An MP3 stream is the encoder's frames in a row.  AAC frames get an ADTS header each.  Both add priming in
front (about 1105 samples for MP3, 1024 for AAC) that a stream has no place to declare.
"""

from __future__ import annotations

import struct
from typing import Any, Final, final

from voicetrio.audio.codecs.base import DecoderBase, EncoderBase
from voicetrio.audio.codecs.formats import AudioFormat
from voicetrio.audio.codecs.library import from_library, library_errors, open_context, to_library
from voicetrio.audio.codecs.settings import AacSettings, Mp3Settings
from voicetrio.errors import AudioError
from voicetrio.frames import Samples

__all__ = ["AacEncoder", "FrameDecoder", "Mp3Encoder"]

# ISO 14496-3, table 1.18: the index in an ADTS header.
_ADTS_INDEX: Final = {
    rate: index
    for index, rate in enumerate(
        (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
    )
}


class _FrameEncoder(EncoderBase):
    """Gives the library samples and joins the frames that come back."""

    def __init__(
        self, fmt: AudioFormat, rate: int, codec: str, bit_rate: int, options: dict[str, str]
    ) -> None:
        super().__init__(fmt, rate)
        self._position = 0
        with library_errors(f"{fmt.name} at {rate} Hz, {bit_rate} bit/s"):
            self._context = open_context(codec, "w", rate, bit_rate=bit_rate, options=options)

    def _encode(self, samples: Samples) -> bytes:
        with library_errors(self.format.name):
            packets = self._context.encode(to_library(samples, self.rate, self._position))
        self._position += samples.size
        return self._join(packets)

    def _finish(self) -> bytes:
        if not self._position:
            return b""  # nothing went in: priming alone would be sound that nobody made
        with library_errors(self.format.name):
            return self._join(self._context.encode(None))

    def _join(self, packets: list[Any]) -> bytes:
        return b"".join(map(bytes, packets))

    def _release(self) -> None:
        self._context = None


@final
class Mp3Encoder(_FrameEncoder):
    """MP3, constant bit rate; frames of 24 ms at 24 kHz, the first after 80 ms of input."""

    def __init__(self, fmt: AudioFormat, rate: int, settings: Mp3Settings) -> None:
        options = {"compression_level": str(settings.compression_level)}
        super().__init__(fmt, rate, "libmp3lame", settings.bit_rate, options)


@final
class AacEncoder(_FrameEncoder):
    """AAC-LC in ADTS; frames of 1024 samples, the first after two of them."""

    def __init__(self, fmt: AudioFormat, rate: int, settings: AacSettings) -> None:
        super().__init__(fmt, rate, "aac", settings.bit_rate, {"aac_coder": settings.coder})

    def _join(self, packets: list[Any]) -> bytes:
        frames: list[bytes] = []
        for packet in packets:
            frame = bytes(packet)
            if frame:
                frames += (adts_header(self.rate, len(frame)), frame)
        return b"".join(frames)


def adts_header(rate: int, frame_bytes: int) -> bytes:
    """Return the 7 bytes before a mono AAC-LC frame (ISO 14496-3, 1.A.2.2; no checksum)."""
    profile, channels, any_fullness = 1, 1, 0x7FF
    bits = 0xFFF1  # the syncword, MPEG-4, layer 0, no checksum
    for value, width in (
        (profile, 2),
        (_ADTS_INDEX[rate], 4),
        (0, 1),
        (channels, 3),
        (0, 4),
        (frame_bytes + 7, 13),
        (any_fullness, 11),
        (0, 2),
    ):
        bits = bits << width | value
    return struct.pack(">Q", bits)[1:]


@final
class FrameDecoder(DecoderBase):
    """MP3 or AAC (ADTS) as it arrives, from any byte on: the library's parser finds the frames.

    ID3 tags and the Xing frame, which carry no sound, are left out.  What cannot be decoded is counted in
    ``damage``; a stream of which nothing can be is an AudioError at its end.
    """

    def __init__(self, fmt: AudioFormat, *, max_s: float) -> None:
        super().__init__(fmt, rate=None, max_s=max_s)
        self._tags: _TagSkipper | None = _TagSkipper()
        self._context = open_context(fmt.name, "r")
        self._is_first = True

    def _decode(self, data: bytes) -> None:
        if self._tags is not None:
            data = self._tags.feed(bytes(data))
            if not self._tags.is_done:
                return
            self._tags = None
        if data:
            self._decode_packets(self._context.parse(data))

    def _finish(self) -> None:
        if self._tags is not None:
            self._decode_packets(self._context.parse(self._tags.rest()))
        self._decode_packets(self._context.parse(None))
        if self._rate is not None:
            self._decode_packet(None)

    def _decode_packets(self, packets: list[Any]) -> None:
        for packet in packets:
            frame = bytes(packet)
            if self._is_first:
                self._is_first = False
                if self.format.name == "mp3" and _is_xing(frame):
                    continue
            if frame[:3] != b"TAG":  # ID3v1 at the end of a file
                self._decode_packet(packet)

    def _decode_packet(self, packet: Any) -> None:
        try:
            with library_errors(self.format.name):
                frames = self._context.decode(packet)
        except AudioError:
            self._corrupt += 1
            return
        for frame in frames:
            self._set_rate(frame.sample_rate)
            self._give(from_library(frame))

    def _release(self) -> None:
        self._context = None


def _is_xing(frame: bytes) -> bool:
    """Tell whether an MP3 frame is the encoder's note about the file (Xing, Info) and no sound."""
    if len(frame) < 4:
        return False
    is_mpeg1, is_mono = frame[1] & 0x18 == 0x18, frame[3] & 0xC0 == 0xC0
    side_info = (17 if is_mono else 32) if is_mpeg1 else (9 if is_mono else 17)
    return frame[4 + side_info :][:4] in (b"Xing", b"Info")


class _TagSkipper:
    """Drops the ID3v2 tags before a stream (id3.org, ID3v2.4 section 3.1), however large they are."""

    def __init__(self) -> None:
        self._held = b""
        self._skip = 0
        self.is_done = False

    def feed(self, data: bytes) -> bytes:
        """Take bytes; return those after the tags, once ``is_done``."""
        self._held += data
        while True:
            skipped = min(self._skip, len(self._held))
            self._held = self._held[skipped:]
            self._skip -= skipped
            if self._held and not b"ID3".startswith(self._held[:3]):
                self.is_done = True
                return self._held
            if self._skip or len(self._held) < 10:
                return b""
            size = 0
            for byte in self._held[6:10]:
                size = size << 7 | byte & 0x7F
            has_footer = self._held[5] & 0x10
            self._skip = 10 + size + (10 if has_footer else 0)

    def rest(self) -> bytes:
        """Return what is held at the end of the stream."""
        return self._held
