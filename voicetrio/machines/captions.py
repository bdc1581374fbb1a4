"""Where the words of a text lie in the audio that a voice makes of it.

The text is what was given to the voice; what comes out are its words, exactly as they were given, each with a
place.  The place comes from, in this order:

1. The voice's own word times.  They are matched to the text in order.  A voice may say other words than
   were written ("five" for "5"): what it says between two words that match belongs to what is written there.
2. Where a voice tells no times: the length of the words at the voice's own speed so far, corrected at the end
   of each stretch of text whose end it tells.

A word is given out with the audio in which it begins, and not before: what was never heard is not counted as
heard.  Words whose times come after their audio are given out at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, final

import attrs

from voicetrio.frames import WordFrame

__all__ = ["Captions"]

NEAR_WORDS: Final = 6
"""How many words of the text a word of the voice is looked for in."""
CHAR_S: Final = 1 / 15
"""Ordinary speech has about 15 characters a second, the spaces among them (English)."""
ADAPTS: Final = 0.5
"""How much the newest stretch of text counts in the voice's own speed."""


@attrs.frozen
class _Placed:
    text: str
    start: int
    end: int


@final
class Captions:
    """The words of one run of a voice.

    Args:
        rate: hertz of the audio.
        timed: False for a voice that tells no word times.
    """

    def __init__(self, rate: int, *, timed: bool = True) -> None:
        self._rate = rate
        self._timed = timed
        self._waiting: deque[str] = deque()
        """Words that have no place yet."""
        self._placed: deque[_Placed] = deque()
        """Words that have one, but whose audio has not come."""
        self._unmatched: list[tuple[int, int]] = []
        self._base = 0
        self._cursor = 0
        self._given_to = 0
        """Just past the last word that was given out."""
        self._char_s = CHAR_S
        self._stretch_start = 0
        self._ahead = 0
        """Words of the present stretch that have a place by an estimate."""
        self.end = 0
        """Just past the last sample of audio so far."""

    @property
    def owes(self) -> bool:
        """True when there is text whose audio has not come."""
        return bool(self._waiting or self._placed)

    # --- what happens ---

    def say(self, text: str) -> None:
        """The voice will speak ``text``, after what it was given before."""
        self._waiting.extend(text.split())

    def audio(self, sample_count: int) -> list[WordFrame]:
        """So much audio comes next; return the words that begin in it, or before."""
        self.end += sample_count
        if not self._timed:
            self._estimate()
        return self._due()

    def times(self, words: Iterable[tuple[str, float, float]]) -> list[WordFrame]:
        """The voice says ``(word, start_s, end_s)``, from its first sample; return those that are due."""
        for text, start_s, end_s in words:
            key = _key(text)
            if key:
                start = self._base + round(start_s * self._rate)
                self._match(key, start, max(start, self._base + round(end_s * self._rate)))
        return self._due()

    def stretch_ended(self, text: str) -> list[WordFrame]:
        """All audio of ``text``, the next that was given, has come; for a voice that tells no times."""
        words = text.split()
        left = max(0, len(words) - self._ahead)
        self._ahead = max(0, self._ahead - len(words))
        taken = [self._waiting.popleft() for _ in range(min(left, len(self._waiting)))]
        self._spread(taken, min(self._cursor, self.end), self.end)
        spoken_s = (self.end - self._stretch_start) / self._rate
        if words and spoken_s > 0:
            now_s = spoken_s / sum(len(word) + 1 for word in words)
            self._char_s += ADAPTS * (now_s - self._char_s)
        self._cursor = self._stretch_start = self.end
        return self._due(everything=True)

    def voice_ended(self, left: int = 0) -> list[WordFrame]:
        """The voice has ended, or was lost; the next one will say the text's last ``left`` words.

        Returns the words before those that were not given out, placed in what is left of the audio.
        """
        unspoken = [word.text for word in self._placed if word.start >= self.end]
        self._placed = deque(word for word in self._placed if word.start < self.end)
        if unspoken:
            self._waiting.extendleft(reversed(unspoken))
            ends = [word.end for word in self._placed]
            self._cursor = max([self._given_to, *ends])
        rest = [self._waiting.popleft() for _ in range(max(0, len(self._waiting) - left))]
        start = min(self._cursor, self.end)
        if self._unmatched:
            start = max(start, min(self._unmatched[0][0], self.end))
        self._spread(rest, start, self.end)
        self._unmatched.clear()
        self._ahead = 0
        self._base = self._cursor = self._stretch_start = self.end
        return self._due(everything=True)

    # --- inside ---

    def _due(self, *, everything: bool = False) -> list[WordFrame]:
        due = []
        while self._placed and (everything or self._placed[0].start < self.end):
            word = self._placed.popleft()
            # A voice may say that a word ends after its audio does.
            end = min(word.end, self.end) if everything else word.end
            self._given_to = max(self._given_to, end)
            due.append(WordFrame(word.text, min(word.start, end), end, self._rate))
        return due

    def _put(self, text: str, start: int, end: int) -> None:
        start = max(start, self._cursor)
        self._cursor = max(start, end)
        self._placed.append(_Placed(text, start, self._cursor))

    def _spread(self, words: list[str], start: int, end: int) -> None:
        """Place ``words`` from ``start`` to ``end``, each by its length."""
        total = sum(len(word) + 1 for word in words)
        done = 0
        for word in words:
            first = start + (end - start) * done // total
            done += len(word) + 1
            self._put(word, first, start + (end - start) * done // total)

    def _match(self, key: str, start: int, end: int) -> None:
        near = min(NEAR_WORDS, len(self._waiting))
        found = next((index for index in range(near) if _key(self._waiting[index]) == key), None)
        if found is None:
            self._unmatched.append((start, end))
            if len(self._unmatched) > NEAR_WORDS and self._waiting:
                self._put(self._waiting.popleft(), *self._unmatched.pop(0))
            return
        skipped = [self._waiting.popleft() for _ in range(found)]
        if skipped:
            first = self._unmatched[0][0] if self._unmatched else self._cursor
            last = self._unmatched[-1][1] if self._unmatched else start
            self._spread(skipped, min(first, start), min(last, start))
        self._unmatched.clear()
        self._put(self._waiting.popleft(), start, end)

    def _estimate(self) -> None:
        while self._waiting:
            length = round((len(self._waiting[0]) + 1) * self._char_s * self._rate)
            if self._cursor + length > self.end:
                return
            start = self._cursor
            self._put(self._waiting.popleft(), start, start + length)
            self._ahead += 1


def _key(word: str) -> str:
    return "".join(character for character in word.casefold() if character.isalnum())
