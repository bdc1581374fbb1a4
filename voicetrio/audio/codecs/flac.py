"""FLAC: lossless, a header of 42 bytes, blocks of about 25 ms by default."""

from __future__ import annotations

from typing import Any, Final, final

from voicetrio.audio.codecs.base import DecoderBase, EncoderBase
from voicetrio.audio.codecs.flac_framing import STREAMINFO_BYTES, FlacReader
from voicetrio.audio.codecs.formats import AudioFormat
from voicetrio.audio.codecs.library import from_library, library_errors, open_context, to_library
from voicetrio.audio.codecs.settings import FlacSettings
from voicetrio.errors import AudioError
from voicetrio.frames import Samples

__all__ = ["FlacDecoder", "FlacEncoder", "with_sample_count"]

_LAST_BLOCK: Final = 0x80
_STREAMINFO_AT: Final = 8  # behind "fLaC" and the block's header


@final
class FlacEncoder(EncoderBase):
    """FLAC without a length in its header, as a stream cannot know it; see with_sample_count."""

    def __init__(self, fmt: AudioFormat, rate: int, settings: FlacSettings) -> None:
        super().__init__(fmt, rate)
        self._position = 0
        options = {"compression_level": str(settings.compression_level)}
        with library_errors(f"flac at {rate} Hz"):
            self._context = open_context("flac", "w", rate, options=options)
        info = bytes(self._context.extradata)[:STREAMINFO_BYTES]
        self._header = b"fLaC" + bytes([_LAST_BLOCK, 0, 0, STREAMINFO_BYTES]) + info

    def _encode(self, samples: Samples) -> bytes:
        with library_errors("flac"):
            packets = self._context.encode(to_library(samples, self.rate, self._position))
        self._position += samples.size
        return self._join(packets)

    def _finish(self) -> bytes:
        if not self._position:
            return self._header
        with library_errors("flac"):
            return self._join(self._context.encode(None))

    def _join(self, packets: list[Any]) -> bytes:
        header, self._header = self._header, b""
        return header + b"".join(map(bytes, packets))

    def _release(self) -> None:
        self._context = None


def with_sample_count(body: bytes, sample_count: int) -> bytes:
    """Return a whole FLAC stream with its length written into STREAMINFO, where some players want it.

    ``sample_count`` takes 36 bits (RFC 9639, section 8.2).
    """
    if body[:4] != b"fLaC" or len(body) < _STREAMINFO_AT + STREAMINFO_BYTES:
        raise AudioError("with_sample_count() takes a whole flac stream")
    at = _STREAMINFO_AT + 13
    above = body[at] & 0xF0  # the sample size's lowest bits
    field = (above << 32 | sample_count & (1 << 36) - 1).to_bytes(5, "big")
    return body[:at] + field + body[at + 5 :]


@final
class FlacDecoder(DecoderBase):
    """FLAC as it arrives: each frame once the next one has begun.

    A frame whose checksum does not match is left out and counted in ``damage``.
    """

    def __init__(self, fmt: AudioFormat, *, max_s: float) -> None:
        super().__init__(fmt, rate=None, max_s=max_s)
        self._reader = FlacReader()
        self._context: Any = None
        self._declared = 0

    def _decode(self, data: bytes) -> None:
        frames = self._reader.feed(bytes(data))
        if self._context is None and self._reader.stream_info is not None:
            self._open(self._reader.stream_info)
        for frame in frames:
            if not self._decode_frame(frame):
                self._corrupt += 1

    def _finish(self) -> None:
        rest = self._reader.finish()
        if rest and not self._decode_frame(rest):
            self._truncated = "ends within a frame"
        elif self._given < self._declared:
            self._truncated = f"ends after {self._given} of the {self._declared} samples that it declares"

    def _open(self, info: bytes) -> None:
        with library_errors("the flac stream's STREAMINFO"):
            checks = {"err_detect": "crccheck+explode"}
            self._context = open_context("flac", "r", extradata=info, options=checks)
        # 20 bits of rate, 8 of channels and sample size, 36 of length (RFC 9639, section 8.2).
        bits = int.from_bytes(info[10:18], "big")
        self._declared = bits & (1 << 36) - 1
        self._set_rate(bits >> 44)

    def _decode_frame(self, data: bytes) -> bool:
        import av

        try:
            with library_errors("flac"):
                frames = self._context.decode(av.Packet(data))
        except AudioError:
            return False
        for frame in frames:
            self._set_rate(frame.sample_rate)
            self._give(from_library(frame))
        return True

    def _release(self) -> None:
        self._context = None
