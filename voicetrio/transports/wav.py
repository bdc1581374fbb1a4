"""WAV files as the two ends of a pipeline: ``wav.source("in.wav")`` and ``wav.sink("out.wav")``.

Read as fast as the pipeline takes it.  For a file that plays the part of a peer see ``transports.file``.
"""

from __future__ import annotations

import os
from typing import final

import numpy as np
import trio

from voicetrio.audio.pcm import to_mono
from voicetrio.audio.resample import FrameResampler
from voicetrio.audio.wav import WavReader, WavWriter
from voicetrio.errors import ConfigError
from voicetrio.frames import AudioFrame, Frame

__all__ = ["WavSink", "WavSource", "sink", "source"]


def source(path: str | os.PathLike[str], *, frame_ms: int = 20) -> WavSource:
    """Return a source stage that sends the file's audio: mono, at its own rate, positions from 0.

    Raises AudioError, when it runs, for a file that cannot be read.
    """
    if frame_ms <= 0:
        raise ConfigError(f"frame_ms must be above 0, not {frame_ms}")
    return WavSource(path, frame_ms)


def sink(path: str | os.PathLike[str]) -> WavSink:
    """Return a sink stage that writes audio to the file: mono, at the rate of the first frame.

    Frames of another rate are converted.  Samples stand at their positions, counted from the first frame's:
    a gap becomes silence, audio that comes again is left out.  Other frames than audio are ignored.
    Cancelling keeps what was written.  Raises AudioError when the file cannot be written, or no audio came.
    """
    return WavSink(path)


@final
class WavSource:
    """A source stage; made by ``source``."""

    def __init__(self, path: str | os.PathLike[str], frame_ms: int) -> None:
        self._path = path
        self._frame_ms = frame_ms

    async def __call__(self, outlet: trio.abc.SendChannel[AudioFrame]) -> None:
        """Send the whole file, then return."""
        await trio.lowlevel.checkpoint()
        # Not in a thread: under a virtual clock a thread would not hold the time.
        with WavReader(self._path) as reader:
            frame = max(1, reader.rate * self._frame_ms // 1000)
            position = 0
            while (samples := to_mono(reader.read(frame))).size:
                await outlet.send(AudioFrame.from_samples(samples, reader.rate, position))
                position += samples.size


@final
class WavSink:
    """A sink stage; made by ``sink``."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self._writer: WavWriter | None = None
        self._resampler: FrameResampler | None = None
        self._start = 0

    async def __call__(self, inlet: trio.abc.ReceiveChannel[Frame]) -> None:
        """Write until ``inlet`` ends."""
        try:
            async for frame in inlet:
                if isinstance(frame, AudioFrame):
                    if self._writer is None:
                        self._writer = WavWriter(self._path, frame.rate)
                        self._resampler = FrameResampler(frame.rate)
                        self._start = frame.position
                    self._write(frame)
        finally:
            if self._writer is not None:
                self._flush()
                self._writer.close()

    def _write(self, frame: AudioFrame) -> None:
        assert self._resampler is not None
        mono = frame if frame.channels == 1 else frame.with_samples(to_mono(frame.samples))
        for piece in self._resampler.feed(mono):
            self._put(piece)

    def _flush(self) -> None:
        assert self._resampler is not None
        for piece in self._resampler.flush():
            self._put(piece)

    def _put(self, piece: AudioFrame) -> None:
        assert self._writer is not None
        at = piece.position - self._start
        missing = at - self._writer.sample_count
        if missing > 0:
            self._writer.write(np.zeros(missing, np.int16))
        self._writer.write(piece.samples[max(0, -missing) :])
