"""G.722: 16 kHz telephony in 64 kbit/s, one byte for two samples, no header (ITU-T G.722, mode 1)."""

from __future__ import annotations

from typing import final

import numpy as np

from voicetrio.audio.codecs.base import DecoderBase, EncoderBase
from voicetrio.audio.codecs.formats import AudioFormat
from voicetrio.audio.codecs.library import from_library, library_errors, open_context, to_library
from voicetrio.frames import Samples

__all__ = ["G722Decoder", "G722Encoder"]


@final
class G722Encoder(EncoderBase):
    """G.722.  An odd number of samples is completed by one of silence at the end."""

    def __init__(self, fmt: AudioFormat, rate: int) -> None:
        super().__init__(fmt, rate)
        self._position = 0
        with library_errors("g722"):
            self._context = open_context("g722", "w", rate)

    def _encode(self, samples: Samples) -> bytes:
        with library_errors("g722"):
            packets = self._context.encode(to_library(samples, self.rate, self._position))
        self._position += samples.size
        return b"".join(map(bytes, packets))

    def _finish(self) -> bytes:
        if not self._position:
            return b""
        padding = self._encode(np.zeros(1, np.int16)) if self._position % 2 else b""
        with library_errors("g722"):
            return padding + b"".join(map(bytes, self._context.encode(None)))

    def _release(self) -> None:
        self._context = None


@final
class G722Decoder(DecoderBase):
    """G.722: two samples for every byte, at 16 kHz."""

    def __init__(self, fmt: AudioFormat, *, rate: int, max_s: float) -> None:
        super().__init__(fmt, rate=rate, max_s=max_s)
        self._context = open_context("g722", "r", rate)

    def _decode(self, data: bytes) -> None:
        import av

        with library_errors("g722"):
            frames = self._context.decode(av.Packet(data))
        for frame in frames:
            self._give(from_library(frame))

    def _finish(self) -> None:
        """Nothing is held back."""

    def _release(self) -> None:
        self._context = None
