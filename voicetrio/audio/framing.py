"""Frames of any size in, frames of one size out.

No sample is lost or moved: every sample of a frame that comes out stands at the position that it came in
with.
"""

from __future__ import annotations

from typing import final

from voicetrio.errors import ConfigError
from voicetrio.frames import BYTES_PER_SAMPLE, AudioFrame

__all__ = ["Reframer", "frame_samples"]


def frame_samples(rate: int, frame_ms: int) -> int:
    """Return the samples of ``frame_ms`` milliseconds at ``rate`` hertz.

    Raises ConfigError where that is no whole number: at 22 050 Hz only multiples of 20 ms are, at
    11 025 Hz multiples of 40.
    """
    count, odd = divmod(rate * frame_ms, 1000)
    if odd or count <= 0:
        raise ConfigError(
            f"{frame_ms} ms at {rate} Hz is no whole number of samples: resample, or choose another length"
        )
    return count


@final
class Reframer:
    """Cuts and joins the frames of one stream to exactly ``frame_ms`` milliseconds each.

    A gap in the input's positions ends the frame in the making.  By default it comes out *short*, so that
    every sample is one that came in.  With ``pad=True`` all frames are of full size: the gap is
    filled with silence as far as the frame reaches, and where the gap is shorter than that, the
    frame goes on with the audio after it.  The same holds for ``flush``, where nothing follows.

    A jump back, or another rate or number of channels, ends the frame in the making, too.

    It can stand as a transform: calling it is ``feed``.
    """

    def __init__(self, frame_ms: int, *, pad: bool = False) -> None:
        if frame_ms <= 0:
            raise ConfigError(f"a frame must be longer than {frame_ms} ms")
        self.frame_ms = frame_ms
        self.pad = pad
        self._held = bytearray()
        self._start = 0  # position of the first held sample
        self._rate = 0
        self._channels = 0
        self._size = 0  # samples of a full frame
        self._width = 0  # bytes of a sample of all channels

    @property
    def held_samples(self) -> int:
        """Samples per channel that wait for a full frame."""
        return len(self._held) // self._width if self._held else 0

    def feed(self, frame: AudioFrame) -> list[AudioFrame]:
        """Return the frames that are full now, in order; a frame that is full by itself passes as it is."""
        made: list[AudioFrame] = []
        if (frame.rate, frame.channels) != (self._rate, self._channels):
            size = frame_samples(frame.rate, self.frame_ms)
            made = self.flush()
            self._rate, self._channels, self._size = frame.rate, frame.channels, size
            self._width = BYTES_PER_SAMPLE * frame.channels
        if self._held:
            made += self._meet(frame.position)
        done = 0
        if self._held:
            done = min(frame.sample_count, self._size - self.held_samples)
            self._held += frame.cut(0, done).pcm
            made += self._take_if_full()
        while frame.sample_count - done >= self._size:
            made.append(frame.cut(done, done + self._size) if frame.sample_count > self._size else frame)
            done += self._size
        if done < frame.sample_count:
            self._start = frame.position + done
            self._held += frame.cut(done, frame.sample_count).pcm
        return made

    def __call__(self, frame: AudioFrame) -> list[AudioFrame]:
        """Do what ``feed`` does."""
        return self.feed(frame)

    def flush(self) -> list[AudioFrame]:
        """Return what is held, short or padded, if anything is.  The next frame starts anew."""
        if not self._held:
            return []
        if self.pad:
            self._held += bytes(self._size * self._width - len(self._held))
        return [self._take()]

    def reset(self) -> None:
        """Drop what is held."""
        self._held.clear()

    def _meet(self, position: int) -> list[AudioFrame]:
        """Prepare the held samples for what follows at ``position``; return what that completes."""
        gap = position - (self._start + self.held_samples)
        if gap == 0:
            return []
        if gap < 0 or not self.pad:
            return self.flush()
        self._held += bytes(min(gap, self._size - self.held_samples) * self._width)
        return self._take_if_full()

    def _take_if_full(self) -> list[AudioFrame]:
        return [self._take()] if self.held_samples == self._size else []

    def _take(self) -> AudioFrame:
        frame = AudioFrame(bytes(self._held), self._rate, self._channels, self._start)
        self._held.clear()
        return frame
