"""Streaming sample-rate conversion through swresample (FFmpeg, by way of PyAV).

The filter is chosen for live audio: it holds back some 34 samples of the lower rate (4.3 ms at 8 kHz, 2.1 ms
at 16 kHz), is flat to 0.85 of the new Nyquist frequency (-1.3 dB at 0.9), and what lies 2 % above it
is gone (below -80 dB), so nothing folds back.  At equal rates nothing is done.
"""

from __future__ import annotations

from typing import Any, Final, final

import numpy as np

from voicetrio.errors import ConfigError
from voicetrio.frames import AudioFrame, Samples

__all__ = ["FrameResampler", "Resampler", "resample_whole", "scale_position"]

_LAYOUTS: Final = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_FILTER_TAPS: Final = 64  # of the lower rate; FFmpeg's default of 32 lets tones to 1.1 Nyquist fold back
_CUTOFF: Final = 0.93  # of the lower Nyquist frequency; with this many taps it is silent from 1.02
_FILTER: Final = {"filter_size": str(_FILTER_TAPS), "cutoff": str(_CUTOFF)}
_LARGEST_PIECE: Final = 1 << 16  # samples; what goes through the library at once


def scale_position(position: int, from_hz: int, to_hz: int) -> int:
    """Return the sample at ``to_hz`` that sounds at or just before sample ``position`` at ``from_hz``."""
    return position * to_hz // from_hz


