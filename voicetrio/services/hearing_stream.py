"""The audio that one stream of a recogniser is given, and where on the capture clock it lies; no I/O.

1. Audio is given in pieces of one length.  A short gap in it is given as silence, so that words keep their
   distance; a long one is left out.
2. A last piece that is too short for the vendor is filled with silence, which lies nowhere on the capture
   clock.
3. A vendor's times count the samples of the stream: they are brought back through every gap and every pad.
"""

from __future__ import annotations

from typing import Final, final

from voicetrio.events import TranscriptWord
from voicetrio.frames import AudioFrame
from voicetrio.machines.dictation import Hypothesis
from voicetrio.machines.stream_clock import StreamClock
from voicetrio.services.hearing_wire import Heard

__all__ = ["HearingStream"]

FILLED_GAP_S: Final = 0.5
"""A shorter gap in the audio is given as silence."""


@final
class HearingStream:
    """One stream, from its first sample on.

    Args:
        rate: hertz of the mono audio.
        chunk_s: the length of a piece, in seconds.
        pad_s: a shorter piece, at an end, is filled with silence to this length.
    """

    def __init__(self, rate: int, *, chunk_s: float, pad_s: float) -> None:
        self._rate = rate
        self._chunk_bytes = 2 * max(1, round(chunk_s * rate))
        self._pad_bytes = 2 * round(pad_s * rate)
        self._clock = StreamClock(rate)
        self._pending = bytearray()
        self.end = 0
        """Just past the audio that it was given."""

    def add(self, frame: AudioFrame) -> None:
        """Give it ``frame``; ``take_chunk`` and ``take_rest`` give what is to be sent of it."""
        gap = frame.position - self.end if self._clock.count else 0
        if 0 < gap <= FILLED_GAP_S * self._rate:
            self._append(bytes(2 * gap), self.end)
        self._append(bytes(frame.pcm), frame.position)

    def take_chunk(self) -> bytes | None:
        """Return the next whole piece; None if there is none yet."""
        return self._take(self._chunk_bytes) if len(self._pending) >= self._chunk_bytes else None

    def take_rest(self) -> bytes | None:
        """Return what is left of a piece, filled up if the vendor needs that; None if nothing is."""
        if not self._pending:
            return None
        missing = self._pad_bytes - len(self._pending)
        if missing > 0:
            self._clock.pad(missing // 2)
            self._pending += bytes(missing)
        return self._take(len(self._pending))

    def place(self, heard: Heard, covered: int) -> Hypothesis:
        """Return ``heard`` with its times on the capture clock.

        Without times it ends with the audio so far, and begins where the text before it ended:
        at ``covered``.
        """
        clock = self._clock
        words = tuple(
            TranscriptWord(text, clock.position(start_s), clock.position(end_s))
            for text, start_s, end_s in heard.words
        )
        if heard.end_s is not None:
            end = clock.position(heard.end_s)
        else:
            end = words[-1].end if words else self.end
        if heard.start_s is not None:
            start = clock.position(heard.start_s)
        else:
            start = words[0].start if words else min(covered, end)
        return Hypothesis(
            text=heard.text,
            final=heard.final,
            start=start,
            end=end,
            words=words,
            ends_turn=heard.ends_turn,
            drafts_turn=heard.drafts_turn,
            joins=heard.joins,
        )

    def _append(self, pcm: bytes, position: int) -> None:
        self._clock.add(position, len(pcm) // 2)
        self._pending += pcm
        self.end = position + len(pcm) // 2

    def _take(self, size: int) -> bytes:
        chunk = bytes(self._pending[:size])
        del self._pending[:size]
        return chunk
