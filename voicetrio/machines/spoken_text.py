"""How far a voice has come in its text, and what to say again when the voice was lost.

1. Text whose audio had not begun is said again, whole.
2. Once audio went out, what follows begins with the next sentence: nothing is spoken twice.  The rest of the
   sentence that was being spoken is lost.
   Where a sentence ends is what ``clauses`` says.
3. Where the voice is, its own word times tell.  They are matched to the text in order; a word that cannot be
   found near the last one (a voice may say "five" for "5") counts as the next word of the text.
4. A voice without word times is placed by its audio's length at a speed that no voice exceeds, so that the
   place lies at or behind the true one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, final

import attrs

from voicetrio.machines.clauses import ClauseSettings, ClauseSplitter

__all__ = ["SpokenText", "TextToRecover"]

MAX_CHARS_PER_S: Final = 30.0
"""Twice the speed of ordinary speech (about 15 characters a second in English)."""
NEAR_WORDS: Final = 6
"""How many words of the text a word of the voice is looked for in."""
_WORD = re.compile(r"\S+")
_SENTENCES: Final = ClauseSettings(first_min_words=10**9, first_max_chars=10**9, max_chars=10**9)
_NO_LETTERS = re.compile(r"[\W_]+")


@attrs.frozen
class TextToRecover:
    """What to do about the text of a voice that was lost."""

    again: str
    """To be said by the next voice."""
    lost: str
    """Was not said to its end, and will not be."""


@final
class SpokenText:
    """The text that one voice was given, and the audio that it gave."""

    def __init__(self) -> None:
        self._text = ""
        self._audio_s = 0.0
        self._words: list[tuple[str, float]] = []

    @property
    def has_audio(self) -> bool:
        """True once any audio came."""
        return self._audio_s > 0.0

    def say(self, text: str) -> None:
        """Note ``text`` that the voice was given; pieces are joined by single spaces."""
        text = text.strip()
        if text:
            self._text = f"{self._text} {text}" if self._text else text

    def audio(self, seconds: float) -> None:
        """Note audio that came."""
        self._audio_s += seconds

    def words(self, words: Iterable[tuple[str, float]]) -> None:
        """Note words of the voice, each with its start in the audio in seconds, in order."""
        self._words.extend(words)

    def recover(self) -> TextToRecover:
        """The voice is lost: return what to say again; the rest is forgotten, for the next voice."""
        places = [match.span() for match in _WORD.finditer(self._text)]
        if not self.has_audio or not places:
            result = TextToRecover(self._text, "")
        else:
            reached = self._reached(places)
            start, end = places[reached]
            rest = len(_first_sentence(self._text[start:]).split())
            following = places[reached + rest][0] if reached + rest < len(places) else len(self._text)
            result = TextToRecover(self._text[following:], self._text[end:following].strip())
        self._text = ""
        self._audio_s = 0.0
        self._words.clear()
        return result

    def _reached(self, places: list[tuple[int, int]]) -> int:
        """Return which word of the text is the last one whose audio came."""
        if not self._words:
            at = self._audio_s * MAX_CHARS_PER_S
            return next((index for index, (_start, end) in enumerate(places) if end >= at), len(places) - 1)
        keys = [_key(self._text[start:end]) for start, end in places]
        index = -1
        for word, starts_s in self._words:
            if starts_s < self._audio_s:
                index = min(_find(_key(word), keys, index + 1), len(places) - 1)
        return max(index, 0)


def _first_sentence(text: str) -> str:
    splitter = ClauseSplitter(_SENTENCES)
    return (splitter.feed(text) or splitter.flush())[0]


def _key(word: str) -> str:
    return _NO_LETTERS.sub("", word).casefold()


def _find(key: str, keys: list[str], start: int) -> int:
    """Return where ``key`` stands among the next ``keys``; the next one if it is not there."""
    for index in range(start, min(len(keys), start + NEAR_WORDS)):
        if key and keys[index] == key:
            return index
    return start
