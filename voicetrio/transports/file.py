"""A WAV file that plays the part of a peer: it is what the user says, and what they hear goes into another.

Paced, it takes as long as it sounds, frame by frame at absolute times.  Not paced, the session is given
audio as fast as it takes it; under a virtual clock a paced file needs no real time either.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, final

import attrs
import numpy as np
import trio

from voicetrio.audio.pcm import to_mono
from voicetrio.audio.resample import Resampler
from voicetrio.audio.wav import WavReader, wav_header
from voicetrio.errors import AudioError, ConfigError
from voicetrio.events import Event
from voicetrio.frames import AudioFrame, Samples
from voicetrio.runtime.transport import HangUp, Inbound, Operation, OutboxReader, SendAudio, Traits

__all__ = ["WavPeer", "WavPeerStatistics", "wav_peer"]

FRAME_MS = 20
INPUT_RATE = 16000


@attrs.frozen(kw_only=True)
class WavPeerStatistics:
    """Counts of one file's session."""

    spoken_s: float
    """Seconds of the file that were given to the session, without the silence that follows."""
    silence_s: float
    """Seconds of silence that followed."""
    heard_s: float
    """Length of what the agent sent, in seconds."""
    late_s: float
    """The most that a paced frame was given after its time, in seconds."""


def wav_peer(
    in_path: str | os.PathLike[str],
    out_path: str | os.PathLike[str] | None = None,
    *,
    paced: bool = True,
    tail_silence_s: float = 3.0,
    output_rate: int = 24000,
    name: str | None = None,
) -> WavPeer:
    """Make a transport that speaks ``in_path``, then ``tail_silence_s`` of silence, and then ends its source.

    The silence lets the agent notice that the user's turn is over, and begin its reply.  Any rate and number
    of channels is taken; the session gets 16 kHz mono.  What the agent sends is written to ``out_path``
    at its positions on the playout clock: a gap is silence, and audio that is sent again after a clear
    replaces what was there.

    Raises AudioError for a file that cannot be read: here, so before a session is opened for it.
    """
    if tail_silence_s < 0:
        raise ConfigError(f"tail_silence_s cannot be negative: {tail_silence_s}")
    with WavReader(os.fspath(in_path)) as reader:
        if not reader.read(1).size:
            raise AudioError(f"{reader.name}: the file holds no samples")
    return WavPeer(Path(in_path), out_path, paced, tail_silence_s, output_rate, name or Path(in_path).name)


