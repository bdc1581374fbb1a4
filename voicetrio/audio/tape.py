"""Samples that are appended at one end, read anywhere, and forgotten at the other."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final, final

import numpy as np

from voicetrio.frames import Samples

__all__ = ["Tape"]

_NONE: Final = np.empty(0, np.int16)
FORGOTTEN_AT_ONCE: Final = 32
"""Chunks: a list is cut at its front rarely, because that moves all the others."""


@final
class Tape:
    """Int16 mono samples with positions; the first that was ever appended has position 0.

    It keeps the chunks that it was given and copies nothing but a read over several of them.  A read costs
    the same however much it holds.
    """

    def __init__(self) -> None:
        self._chunks: list[Samples] = []
        self._starts: list[int] = []
        self._forgotten = 0
        self.end = 0
        """Just past the last sample."""

    @property
    def start(self) -> int:
        """The first sample that it still has; ``end`` if there is none."""
        return self._starts[self._forgotten] if self._forgotten < len(self._starts) else self.end

    def append(self, samples: Samples) -> None:
        """Add ``samples`` behind the others; they must not change from now on."""
        if samples.size:
            self._chunks.append(samples)
            self._starts.append(self.end)
            self.end += samples.size

    def read(self, start: int, count: int) -> Samples:
        """Return the samples from ``start`` on, up to ``count``; what was forgotten is left out."""
        stop = start + count
        if stop > self.end:
            stop = self.end
        if start < self.start:
            start = self.start
        if start >= stop:
            return np.empty(0, dtype=np.int16)
        first = bisect_right(self._starts, start) - 1
        offset = self._starts[first]
        chunk = self._chunks[first]
        part = chunk[start - offset : stop - offset]
        if offset + chunk.size >= stop:
            return part
        rest = range(first + 1, bisect_right(self._starts, stop - 1))
        return np.concatenate([part, *(self._chunks[k][: stop - self._starts[k]] for k in rest)])

    def forget(self, before: int) -> None:
        """Let go of the chunks that lie before position ``before`` as a whole."""
        forgotten = self._forgotten
        starts = self._starts
        while forgotten < len(starts) and self._end_of(forgotten) <= before:
            self._chunks[forgotten] = _NONE  # its memory goes now, its place later
            forgotten += 1
        self._forgotten = forgotten
        if forgotten >= FORGOTTEN_AT_ONCE:
            del self._chunks[:forgotten]
            del self._starts[:forgotten]
            self._forgotten = 0

    def _end_of(self, index: int) -> int:
        return self._starts[index + 1] if index + 1 < len(self._starts) else self.end
