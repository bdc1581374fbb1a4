"""The audio that a recogniser has not answered yet, kept so that it can be given again.

1. What is pushed is kept until a final transcript covers it, and at most ``max_s`` of it: what is beyond is
   dropped from the old end, and counted when it is missed.
2. ``take`` gives the next audio that the present stream has not had.  A stream gets at most ``pace`` seconds
   of audio a second, and ``burst_s`` at once: services refuse more.
3. ``rewind`` begins a new stream, with the oldest audio that no final transcript covers.
4. A recogniser counts from 0 with each stream: ``position_at`` brings its seconds to the capture clock.
5. At the seam, a word whose middle lies before the last final transcript's end was transcribed before.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from typing import final

import attrs

from voicetrio.errors import ConfigError
from voicetrio.frames import AudioFrame

__all__ = ["AudioReplay", "Missed", "Rewound"]


@attrs.frozen
class Missed:
    """Audio that no recogniser will hear."""

    position: int
    """Where it begins, on the capture clock."""
    sample_count: int
    rate: int
    """Hertz."""

    @property
    def seconds(self) -> float:
        """How much of it there is."""
        return self.sample_count / self.rate


@attrs.frozen(kw_only=True)
class Rewound:
    """Where a new stream begins."""

    start: int
    """Position of its first sample, on the capture clock."""
    again_s: float
    """Seconds of audio that are given again."""
    lost: Missed | None
    """Audio that no transcript covers and that is not kept any more."""


@final
class AudioReplay:
    """A bounded memory of audio at one rate, with a cursor."""

    def __init__(
        self, rate: int, *, max_s: float = 30.0, pace: float = math.inf, burst_s: float = 1.0
    ) -> None:
        if not pace > 1.0:
            raise ConfigError(f"pace must be above 1, or what was missed is never caught up; it is {pace:g}")
        self._rate = rate
        self._max_s = max_s
        self._pace = pace
        self._burst_s = burst_s
        self._kept: deque[AudioFrame] = deque()
        self._kept_samples = 0
        self._next = 0
        self._covered = 0
        self._unheard: Missed | None = None
        self._unanswered: Missed | None = None
        self._anchors: list[tuple[int, int]] = []
        self._opened_at = 0.0
        self._given = 0

    @property
    def kept_s(self) -> float:
        """Seconds of audio that are kept."""
        return self._kept_samples / self._rate

    @property
    def behind_s(self) -> float:
        """Seconds of audio that the present stream has not had."""
        return sum(frame.duration_s for frame in list(self._kept)[self._next :])

    # --- audio ---

    def push(self, frame: AudioFrame) -> None:
        """Keep ``frame``."""
        self._kept.append(frame)
        self._kept_samples += frame.sample_count
        while self.kept_s > self._max_s and len(self._kept) > 1:
            oldest = self._kept[0]
            if self._next == 0:
                self._unheard = _add(self._unheard, oldest)
            elif oldest.end > self._covered:
                self._unanswered = _add(self._unanswered, oldest)
            self._forget_oldest()

    def take(self, now: float) -> AudioFrame | None:
        """Return the next frame for the present stream; None if there is none, or it is too early."""
        if self._next >= len(self._kept) or self.ready_at > now:
            return None
        frame = self._kept[self._next]
        self._next += 1
        if not self._anchors or self._anchors[-1][1] + self._given - self._anchors[-1][0] != frame.position:
            self._anchors.append((self._given, frame.position))
        self._given += frame.sample_count
        return frame

    def take_missed(self) -> Missed | None:
        """Return, once, what was dropped before the present stream had it."""
        missed, self._unheard = self._unheard, None
        return missed

    @property
    def has_more(self) -> bool:
        """True when there is audio that the present stream has not had."""
        return self._next < len(self._kept)

    @property
    def ready_at(self) -> float:
        """When the present stream may have more audio."""
        given_s = self._given / self._rate
        return self._opened_at + max(0.0, given_s - self._burst_s) / self._pace

    # --- streams ---

    def rewind(self, now: float) -> Rewound:
        """A new stream is open: begin with the oldest audio that no final transcript covers."""
        self._next = 0
        self._given = 0
        self._opened_at = now
        self._anchors.clear()
        lost = self._unanswered
        if self._unheard is not None:
            count = self._unheard.sample_count + (lost.sample_count if lost else 0)
            lost = Missed((lost or self._unheard).position, count, self._rate)
        self._unanswered = self._unheard = None
        start = self._kept[0].position if self._kept else self._covered
        return Rewound(start=start, again_s=self.kept_s, lost=lost)

    def position_at(self, seconds: float) -> int:
        """Return the capture position of a time in the present stream; true across gaps in the audio."""
        at = round(seconds * self._rate)
        if not self._anchors:
            return self._covered + at
        index = max(0, bisect_right(self._anchors, at, key=lambda anchor: anchor[0]) - 1)
        given, position = self._anchors[index]
        return position + at - given

    # --- transcripts ---

    def is_new(self, start: int, end: int) -> bool:
        """Tell whether a word from ``start`` to ``end`` was not transcribed before."""
        return (start + end) / 2 >= self._covered

    def cover(self, position: int) -> None:
        """A final transcript covers the audio before ``position``: it need not be kept."""
        self._covered = max(self._covered, position)
        if self._unanswered is not None:
            end = self._unanswered.position + self._unanswered.sample_count
            self._unanswered = self._unanswered if end > self._covered else None
        while self._kept and self._kept[0].end <= self._covered:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        frame = self._kept.popleft()
        self._kept_samples -= frame.sample_count
        self._next = max(0, self._next - 1)


def _add(missed: Missed | None, frame: AudioFrame) -> Missed:
    if missed is None:
        return Missed(frame.position, frame.sample_count, frame.rate)
    return Missed(missed.position, missed.sample_count + frame.sample_count, frame.rate)
