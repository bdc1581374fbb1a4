"""The formats that are arithmetic and no compression: pcm, mulaw, alaw and wav.

They cost a few microseconds a call, so they run where they are called, never in a thread.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import BinaryIO, Final, cast, final

import numpy as np

from voicetrio.audio.codecs.base import DecoderBase, EncoderBase
from voicetrio.audio.codecs.formats import AudioFormat
from voicetrio.audio.codecs.settings import WavSettings
from voicetrio.audio.g711 import alaw_decode, alaw_encode, mulaw_decode, mulaw_encode
from voicetrio.audio.pcm import to_mono
from voicetrio.audio.wav import WavReader, wav_header
from voicetrio.errors import AudioError
from voicetrio.frames import Samples

__all__ = ["RawDecoder", "RawEncoder", "WavDecoder", "WavEncoder"]


def _pcm_encode(samples: Samples) -> bytes:
    return samples.astype("<i2", copy=False).tobytes()


def _pcm_decode(data: bytes) -> Samples:
    return np.frombuffer(data, "<i2").astype(np.int16, copy=False)


_TO_BYTES: Final[dict[str, Callable[[Samples], bytes]]] = {
    "pcm": _pcm_encode,
    "mulaw": mulaw_encode,
    "alaw": alaw_encode,
}
_TO_SAMPLES: Final[dict[str, Callable[[bytes], Samples]]] = {
    "pcm": _pcm_decode,
    "mulaw": mulaw_decode,
    "alaw": alaw_decode,
}


@final
class RawEncoder(EncoderBase):
    """Samples as they are (pcm, s16le), or one G.711 byte for each (mulaw, alaw); no header."""

    def __init__(self, fmt: AudioFormat, rate: int) -> None:
        super().__init__(fmt, rate)
        self._to_bytes = _TO_BYTES[fmt.name]

    def _encode(self, samples: Samples) -> bytes:
        return self._to_bytes(samples)

    def _finish(self) -> bytes:
        return b""


@final
class WavEncoder(EncoderBase):
    """16-bit PCM after a WAV header of 44 bytes."""

    def __init__(self, fmt: AudioFormat, rate: int, settings: WavSettings) -> None:
        super().__init__(fmt, rate)
        count = settings.sample_count
        self._promised = count
        self._taken = 0
        self._header = wav_header(rate, 1, None if count is None else count * 2)

    def _encode(self, samples: Samples) -> bytes:
        self._taken += samples.size
        if self._promised is not None and self._taken > self._promised:
            raise AudioError(f"the WAV header promised {self._promised} samples, and more came")
        header, self._header = self._header, b""
        return header + _pcm_encode(samples)

    def _finish(self) -> bytes:
        if self._promised is not None and self._taken != self._promised:
            raise AudioError(f"the WAV header promised {self._promised} samples, and {self._taken} came")
        return self._header


@final
class RawDecoder(DecoderBase):
    """The other direction of RawEncoder."""

    def __init__(self, fmt: AudioFormat, *, rate: int, max_s: float) -> None:
        super().__init__(fmt, rate=rate, max_s=max_s)
        self._to_samples = _TO_SAMPLES[fmt.name]
        self._sample_bytes = 2 if fmt.name == "pcm" else 1
        self._held = b""

    def _decode(self, data: bytes) -> None:
        data = self._held + bytes(data)
        whole = len(data) - len(data) % self._sample_bytes
        self._held = data[whole:]
        self._give(self._to_samples(data[:whole]))

    def _finish(self) -> None:
        if self._held:
            self._truncated = "ends within a sample"


class _Feed(io.RawIOBase):
    """A file that holds what has arrived and was not read yet."""

    def __init__(self) -> None:
        self.held = bytearray()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        size = len(self.held) if size < 0 else size
        part = bytes(self.held[:size])
        del self.held[:size]
        return part


@final
class WavDecoder(DecoderBase):
    """WAV of any coding that WavReader knows, as it arrives; channels are averaged."""

    _MAX_HEADER_BYTES: Final = 1 << 20

    def __init__(self, fmt: AudioFormat, *, max_s: float) -> None:
        super().__init__(fmt, rate=None, max_s=max_s)
        self._feed = _Feed()
        self._reader: WavReader | None = None
        self._block_bytes = 1
        self._scanned = 12  # past "RIFF", the size and "WAVE"

    def _decode(self, data: bytes) -> None:
        self._feed.held += data
        if self._reader is None and self._header_is_whole():
            self._open()
        if self._reader is not None:
            self._read(len(self._feed.held) // self._block_bytes)

    def _finish(self) -> None:
        if self._reader is None:
            self._open()  # raises: says what the header lacks
        else:
            self._read(1)  # a part of a block, or nothing: the reader sees whether more was declared
            if self._reader.truncated:
                self._truncated = "ends before the length that its header declares"

    def _header_is_whole(self) -> bool:
        """Walk the chunks up to ``data``; also True for what is no WAV, which opening then tells."""
        held = self._feed.held
        if len(held) >= 12 and (bytes(held[:4]) not in (b"RIFF", b"RF64") or held[8:12] != b"WAVE"):
            return True
        while len(held) >= self._scanned + 8:
            kind = held[self._scanned : self._scanned + 4]
            size = int.from_bytes(held[self._scanned + 4 : self._scanned + 8], "little")
            if kind == b"data":
                return True
            if kind == b"fmt ":
                if len(held) < self._scanned + 22:
                    return False
                at = self._scanned + 20
                self._block_bytes = max(1, int.from_bytes(held[at : at + 2], "little"))
            self._scanned += 8 + size + size % 2
        if self._scanned > self._MAX_HEADER_BYTES:
            raise AudioError("the WAV data: its header is longer than 1 MiB")
        return False

    def _open(self) -> None:
        self._reader = WavReader(cast("BinaryIO", self._feed))
        self._set_rate(self._reader.rate)

    def _read(self, block_count: int) -> None:
        assert self._reader is not None
        if block_count:
            self._give(to_mono(self._reader.read(block_count)))
        if self._reader.sample_count is not None and self._given >= self._reader.sample_count:
            self._feed.held.clear()  # chunks after the samples

    def _release(self) -> None:
        self._reader = None
        self._feed.held.clear()
