"""What is to be said, as a list: texts with their voice and rate, and pauses between them.

Markup of every kind (tags, SSML, inline phonemes, turns of a dialogue) becomes such a script.  A stretch
whose sound is given stands in the text as a *placeholder*: one word of private-use characters, which no rule
touches and no clause is cut in, and whose pronunciation the script holds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias, final

import attrs

from voicetrio.errors import ConfigError
from voicetrio.machines.clauses import ClauseSplitter
from voicetrio.services.speech_text.spelling import Pronunciation, SpokenWord, spell_out

__all__ = [
    "MAX_RATE",
    "MIN_RATE",
    "MarkupError",
    "Pause",
    "Placeholders",
    "Say",
    "Script",
    "clamp_rate",
    "make_pause",
    "parts_to_speak",
    "read_inline_phonemes",
]

MIN_RATE: Final = 0.25
MAX_RATE: Final = 4.0
MAX_PAUSE_S: Final = 60.0
MOST_WORDS: Final = 24
"""Spoken words that a voice is given at once, so that a worker is free again after a second or two."""

_PRIVATE_USE: Final = re.compile(r"[\ue000-\uf8ff]")
_INLINE: Final = re.compile(r"\[([^\[\]\n]{1,200})\]\(/([^/()\[\]\n]{1,400})/\)")


class MarkupError(ConfigError):
    """Markup in a text is wrong; the message says where and what is expected."""


@attrs.frozen
class Say:
    """A text in one voice."""

    text: str
    voice: str | None = None
    """None: the voice of the request."""
    rate: float = 1.0
    """Multiplies the speed of the request."""


@attrs.frozen
class Pause:
    """Silence."""

    seconds: float


Item: TypeAlias = Say | Pause


@attrs.frozen
class Script:
    """What is to be said, in order."""

    items: tuple[Item, ...]
    pronunciations: Mapping[str, Pronunciation] = attrs.field(factory=dict)
    """Of the placeholders."""

    @property
    def voices(self) -> frozenset[str]:
        """The voices that are named in it."""
        return frozenset(
            item.voice for item in self.items if isinstance(item, Say) and item.voice is not None
        )


@final
class Placeholders:
    """Makes the placeholders of one script."""

    def __init__(self) -> None:
        self.pronunciations: dict[str, Pronunciation] = {}

    @staticmethod
    def clean(text: str) -> str:
        """Return ``text`` without characters that could be taken for a placeholder."""
        return _PRIVATE_USE.sub(" ", text)

    def add(self, written: str, *, ipa: str | None = None, say: str | None = None) -> str:
        """Return the word that stands for ``written``, to be said as ``ipa``, or as the text ``say``."""
        key = f"\ue000{len(self.pronunciations)}\ue001"
        words = None if say is None else " ".join(word for each in spell_out(say) for word in each.spoken)
        self.pronunciations[key] = Pronunciation(ipa, words, " ".join(written.split()) or key)
        return key


def clamp_rate(rate: float) -> float:
    """Return the nearest rate that a voice can speak at."""
    return min(max(rate, MIN_RATE), MAX_RATE)


def make_pause(seconds: float, where: str) -> Pause:
    """Return a pause; raises MarkupError, naming ``where``, for one below 0 or above a minute."""
    if not (math.isfinite(seconds) and 0.0 <= seconds <= MAX_PAUSE_S):
        raise MarkupError(f"{where}: a pause is from 0 to {MAX_PAUSE_S:g} seconds")
    return Pause(seconds)


def read_inline_phonemes(text: str, placeholders: Placeholders) -> str:
    """Replace every ``[word](/ipa/)`` by a placeholder."""
    return _INLINE.sub(lambda match: placeholders.add(match[1], ipa=match[2]), text)


def parts_to_speak(
    text: str,
    *,
    normalise: bool = True,
    pronunciations: Mapping[str, Pronunciation] | None = None,
    is_first: bool = True,
) -> Iterator[list[SpokenWord]]:
    """Yield the words of ``text`` in the portions that a voice is given: clauses, and parts of long ones.

    The first clause is short if ``is_first``, so that its audio comes early.  A word that takes too many
    spoken words is yielded in parts, of which only the first has the written word.
    """
    splitter = ClauseSplitter()
    clauses = [*splitter.feed(text + " "), *splitter.flush()]
    if not is_first:
        clauses = _join_short(clauses)
    for clause in clauses:
        words = spell_out(clause, normalise=normalise, pronunciations=pronunciations)
        yield from _portions(words)


def _join_short(clauses: list[str]) -> list[str]:
    """Join the first clause to the second one where both together are no longer than a clause may be."""
    if len(clauses) > 1 and clauses[0].rstrip()[-1:] in ",;:" and len(clauses[0]) + len(clauses[1]) < 240:
        return [f"{clauses[0]} {clauses[1]}", *clauses[2:]]
    return clauses


def _portions(words: list[SpokenWord]) -> Iterator[list[SpokenWord]]:
    portion: list[SpokenWord] = []
    count = 0
    for word in words:
        for piece in _cut(word):
            if count + len(piece.spoken) > MOST_WORDS and portion:
                yield portion
                portion, count = [], 0
            portion.append(piece)
            count += max(1, len(piece.spoken))
            # Behind punctuation a cut is not heard.
            if count > MOST_WORDS // 2 and piece.pause and len(words) > MOST_WORDS:
                yield portion
                portion, count = [], 0
    if portion:
        yield portion


def _cut(word: SpokenWord) -> Iterator[SpokenWord]:
    if len(word.spoken) <= MOST_WORDS:
        yield word
        return
    for at in range(0, len(word.spoken), MOST_WORDS):
        spoken = word.spoken[at : at + MOST_WORDS]
        is_last = at + MOST_WORDS >= len(word.spoken)
        yield SpokenWord(word.written if not at else "", spoken, word.pause if is_last else "")
