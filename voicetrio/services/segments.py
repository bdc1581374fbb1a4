"""A recogniser that does not stream, as one that listens: it decodes the segments between two boundaries.

1. The stream keeps a short past, so that a segment begins ``preroll_s`` before its start boundary, but never
   before the end of the segment in front of it: no word is heard twice.
2. A stop boundary hands the segment to the decoder, which works while the next one is collected.
   Transcripts go out in the order of their stops, one for each.
3. A segment that grows longer than ``max_segment_s`` is decoded in parts, cut where it is quietest, and the
   texts are joined.
4. Positions stay true: a gap is filled with silence, or, if it is long, begins a new part.
5. Memory is bounded: the past, one part that grows, and ``PENDING_PARTS`` that wait.  When the decoder
   falls behind further than that, the inlet waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias, final

import attrs
import numpy as np
import trio

from voicetrio.errors import ConfigError
from voicetrio.events import Transcript, TranscriptWord
from voicetrio.frames import AudioFrame, Samples
from voicetrio.runtime.running import Job, Report, run_together

if TYPE_CHECKING:
    from voicetrio.services.stt import SpeechBoundary, SttInput

__all__ = ["SegmentedSTT", "Transcribe"]

Transcribe: TypeAlias = Callable[[Samples, int], Awaitable[tuple[str, Sequence[tuple[str, float, float]]]]]
"""``await transcribe(samples, rate)`` returns the text of mono int16 samples, empty for none, and its words
as ``(word, start_s, end_s)`` in seconds from the first sample (or no words, where it cannot tell)."""

PENDING_PARTS = 4
LATE_START_S = 2.0
"""A start boundary may come this long after the position that it names."""
LONG_GAP_S = 1.0
"""A gap longer than this is not filled, but begins a new part."""
QUIET_WITHIN_S = 4.0
"""A part is cut at the quietest place of this stretch at its end..."""
QUIET_WINDOW_S = 0.1
"""...measured over windows of this length."""


@attrs.frozen
class _Stop:
    start: int
    position: int
    asked_at: float


@attrs.frozen
class _Part:
    """Audio to decode, and the stop that it ends with, if it does."""

    samples: Samples
    position: int
    stop: _Stop | None = None


@final
class SegmentedSTT:
    """Recognises speech segment by segment, with a function that turns samples into text.

    Args:
        transcribe: see ``Transcribe``; it raises ServiceError when it fails.
        rate: hertz of the mono audio.
        preroll_s: seconds of audio before a start boundary that belong to the segment.
        tail_s: seconds of audio after a stop boundary that belong to it, as far as they have come.
        max_segment_s: seconds; the longest audio that ``transcribe`` is given.
    """

    def __init__(
        self,
        transcribe: Transcribe,
        *,
        rate: int = 16000,
        preroll_s: float = 0.5,
        tail_s: float = 0.2,
        max_segment_s: float = 28.0,
    ) -> None:
        if max_segment_s < 2 * QUIET_WITHIN_S:
            raise ConfigError(
                f"max_segment_s must be at least {2 * QUIET_WITHIN_S:g} s, not {max_segment_s:g}"
            )
        self._transcribe = transcribe
        self._rate = rate
        self._preroll = round(preroll_s * rate)
        self._tail = round(tail_s * rate)
        self._max_part = round(max_segment_s * rate)

    @property
    def rate(self) -> int:
        """Hertz."""
        return self._rate

    async def listen(
        self, inlet: trio.abc.ReceiveChannel[SttInput], outlet: trio.abc.SendChannel[Transcript]
    ) -> None:
        """Recognise until ``inlet`` ends; a segment that is open then ends with the audio.

        Raises what ``transcribe`` raises, as it is, and ConfigError for audio of another rate or more
        channels.  Cancelling loses the segments that are not decoded yet.
        """
        send_part, parts = trio.open_memory_channel[_Part](PENDING_PARTS)

        async def collect() -> None:
            async with send_part:
                await self._collect(inlet, send_part)

        async def decode() -> None:
            async with parts:
                await self._decode(parts, outlet)

        await run_together("recognition", (Job("collect", collect), Job("decode", decode)), Report())

    async def _collect(
        self, inlet: trio.abc.ReceiveChannel[SttInput], send_part: trio.abc.SendChannel[_Part]
    ) -> None:
        collector = _Collector(self._rate, self._preroll, self._tail, self._max_part)
        async for item in inlet:
            if isinstance(item, AudioFrame):
                parts = collector.hear(item)
            else:
                parts = collector.mark(item, trio.current_time())
            for part in parts:
                await send_part.send(part)
        for part in collector.end(trio.current_time()):
            await send_part.send(part)

    async def _decode(
        self, parts: trio.abc.ReceiveChannel[_Part], outlet: trio.abc.SendChannel[Transcript]
    ) -> None:
        texts: list[str] = []
        words: list[TranscriptWord] = []
        async for part in parts:
            if len(part.samples):
                text, word_times = await self._transcribe(part.samples, self._rate)
                if text:
                    texts.append(text)
                    words.extend(self._place(word_times, part.position))
            if part.stop is not None:
                transcript = Transcript(
                    text=" ".join(texts),
                    final=True,
                    start=part.stop.start,
                    position=part.stop.position,
                    words=tuple(words),
                    decode_s=trio.current_time() - part.stop.asked_at,
                )
                texts, words = [], []
                await outlet.send(transcript)

    def _place(self, words: Sequence[tuple[str, float, float]], position: int) -> list[TranscriptWord]:
        return [
            TranscriptWord(word, position + round(start_s * self._rate), position + round(end_s * self._rate))
            for word, start_s, end_s in words
        ]


@final
class _Collector:
    """Cuts the stream into parts: audio and boundaries in, parts out; no I/O."""

    def __init__(self, rate: int, preroll: int, tail: int, max_part: int) -> None:
        self._rate = rate
        self._preroll = preroll
        self._tail = tail
        self._max_part = max_part
        self._past = preroll + round(LATE_START_S * rate)
        self._chunks: list[Samples] = []
        self._begin = 0
        """Position of the first sample that is kept."""
        self._end = 0
        """Just past the last one."""
        self._used_to = 0
        """Audio before this position belongs to an earlier segment."""
        self._start: int | None = None
        """The start boundary of the open segment."""

    def hear(self, frame: AudioFrame) -> list[_Part]:
        """Add a frame; return the parts that are complete by it."""
        if frame.rate != self._rate or frame.channels != 1:
            raise ConfigError(
                f"the recogniser expects mono audio of {self._rate} Hz, "
                f"not {frame.channels} channel(s) of {frame.rate} Hz"
            )
        parts = []
        gap = frame.position - self._end
        if not self._chunks or gap > LONG_GAP_S * self._rate:
            if self._start is not None and self._chunks:
                parts.append(self._take(self._end))
            self._chunks, self._begin, self._end = [], frame.position, frame.position
            gap = 0
        if gap > 0:
            self._append(np.zeros(gap, np.int16))
        # A frame that overlaps the past (gap below zero) gives what is new in it.
        self._append(frame.samples[-gap:] if gap < 0 else frame.samples)
        if self._start is None:
            self._forget(self._end - self._past)
        elif self._end - self._begin >= self._max_part:
            parts.append(self._take(self._quietest()))
        return parts

    def mark(self, boundary: SpeechBoundary, now: float) -> list[_Part]:
        """Note a boundary; return the part that a stop completes."""
        if boundary.kind == "start":
            if self._start is None:
                self._start = boundary.position
                self._forget(max(boundary.position - self._preroll, self._used_to))
            return []
        start = boundary.position if self._start is None else self._start
        stop = _Stop(start, boundary.position, now)
        if self._start is None:
            # Nothing was begun; the boundary is answered all the same.
            return [_Part(np.zeros(0, np.int16), boundary.position, stop)]
        self._start = None
        part = self._take(min(boundary.position + self._tail, self._end))
        self._used_to = boundary.position
        return [attrs.evolve(part, stop=stop)]

    def end(self, now: float) -> list[_Part]:
        """Return the segment that was open when the audio ended."""
        if self._start is None:
            return []
        stop = _Stop(self._start, max(self._end, self._start), now)
        self._start = None
        return [attrs.evolve(self._take(self._end), stop=stop)]

    def _append(self, samples: Samples) -> None:
        self._chunks.append(samples)
        self._end += len(samples)

    def _forget(self, position: int) -> None:
        """Drop the whole chunks before ``position``, and cut the one that holds it."""
        while self._chunks and self._begin + len(self._chunks[0]) <= position:
            self._begin += len(self._chunks.pop(0))
        if self._chunks and self._begin < position:
            self._chunks[0] = self._chunks[0][position - self._begin :]
            self._begin = position

    def _take(self, end: int) -> _Part:
        """Return the audio kept before ``end``, and keep the rest."""
        position = self._begin
        kept = np.concatenate(self._chunks) if self._chunks else np.zeros(0, np.int16)
        count = max(0, end - position)
        self._chunks = [kept[count:].copy()]
        self._begin = position + len(kept[:count])
        return _Part(kept[:count], position)

    def _quietest(self) -> int:
        """Return the position of the quietest window near the end of what is kept."""
        window = round(QUIET_WINDOW_S * self._rate)
        within = round(QUIET_WITHIN_S * self._rate) // window * window
        recent = np.concatenate(self._chunks)[-within:].astype(np.float32).reshape(-1, window)
        quietest = int(np.argmin(np.square(recent).sum(axis=1)))
        return self._end - within + quietest * window + window // 2
