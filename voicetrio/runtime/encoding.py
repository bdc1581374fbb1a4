"""Encoding a stream in a trio program.

    >>> async with open_stream_encoder("mp3", 24_000) as encoder:
    ...     async for samples in voice:
    ...         await body.send_all(await encoder.encode(samples))
    ...     await body.send_all(await encoder.finish())

Every stream opens its own encoder, in the task that feeds it.  See CodecOwner for why.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, final

import attrs
import numpy as np
import trio

from voicetrio.audio.codecs import AudioFormat, Encoder, audio_format, open_encoder
from voicetrio.audio.codecs.base import check_samples
from voicetrio.errors import ConfigError
from voicetrio.frames import Samples
from voicetrio.runtime.codec_owner import CodecOwner, codec_limiter, run_codec_call

__all__ = ["EncoderStatistics", "StreamEncoder", "open_stream_encoder"]

_MAX_CALL_S: Final = 1.0
"""Audio in one call: 20 ms of work for the slowest format, after which a cancellation is noticed."""


@attrs.frozen
class EncoderStatistics:
    """Counts of one encoder."""

    samples_in: int
    """Samples taken, those that still wait for their batch among them."""
    waiting_samples: int
    bytes_out: int
    calls: int
    """Calls into the codec."""


@asynccontextmanager
async def open_stream_encoder(
    format: str,
    rate: int,
    *,
    limiter: trio.CapacityLimiter | None = None,
    batch_ms: float = 80,
    **settings: Any,
) -> AsyncIterator[StreamEncoder]:
    """Open an encoder of one stream, owned by this task; leaving the block closes it, however it is left.

    ``format``, ``rate`` (hertz) and ``settings`` are those of ``voicetrio.audio.codecs.open_encoder``, and
    so are the errors.  Formats that cost much (mp3, opus, flac, aac, g722) run in worker threads under
    ``limiter``, by default one that all codecs of the run share, sized to the cores.  For these, pieces
    shorter than ``batch_ms`` are collected first, because the hop to a thread costs as much as coding 20 ms;
    the first piece is not, so that the first byte is not late.
    """
    fmt = audio_format(format)
    if not 0 <= batch_ms <= 1000:
        raise ConfigError(f"batch_ms is {batch_ms}: give 0 to 1000 ms")
    used = (limiter or codec_limiter()) if fmt.is_heavy else None
    codec = await run_codec_call(used, partial(open_encoder, format, rate, **settings))
    encoder = StreamEncoder(codec, used, batch_samples=round(batch_ms * rate / 1000) if used else 0)
    try:
        yield encoder
    finally:
        await encoder.aclose()


@final
class StreamEncoder:
    """The encoder of one stream; open_stream_encoder makes it.

    Attributes:
        format: what it writes, with its content type.
        rate: hertz of the samples that it takes.
    """

    def __init__(self, codec: Encoder, limiter: trio.CapacityLimiter | None, *, batch_samples: int) -> None:
        self.format: AudioFormat = codec.format
        self.rate = codec.rate
        self._codec = codec
        self._owner = CodecOwner(codec, f"the {codec.format.name} stream encoder", limiter)
        self._batch_samples = batch_samples
        self._waiting: list[Samples] = []
        self._waiting_samples = 0
        self._samples_in = 0
        self._bytes_out = 0

    async def encode(self, samples: Samples) -> bytes:
        """Take int16 mono ``samples``, shape ``(n,)``; return the bytes that are complete, maybe none.

        Raises CodecMisuse from any task but the owner, and after ``finish``, ``aclose``, a failure or a
        cancellation; AudioError if the array is not mono int16 or the library fails.  Cancelling it spends
        the encoder: what it was given is lost, and it can only be closed.
        """
        check_samples(samples)
        with self._owner.call("encode"):
            must_wait = self._samples_in > 0 and self._waiting_samples + samples.size < self._batch_samples
            # The caller may use its buffer again.
            self._waiting.append(samples.copy() if must_wait else samples)
            self._waiting_samples += samples.size
            self._samples_in += samples.size
            if must_wait:
                await trio.lowlevel.checkpoint()
                return b""
            return self._count(await self._encode_waiting())

    async def finish(self) -> bytes:
        """Return the rest of the stream, with its header if nothing was encoded.  Nothing may follow.

        Raises and is cancelled like ``encode``.
        """
        with self._owner.call("finish"):
            body = await self._encode_waiting() if self._waiting_samples else b""
            body += await self._owner.run(self._codec.finish)
            self._owner.spend()
            return self._count(body)

    async def aclose(self) -> None:
        """Close the encoder, after the call in flight; what was not finished is lost.

        It may come from any task and any number of times.  It is shielded from cancellation, for at most a
        second: if the call in flight takes longer, that call closes the encoder when it ends.
        """
        await self._owner.aclose()

    @property
    def is_closed(self) -> bool:
        """True once the codec's memory is freed."""
        return self._owner.is_closed

    def statistics(self) -> EncoderStatistics:
        """Return the counts so far."""
        return EncoderStatistics(
            samples_in=self._samples_in,
            waiting_samples=self._waiting_samples,
            bytes_out=self._bytes_out,
            calls=self._owner.calls,
        )

    async def _encode_waiting(self) -> bytes:
        waiting, self._waiting, self._waiting_samples = self._waiting, [], 0
        samples = waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
        step = round(_MAX_CALL_S * self.rate)
        body = await self._owner.run(self._codec.encode, samples[:step])
        for start in range(step, samples.size, step):
            body += await self._owner.run(self._codec.encode, samples[start : start + step])
        return body

    def _count(self, body: bytes) -> bytes:
        self._bytes_out += len(body)
        return body
