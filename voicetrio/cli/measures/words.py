"""Word error rate, blind to how a number or a title is written.

The rate is Levenshtein's distance in words over the words of the reference.  Before that, both texts are
brought to one form: lower case, no punctuation, titles and units in full, and every number as its digits,
one word each, so that ``29340``, ``2-9-3-4-0`` and ``two nine three four zero`` are the same, and so are
``10`` and ``ten``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

__all__ = ["WordErrors", "count_word_errors", "normalise_words", "word_error_rate"]

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_VALUES = {word: value for value, word in enumerate(_SMALL)} | {
    word: 20 + 10 * index for index, word in enumerate(_TENS)
}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
_ORDINALS = {
    f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number, 'th') }": word
    for number, word in enumerate(
        "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split(), start=1
    )
}
_SAME = {
    "mr": "mister",
    "mrs": "missus",
    "dr": "doctor",
    "st": "saint",
    "ok": "okay",
    "metre": "meter",
    "metres": "meters",
    "vs": "versus",
    **_ORDINALS,
}
_SYMBOLS = {"%": " percent ", "&": " and ", "+": " plus ", "=": " equals "}


@attrs.frozen
class WordErrors:
    """How a text differs from its reference, in words."""

    substitutions: int
    deletions: int
    """Words of the reference that are missing."""
    insertions: int
    """Words that the reference does not have."""
    reference_words: int

    @property
    def errors(self) -> int:
        """All errors together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors a word of the reference; of an empty reference 0 if nothing was inserted, else 1."""
        if self.reference_words:
            return self.errors / self.reference_words
        return float(self.errors > 0)


def word_error_rate(reference: str, hypothesis: str) -> float:
    """Return the word error rate of ``hypothesis``: 0 is perfect, and it can exceed 1."""
    return count_word_errors(reference, hypothesis).rate


def count_word_errors(reference: str, hypothesis: str) -> WordErrors:
    """Return how many words of ``hypothesis`` are wrong, missing or too many, in the cheapest alignment."""
    expected, given = normalise_words(reference), normalise_words(hypothesis)
    # One row of the table at a time: each cell is (errors, substitutions, deletions, insertions).
    row = [(count, 0, 0, count) for count in range(len(given) + 1)]
    for index, word in enumerate(expected, start=1):
        above, row = row, [(index, 0, index, 0)]
        for column, other in enumerate(given, start=1):
            total, wrong, missing, extra = above[column - 1]
            if word == other:
                row.append((total, wrong, missing, extra))
                continue
            substituted = (total + 1, wrong + 1, missing, extra)
            total, wrong, missing, extra = above[column]
            deleted = (total + 1, wrong, missing + 1, extra)
            total, wrong, missing, extra = row[column - 1]
            inserted = (total + 1, wrong, missing, extra + 1)
            row.append(min(substituted, deleted, inserted))
    _, wrong, missing, extra = row[-1]
    return WordErrors(wrong, missing, extra, len(expected))


def normalise_words(text: str) -> list[str]:
    """Return the words of ``text`` in the form that is compared."""
    text = text.lower().replace("\u2019", "'")
    for symbol, word in _SYMBOLS.items():
        text = text.replace(symbol, word)
    text = re.sub(r"\$\s?(\d[\d,]*(?:\.\d+)?)", r"\1 dollars", text)
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)  # 1,000
    text = re.sub(r"(?<=\d)\.(?=\d)", " point ", text)
    text = re.sub(r"(?<=\d)\s?m\b", " meters", text)
    words = [word.replace("'", "") for word in re.findall(r"[\w']+", text)]
    return _spell_digits([_SAME.get(word, word) for word in words if word])


def _spell_digits(words: Sequence[str]) -> list[str]:
    """Replace every number, in words or in figures, by its digits."""
    spelled: list[str] = []
    index = 0
    while index < len(words):
        number, used = _read_number(words, index)
        if used:
            spelled.extend(str(number))
        elif words[index].isdecimal():
            spelled.extend(words[index])
            used = 1
        else:
            spelled.append(words[index])
            used = 1
        index += used
    return spelled


def _read_number(words: Sequence[str], start: int) -> tuple[int, int]:
    """Read one number in words at ``start``: its value and how many words it takes (0 if there is none)."""
    index = start
    if words[index] in ("a", "an") and index + 1 < len(words) and words[index + 1] in _SCALES:
        total, group = 0, 1
        index += 1
    elif words[index] in _VALUES:
        total, group = 0, _VALUES[words[index]]
        index += 1
    else:
        return 0, 0
    while index < len(words):
        word = words[index]
        joins = word == "and" and words[index - 1] in _SCALES and index + 1 < len(words)
        if joins and _fits(words[index + 1], words[index - 1], group):
            index += 1
        elif word == "hundred" and 0 < group < 100:
            group *= 100
            index += 1
        elif word in ("thousand", "million") and group:
            total, group = total + group * _SCALES[word], 0
            index += 1
        elif _fits(word, words[index - 1], group):
            group += _VALUES[word]
            index += 1
        else:
            break
    return total + group, index - start


def _fits(word: str, before: str, group: int) -> bool:
    """Tell whether ``word`` goes on with the number: a unit after tens, any below 100 after a scale."""
    if word not in _VALUES:
        return False
    if before in _TENS:
        return 0 < _VALUES[word] < 10
    return before in _SCALES or (before == "and" and group % 100 == 0)