@final
class WavPeer:
    """A file as a transport; made by ``wav_peer``."""

    def __init__(
        self,
        in_path: Path,
        out_path: str | os.PathLike[str] | None,
        paced: bool,
        tail_silence_s: float,
        output_rate: int,
        name: str,
    ) -> None:
        self._in_path = in_path
        self._out_path = out_path
        self._paced = paced
        self._tail = round(tail_silence_s * INPUT_RATE)
        self._name = name
        self._traits = Traits(
            input_rate=INPUT_RATE, output_rate=output_rate, can_clear=True, echo="none", live=paced
        )
        self._spoken = self._silent = self._heard = 0
        self._late_s = 0.0

    @property
    def name(self) -> str:
        """The file's name, for logs."""
        return self._name

    @property
    def traits(self) -> Traits:
        """What the file can do: it clears, and does not confirm."""
        return self._traits

    def operation_for(self, event: Event) -> Operation | None:
        """Return None: a file has no use for events."""
        return None

    async def run(self, inbound: Inbound, outbox: OutboxReader) -> None:
        """Speak the file and write what is heard, until the outbox says HangUp; see Transport.

        Cancelled, it leaves a complete file of what was written until then.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._speak, inbound, name=f"{self._name}/reader")
            await self._listen(outbox)
            nursery.cancel_scope.cancel()

    def statistics(self) -> WavPeerStatistics:
        """Return the counts so far."""
        return WavPeerStatistics(
            spoken_s=self._spoken / INPUT_RATE,
            silence_s=self._silent / INPUT_RATE,
            heard_s=self._heard / self._traits.output_rate,
            late_s=self._late_s,
        )

    async def _speak(self, inbound: Inbound) -> None:
        await trio.lowlevel.checkpoint()
        frame = INPUT_RATE * FRAME_MS // 1000
        started = trio.current_time()
        position = 0
        # Files are read and written here and not in a thread: what is read ahead and what is cached make
        # it a matter of microseconds, and under a virtual clock a thread would not hold the time.
        with WavReader(self._in_path) as reader:
            feed = _FrameFeed(reader, frame, self._tail)
            while (samples := feed.next()) is not None:
                if self._paced:
                    # A microphone gives a frame when its last sample was recorded.
                    due = started + (position + samples.size) / INPUT_RATE
                    await trio.sleep_until(due)
                    self._late_s = max(self._late_s, trio.current_time() - due)
                    inbound.send_nowait(AudioFrame.from_samples(samples, INPUT_RATE, position))
                else:
                    await inbound.send(AudioFrame.from_samples(samples, INPUT_RATE, position))
                position += samples.size
                self._spoken, self._silent = feed.spoken, position - feed.spoken
        inbound.source_ended()

    async def _listen(self, outbox: OutboxReader) -> None:
        with ExitStack() as stack:
            recording: _PositionedWav | None = None
            if self._out_path is not None:
                recording = _PositionedWav(self._out_path, self._traits.output_rate)
                stack.callback(recording.close)
            while True:
                operation = await outbox.next()
                if isinstance(operation, SendAudio):
                    self._heard = max(self._heard, operation.frame.end)
                    if recording is not None:
                        recording.write(operation.frame)
                outbox.written(operation)
                if isinstance(operation, HangUp):
                    return


@final
class _FrameFeed:
    """The file as frames of 16 kHz mono, then silence; all frames are whole."""

    def __init__(self, reader: WavReader, frame: int, tail: int) -> None:
        self._reader = reader
        self._frame = frame
        self._tail = tail
        self._resampler = Resampler(reader.rate, INPUT_RATE)
        self._waiting = np.zeros(0, np.int16)
        self._is_over = False
        self.spoken = 0
        """Samples of the file that were given."""

    def next(self) -> Samples | None:
        """Return the next frame; None at the end."""
        while self._waiting.size < self._frame and not self._is_over:
            read = to_mono(self._reader.read(max(1, self._reader.rate * FRAME_MS // 1000)))
            self._is_over = not read.size
            more = self._resampler.flush() if self._is_over else self._resampler.feed(read)
            self._waiting = np.concatenate((self._waiting, more))
        samples, self._waiting = self._waiting[: self._frame], self._waiting[self._frame :]
        self.spoken += samples.size
        if samples.size == self._frame:
            return samples
        silence = self._frame - samples.size
        if self._tail <= 0 and not samples.size:
            return None
        self._tail -= silence
        return np.concatenate((samples, np.zeros(silence, np.int16)))


@final
class _PositionedWav:
    """A WAV file whose samples can be written anywhere, and again."""

    def __init__(self, path: str | os.PathLike[str], rate: int) -> None:
        self._path = os.fspath(path)
        self._rate = rate
        self._end = 0
        try:
            self._file: BinaryIO = open(self._path, "wb")  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise AudioError(f"{self._path}: cannot be written: {error.strerror or error}") from error
        header = wav_header(rate)
        self._header_bytes = len(header)
        self._file.write(header)

    def write(self, frame: AudioFrame) -> None:
        """Write ``frame`` where it belongs; what lies between is silence."""
        try:
            self._file.seek(self._header_bytes + 2 * frame.position)
            self._file.write(frame.pcm)
        except OSError as error:
            raise AudioError(f"{self._path}: cannot be written: {error.strerror or error}") from error
        self._end = max(self._end, frame.end)

    def close(self) -> None:
        """Fill in the sizes."""
        with self._file:
            self._file.seek(0)
            self._file.write(wav_header(self._rate, 1, 2 * self._end))
