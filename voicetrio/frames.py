"""The values that travel through links: small, immutable, and data only.

A lifecycle is never a frame: an end is a link that closes, a cancel is a cancel scope, a failure is
an exception.  PCM is signed 16-bit little-endian, interleaved.  A *position* counts samples (per
channel) on one clock: the capture clock for what comes in, the playout clock for what goes out.
"""

from __future__ import annotations

from typing import Any, Self, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from voicetrio.values import Value

__all__ = ["AudioFrame", "DtmfFrame", "Frame", "MessageFrame", "Samples", "TextFrame", "WordFrame"]

Samples: TypeAlias = npt.NDArray[np.int16]
"""Samples as int16: shape ``(n,)`` for mono, ``(n, channels)`` otherwise."""

BYTES_PER_SAMPLE = 2
_S16LE = np.dtype("<i2")  # made once: numpy reads a name anew each time


@attrs.frozen(eq=False, repr=False)
class AudioFrame(Value):
    """A stretch of PCM.

    A jump between one frame's ``end`` and the next one's ``position`` is an explicit gap: audio that
    was dropped on the way, so that positions stay true.
    """

    pcm: bytes | memoryview = attrs.field(repr=lambda pcm: f"<{len(pcm)} bytes>")
    """s16le, interleaved."""
    rate: int
    """Hertz."""
    channels: int = 1
    position: int = 0
    """The first sample's place on its clock, in samples per channel."""

    @classmethod
    def from_samples(cls, samples: npt.NDArray[Any], rate: int, position: int = 0) -> Self:
        """Make a frame of ``samples``, shape ``(n,)`` or ``(n, channels)``; any dtype, saturated to int16."""
        channels = 1 if samples.ndim == 1 else samples.shape[1]
        return cls(_to_pcm(samples), rate, channels, position)

    @classmethod
    def silence(cls, sample_count: int, rate: int, *, channels: int = 1, position: int = 0) -> Self:
        """Make a frame of ``sample_count`` zero samples."""
        return cls(bytes(sample_count * channels * BYTES_PER_SAMPLE), rate, channels, position)

    @property
    def samples(self) -> Samples:
        """A read-only int16 view of the PCM, without a copy."""
        view = np.frombuffer(self.pcm, _S16LE)
        return view if self.channels == 1 else view.reshape(-1, self.channels)

    @property
    def sample_count(self) -> int:
        """Samples per channel."""
        return len(self.pcm) // (BYTES_PER_SAMPLE * self.channels)

    @property
    def end(self) -> int:
        """The position just past the last sample."""
        return self.position + len(self.pcm) // (BYTES_PER_SAMPLE * self.channels)

    @property
    def duration_s(self) -> float:
        """Seconds."""
        return len(self.pcm) // (BYTES_PER_SAMPLE * self.channels) / self.rate

    def with_samples(self, samples: npt.NDArray[Any]) -> AudioFrame:
        """Return this frame with other samples (any dtype, rounded and saturated), at the same position."""
        channels = 1 if samples.ndim == 1 else samples.shape[1]
        return AudioFrame(_to_pcm(samples), self.rate, channels, self.position)

    def at(self, position: int) -> AudioFrame:
        """Return this frame at another position."""
        return AudioFrame(self.pcm, self.rate, self.channels, position)

    def cut(self, start: int, stop: int) -> AudioFrame:
        """Return samples ``start`` to ``stop`` (counted within the frame), without a copy."""
        width = BYTES_PER_SAMPLE * self.channels
        start, stop, _ = slice(start, stop).indices(self.sample_count)
        pcm = memoryview(self.pcm)[start * width : max(start, stop) * width]
        return AudioFrame(pcm, self.rate, self.channels, self.position + start)


def _to_pcm(samples: npt.NDArray[Any]) -> bytes:
    if samples.dtype != np.int16:
        if np.issubdtype(samples.dtype, np.floating):
            samples = np.rint(samples)
        samples = np.clip(samples, -32768, 32767).astype("<i2")
    return np.ascontiguousarray(samples).tobytes()


@attrs.frozen(eq=False, repr=False)
class TextFrame(Value):
    """A piece of text: what a language model streams, or a clause on its way to a voice."""

    text: str


@attrs.frozen(eq=False, repr=False)
class WordFrame(Value):
    """Text with the audio that speaks it, as sample positions within its reply's generated audio."""

    text: str
    start: int
    """The first sample of the word, counted from the start of the stream that it came in."""
    end: int
    """Just past its last sample."""
    rate: int
    """Hertz of the audio that the positions count."""


@attrs.frozen(eq=False, repr=False)
class DtmfFrame(Value):
    """A key of the telephone: one of ``0-9 * # A-D``."""

    digit: str
    position: int | None = None


@attrs.frozen(eq=False, repr=False)
class MessageFrame(Value):
    """An application's own message to or from the peer: anything that JSON can carry."""

    data: Any


Frame: TypeAlias = AudioFrame | TextFrame | WordFrame | DtmfFrame | MessageFrame
"""Any frame."""