def resample_whole(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """Return int16 ``samples``, shape ``(n,)`` or ``(n, channels)``, at another rate.

    The length is ``n * to_hz / from_hz``, rounded up.
    """
    resampler = Resampler(from_hz, to_hz, 1 if samples.ndim == 1 else samples.shape[1])
    return np.concatenate((resampler.feed(samples), resampler.flush()))


@final
class Resampler:
    """Converts one stream of int16 samples from one rate to another.

    What goes in at once does not matter for what comes out.  Not to be used from two threads at a time.
    """

    def __init__(self, from_hz: int, to_hz: int, channels: int = 1) -> None:
        """Convert ``channels`` (1 to 8) interleaved channels."""
        if from_hz <= 0 or to_hz <= 0:
            raise ConfigError(f"sample rates must be positive: {from_hz} Hz to {to_hz} Hz")
        if channels not in _LAYOUTS:
            raise ConfigError(f"resampling takes 1 to {len(_LAYOUTS)} channels, not {channels}")
        self.from_hz = from_hz
        self.to_hz = to_hz
        self.channels = channels
        self._engine: Any = None
        self._fed = 0
        self._given = 0

    def feed(self, samples: Samples) -> Samples:
        """Convert ``samples``, shape ``(n,)`` for mono and ``(n, channels)`` otherwise.

        Returns what is ready by now, which may be nothing.
        """
        channels = 1 if samples.ndim == 1 else samples.shape[1]
        if samples.dtype != np.int16 or channels != self.channels:
            raise ConfigError(
                f"resampling takes int16 samples of {self.channels} channel(s),"
                f" not {samples.dtype} of {channels}"
            )
        if self.from_hz == self.to_hz:
            return samples
        self._fed += samples.shape[0]
        converted = self._convert(samples)
        self._given += converted.shape[0]
        return converted

    def flush(self) -> Samples:
        """End the stream: return what is held back.  The next ``feed`` begins another stream.

        All together, ``samples fed * to_hz / from_hz`` samples were given, rounded up.
        """
        if not self._fed:
            return self._none()
        missing = -(-self._fed * self.to_hz // self.from_hz) - self._given
        # The library's own flush gives nothing for a stream shorter than its filter; silence pushes
        # the last samples out of any.
        silence = 2 * _FILTER_TAPS * -(-self.from_hz // min(self.from_hz, self.to_hz))
        tail = self._convert(np.zeros((silence, self.channels), np.int16))
        self.reset()
        return tail[:missing]

    def reset(self) -> None:
        """Drop what is held back; the next ``feed`` begins another stream."""
        self._engine = None
        self._fed = self._given = 0

    def _convert(self, samples: Samples) -> Samples:
        import av  # imported when first used: it loads the codecs of FFmpeg

        layout = _LAYOUTS[self.channels]
        if self._engine is None:
            self._engine = av.AudioResampler(format="s16", layout=layout, rate=self.to_hz, options=_FILTER)
        parts = []
        for start in range(0, samples.shape[0], _LARGEST_PIECE):
            piece = samples[start : start + _LARGEST_PIECE]
            frame = av.AudioFrame(format="s16", layout=layout, samples=piece.shape[0])
            frame.planes[0].update(piece.tobytes())
            frame.sample_rate = self.from_hz
            for made in self._engine.resample(frame):
                count = made.samples * self.channels
                parts.append(np.frombuffer(made.planes[0], np.int16, count=count))
        if not parts:
            return self._none()
        converted = parts[0].copy() if len(parts) == 1 else np.concatenate(parts)
        return converted if self.channels == 1 else converted.reshape(-1, self.channels)

    def _none(self) -> Samples:
        return np.zeros(0 if self.channels == 1 else (0, self.channels), np.int16)


@final
class FrameResampler:
    """Converts the frames of one stream to ``to_hz``, whatever rates they have, and keeps positions true.

    A frame at position ``p`` comes out at ``p * to_hz / rate``, rounded down, and frames that follow one
    another come out contiguous.  A gap between two frames stays a gap: what came before it is flushed.
    The rate and the number of channels may change between frames; a frame of the new rate that goes on
    where the old one ended (in samples) follows at once, any other stands where its own rate puts it.

    It can stand as a transform: calling it is ``feed``.
    """

    def __init__(self, to_hz: int) -> None:
        if to_hz <= 0:
            raise ConfigError(f"a sample rate must be positive: {to_hz} Hz")
        self.to_hz = to_hz
        self._engine: Resampler | None = None
        self._format = (0, 0)
        self._anchor_in = self._anchor_out = 0  # an input position, and where it comes out
        self._expected: int | None = None  # the input position that follows without a gap
        self._written: int | None = None  # the output position that comes next

    def feed(self, frame: AudioFrame) -> list[AudioFrame]:
        """Return what is ready after ``frame``: no frame, or more."""
        if (
            frame.rate == self.to_hz
            and frame.position == self._expected == self._written
            and self._format == (frame.rate, frame.channels)
        ):
            self._expected = self._written = frame.end
            return [frame]  # nothing is to be done, nearly always
        made: list[AudioFrame] = []
        if self._engine is None or (frame.rate, frame.channels) != self._format:
            made = self.flush()
            self._change_format(frame)
        elif frame.position != self._expected:
            made = self.flush()
        if self._written is None:
            self._written = self._place(frame.position)
        end = self._expected = frame.end
        if frame.rate == self.to_hz:
            made.append(frame if frame.position == self._written else frame.at(self._written))
            self._written += end - frame.position
        elif self._engine is not None:
            made += self._frames(self._engine.feed(frame.samples))
        return made

    def __call__(self, frame: AudioFrame) -> list[AudioFrame]:
        """Do what ``feed`` does."""
        return self.feed(frame)

    def flush(self) -> list[AudioFrame]:
        """Return what is held back.  What is fed next starts anew, at its own position."""
        if self._engine is None or self._written is None or self._expected is None:
            return []
        room = self._place(self._expected) - self._written
        made = self._frames(self._engine.flush()[:room])
        self._written = None
        return made

    def reset(self) -> None:
        """Drop what is held back and forget the positions."""
        self._engine = None
        self._format = (0, 0)
        self._anchor_in = self._anchor_out = 0
        self._expected = self._written = None

    def _change_format(self, frame: AudioFrame) -> None:
        end = None if self._expected is None else self._place(self._expected)
        if end is not None and frame.position == self._expected:
            self._anchor_in, self._anchor_out = frame.position, end
        else:
            self._anchor_in = self._anchor_out = 0
        self._format = (frame.rate, frame.channels)
        self._engine = Resampler(frame.rate, self.to_hz, frame.channels)

    def _place(self, position: int) -> int:
        """Return where an input position of the current rate comes out."""
        return self._anchor_out + scale_position(position - self._anchor_in, self._format[0], self.to_hz)

    def _frames(self, samples: Samples) -> list[AudioFrame]:
        if not samples.shape[0] or self._written is None:
            return []
        frame = AudioFrame.from_samples(samples, self.to_hz, self._written)
        self._written = frame.end
        return [frame]
