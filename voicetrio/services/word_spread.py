"""Word times for a voice that gives none: spread over the audio by the length of the words, while it streams.

A word is given before its audio, and only once all of its audio is there by the estimate; audio is held back
until the word that it begins was given.  So a word always lies inside audio that really came, the words of a
clause come before it, and the last word ends where the audio does.  The estimate starts at
``SECONDS_PER_CHARACTER`` and is corrected by each clause that was spoken.
"""

from __future__ import annotations

import math
from typing import Final, final

import numpy as np

from voicetrio.frames import AudioFrame, Samples, WordFrame

__all__ = ["SECONDS_PER_CHARACTER", "WordSpread"]

SECONDS_PER_CHARACTER: Final = 0.07
"""About 170 words a minute of English, a space counted with each word."""
SLOWEST, FASTEST = 0.2, 0.02
"""Bounds of what a clause may correct the estimate to, in seconds a character."""


@final
class WordSpread:
    """Places the words of one run of a voice.

    Args:
        rate: hertz.
        patience_s: seconds of audio that are held back for words at most, where words come beside the
            audio (``extend``) and may be late; then the next word begins where that audio ends.

    ``begin`` each clause, ``feed`` its audio, ``finish`` it.
    """

    def __init__(self, rate: int, *, patience_s: float = math.inf) -> None:
        self._rate = rate
        self._patience_s = patience_s
        self._partial = ""
        self._per_character_s = SECONDS_PER_CHARACTER
        self._measured = False
        self._words: list[str] = []
        self._held: list[Samples] = []
        self._begin = 0
        """Where the clause begins."""
        self._given = 0
        """Just past the audio that was given."""
        self._end = 0
        """Just past the audio that came."""
        self._placed = 0
        """Just past the last word that was given."""
        self._characters = 0

    @property
    def position(self) -> int:
        """Just past the audio that came so far, in samples of the run."""
        return self._end

    def begin(self, text: str) -> None:
        """Audio of ``text`` will come."""
        self._words = text.split()
        self._characters = sum(map(_weight, self._words))
        self._begin = self._placed = self._end

    def extend(self, piece: str) -> None:
        """More of the clause's text: a piece of any size, whose last word may go on in the next."""
        *whole, self._partial = (self._partial + piece).split(" ")
        words = [word for text in whole for word in text.split()]
        self._words += words
        self._characters += sum(map(_weight, words))

    def feed(self, samples: Samples) -> list[WordFrame | AudioFrame]:
        """Take int16 mono samples, shape ``(n,)``; return the words and the audio that are ready."""
        if samples.size:
            self._held.append(samples)
            self._end += samples.size
        ready: list[WordFrame | AudioFrame] = []
        while len(self._words) > 1:
            length = round(_weight(self._words[0]) * self._per_character_s * self._rate)
            if self._placed + length > self._end:
                break
            ready.append(self._place(self._placed + length))
        # Audio goes no further than the words that were given, as long as there is patience.
        if (self._end - self._placed) / self._rate > self._patience_s:
            self._placed = self._end - round(self._patience_s * self._rate)
        return ready + self._release(self._placed)

    def finish(self) -> list[WordFrame | AudioFrame]:
        """The clause's audio is over: return the rest of its words and of its audio."""
        self.extend(" ")
        left = sum(map(_weight, self._words))
        room = self._end - self._placed
        start, passed = self._placed, 0
        ready: list[WordFrame | AudioFrame] = []
        while self._words:
            passed += _weight(self._words[0])
            ready.append(self._place(start + room * passed // left))
        self._learn()
        return ready + self._release(self._end)

    def _place(self, end: int) -> WordFrame:
        start, self._placed = self._placed, end
        return WordFrame(self._words.pop(0), start, end, self._rate)

    def _release(self, to: int) -> list[WordFrame | AudioFrame]:
        if to <= self._given:
            return []
        held = self._held[0] if len(self._held) == 1 else np.concatenate(self._held)
        count = to - self._given
        frame = AudioFrame.from_samples(held[:count], self._rate, self._given)
        self._held = [held[count:]] if count < held.size else []
        self._given = to
        return [frame]

    def _learn(self) -> None:
        spoken_s = (self._end - self._begin) / self._rate
        if not self._characters or not spoken_s:
            return
        measured = min(SLOWEST, max(FASTEST, spoken_s / self._characters))
        self._per_character_s = (self._per_character_s + measured) / 2 if self._measured else measured
        self._measured = True


def _weight(word: str) -> int:
    return len(word) + 1
