"""Decoding in a trio program: a stream as it arrives, or a file that is there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, final

import attrs
import numpy as np
import trio

from voicetrio.audio.codecs import (
    AudioFormat,
    ContainerReader,
    Decoder,
    audio_format,
    open_decoder,
    sniff_format,
)
from voicetrio.audio.resample import Resampler
from voicetrio.errors import AudioError
from voicetrio.frames import Samples
from voicetrio.runtime.codec_owner import CodecOwner, codec_limiter, run_codec_call

__all__ = [
    "DecodedAudio",
    "DecoderStatistics",
    "StreamDecoder",
    "decode_file",
    "open_stream_decoder",
]

DEFAULT_MAX_S: Final = 3600.0
_MAX_CALL_BYTES: Final = 1 << 15
_PIECE_BYTES: Final = 1 << 12
_MAX_CALL_S: Final = 20.0
"""Audio in one call on a whole file: 5 to 100 ms of work."""


@attrs.frozen
class DecoderStatistics:
    """Counts of one decoder."""

    bytes_in: int
    samples_out: int
    calls: int
    """Calls into the codec."""


@attrs.frozen(eq=False)
class DecodedAudio:
    """A whole file as samples."""

    samples: Samples
    """int16 mono, shape ``(n,)``."""
    rate: int
    """Hertz."""
    damage: str | None
    """What was found wrong with the file, though audio could be read; None if nothing."""


@asynccontextmanager
async def open_stream_decoder(
    format: str,
    *,
    rate: int | None = None,
    max_s: float = DEFAULT_MAX_S,
    limiter: trio.CapacityLimiter | None = None,
) -> AsyncIterator[StreamDecoder]:
    """Open a decoder of one stream, owned by this task; leaving the block closes it, however it is left.

    ``format``, ``rate`` (hertz; for formats that do not tell it) and ``max_s`` (the limit on the decoded
    length, seconds) are those of ``voicetrio.audio.codecs.open_decoder``, and so are the errors.  Formats
    that cost much run in worker threads under ``limiter``, like encoders.
    """
    fmt = audio_format(format)
    used = (limiter or codec_limiter()) if fmt.is_heavy else None
    codec = await run_codec_call(used, partial(open_decoder, format, rate=rate, max_s=max_s))
    decoder = StreamDecoder(codec, used)
    try:
        yield decoder
    finally:
        await decoder.aclose()


@final
class StreamDecoder:
    """The decoder of one stream; open_stream_decoder makes it.

    Attributes:
        format: what it reads.
    """

    def __init__(self, codec: Decoder, limiter: trio.CapacityLimiter | None) -> None:
        self.format: AudioFormat = codec.format
        self._codec = codec
        self._owner = CodecOwner(codec, f"the {codec.format.name} stream decoder", limiter)
        self._bytes_in = 0
        self._samples_out = 0

    @property
    def rate(self) -> int | None:
        """Hertz of the samples; None until the stream has told it."""
        return self._codec.rate

    @property
    def damage(self) -> str | None:
        """What was found wrong with the stream so far, though audio could be read; None if nothing."""
        return self._codec.damage

    async def decode(self, data: bytes) -> Samples:
        """Take any number of bytes; return the int16 mono samples that they complete, shape ``(n,)``.

        Raises CodecMisuse like an encoder, and AudioError for bytes that are not of this format or decode
        to more than ``max_s``.  Cancelling it spends the decoder: it can only be closed.
        """
        with self._owner.call("decode"):
            self._bytes_in += len(data)
            parts = [await self._owner.run(self._codec.decode, data[:_MAX_CALL_BYTES])]
            for start in range(_MAX_CALL_BYTES, len(data), _MAX_CALL_BYTES):
                part = data[start : start + _MAX_CALL_BYTES]
                parts.append(await self._owner.run(self._codec.decode, part))
            return self._count(parts[0] if len(parts) == 1 else np.concatenate(parts))

    async def finish(self) -> Samples:
        """Return the last samples.  Raises AudioError if the whole stream held no audio."""
        with self._owner.call("finish"):
            samples = await self._owner.run(self._codec.finish)
            self._owner.spend()
            return self._count(samples)

    async def aclose(self) -> None:
        """Close the decoder, after the call in flight; from any task, any number of times, shielded."""
        await self._owner.aclose()

    @property
    def is_closed(self) -> bool:
        """True once the codec's memory is freed."""
        return self._owner.is_closed

    def statistics(self) -> DecoderStatistics:
        """Return the counts so far."""
        return DecoderStatistics(self._bytes_in, self._samples_out, self._owner.calls)

    def _count(self, samples: Samples) -> Samples:
        self._samples_out += samples.size
        return samples


async def decode_file(
    data: bytes,
    *,
    max_s: float = DEFAULT_MAX_S,
    to_hz: int | None = None,
    limiter: trio.CapacityLimiter | None = None,
) -> DecodedAudio:
    """Decode a whole audio file of any common kind: wav, mp3, flac, ogg, m4a, webm and more.

    The kind is told by the bytes.

    Args:
        data: the file.
        max_s: the longest audio that is accepted, in seconds.
        to_hz: the rate that is wanted; by default the file's own.  Only audio of this rate is kept, so
            ``max_s`` also bounds the memory: a file of some kilobytes can name a rate of 655 kHz.
        limiter: of worker threads, as for streams.

    Raises AudioError if there is no audio in the bytes, or more than ``max_s``.  Cancelling takes effect
    within about 100 ms, and loses everything.
    """
    await trio.lowlevel.checkpoint()
    fmt = sniff_format(data[:64])
    kept = _Kept(to_hz)
    used = limiter or codec_limiter()
    if fmt in ("wav", "flac", "opus"):  # ours also tell whether the end is missing
        # Small pieces: within them nothing bounds the memory, and a byte can be a second of silence.
        step = _MAX_CALL_BYTES if fmt == "wav" else _PIECE_BYTES
        async with open_stream_decoder(fmt, max_s=max_s, limiter=limiter) as decoder:
            for start in range(0, len(data), step):
                await kept.take(await decoder.decode(data[start : start + step]), decoder.rate, used)
            await kept.take(await decoder.finish(), decoder.rate, used)
            return kept.finish(decoder.damage)
    reader = await run_codec_call(used, partial(ContainerReader, data, max_s=max_s))
    try:
        count = round(_MAX_CALL_S * reader.rate)
        while (part := await run_codec_call(used, reader.read, count)).size:
            await kept.take(part, reader.rate, used)
        return kept.finish(reader.damage)
    finally:
        reader.close()  # no call is in flight: they are never abandoned


@final
class _Kept:
    """The audio of one file, at the rate that is wanted."""

    def __init__(self, to_hz: int | None) -> None:
        self._to_hz = to_hz
        self._rate = 0
        self._resampler: Resampler | None = None
        self._parts: list[Samples] = []

    async def take(self, samples: Samples, rate: int | None, limiter: trio.CapacityLimiter) -> None:
        """Keep a part."""
        if rate is None or not samples.size:
            await trio.lowlevel.checkpoint()
            return
        if self._resampler is None:
            self._rate = self._to_hz or rate
            self._resampler = Resampler(rate, self._rate)
        # The hop to a thread costs as much as a second of audio.
        used = limiter if samples.size > rate else None
        self._parts.append(await run_codec_call(used, self._resampler.feed, samples))

    def finish(self, damage: str | None) -> DecodedAudio:
        """Return the whole.  Raises AudioError if there is none."""
        if self._resampler is None:
            raise AudioError("the audio file holds no sound")
        return DecodedAudio(np.concatenate([*self._parts, self._resampler.flush()]), self._rate, damage)
