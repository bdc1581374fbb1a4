"""Streaming text to clauses: what a voice is given, piece by piece.

A voice speaks best when it is given whole sentences, and soonest when it is given few words.  So:

1. White space counts as one space.  The clauses, joined by single spaces, are the text.
2. A clause ends after a sentence's end, or at a line break.  A full stop ends no sentence in a number, in a
   URL, after a known abbreviation, an initial, a list's number, or ``No.`` before a figure.
3. The first clause may also end after a comma, semicolon, colon or dash, once it has
   ``first_min_words``: the sooner it is spoken, the sooner the rest can be made behind it.
4. A clause longer than its bound ends at its last comma (or the like), else at its last space.  Only a single
   word that is longer than the bound makes a longer clause.
5. An end is sure only when white space follows it, so the last clause waits for ``flush``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs
from attrs import validators

__all__ = ["ClauseSettings", "ClauseSplitter"]

_ABBREVIATIONS = frozenset(
    "mr mrs ms mx dr prof rev hon st jr sr vs etc inc ltd co corp dept fig est approx min max vol pp cf al "
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun".split()
)
_SENTENCE_END = re.compile(r"[.!?…]+$")
_DOTTED = re.compile(r"^(?:[^\W\d_]\.)+$")
_LIST_NUMBER = re.compile(r"^\d+[.)]$")
_CLOSERS = "\"'\u201d\u2019)]\u00bb*_"
_OPENERS = "\"'\u201c\u2018([\u00ab*_"
_SOFT_ENDS = (",", ";", ":", "\u2014", "\u2013")
_WORD = re.compile(r"\S+(\s*)")


@attrs.frozen(kw_only=True)
class ClauseSettings:
    """How long clauses are."""

    first_min_words: int = attrs.field(default=4, validator=validators.ge(1))
    """Words after which the first clause may end at a comma."""
    first_max_chars: int = attrs.field(default=80, validator=validators.ge(1))
    max_chars: int = attrs.field(default=240, validator=validators.ge(1))


@attrs.frozen
class _Word:
    text: str
    is_last: bool
    """Nothing is known to follow."""
    line_break: bool
    next_text: str


class ClauseSplitter:
    """Cuts one stream of text into clauses."""

    def __init__(self, settings: ClauseSettings | None = None) -> None:
        self._settings = settings or ClauseSettings()
        self._text = ""
        self._is_first = True

    def feed(self, text: str) -> list[str]:
        """Take in more text; return the clauses that are complete, often none."""
        self._text += text
        if not any(map(str.isspace, text)):
            return []  # rule 5: nothing can be sure
        clauses: list[str] = []
        while (count := self._words_to_cut()) is not None:
            clauses.append(self._cut(count))
        return clauses

    def flush(self) -> list[str]:
        """The text has ended: return what is left."""
        clauses = self.feed("\n")
        if rest := " ".join(self._text.split()):
            clauses.append(rest)
        self._text = ""
        self._is_first = True
        return clauses

    def _cut(self, count: int) -> str:
        words = list(_WORD.finditer(self._text))
        clause = " ".join(match.group().strip() for match in words[:count])
        self._text = self._text[words[count - 1].end() :]
        self._is_first = False
        return clause

    def _words(self) -> Iterator[_Word]:
        matches = list(_WORD.finditer(self._text))
        for index, match in enumerate(matches):
            space = match.group(1)
            following = matches[index + 1].group().strip() if index + 1 < len(matches) else ""
            yield _Word(match.group().strip(), not space, "\n" in space, following)

    def _words_to_cut(self) -> int | None:
        """Return how many words the next clause has, or None if it is not complete."""
        bound = self._settings.first_max_chars if self._is_first else self._settings.max_chars
        length = -1
        soft: int | None = None
        has_letters = False
        for count, word in enumerate(self._words(), 1):
            length += 1 + len(word.text)
            if length > bound and count > 1:
                return soft or count - 1
            if word.is_last:
                return None
            has_letters = has_letters or any(map(str.isalnum, word.text))
            if not has_letters:
                continue
            ends = self._ends_sentence(word, is_only=count == 1)
            if word.line_break or ends:
                return count
            if ends is None:
                return None
            if word.text.rstrip(_CLOSERS).endswith(_SOFT_ENDS):
                soft = count
                if self._is_first and count >= self._settings.first_min_words:
                    return count
        return None

    def _ends_sentence(self, word: _Word, *, is_only: bool) -> bool | None:
        """Tell whether a sentence ends with ``word``; None if the next word must be seen first."""
        bare = word.text.rstrip(_CLOSERS)
        end = _SENTENCE_END.search(bare)
        if end is None:
            return False
        if end.group() != ".":
            return True
        stem = bare[:-1].lstrip(_OPENERS).lower()
        if stem in _ABBREVIATIONS or (is_only and _LIST_NUMBER.match(bare)):
            return False
        if stem == "no":
            return None if not word.next_text else not word.next_text[0].isdigit()
        if stem in ("a.m", "p.m"):
            return None if not word.next_text else word.next_text[0].isupper()
        return not _DOTTED.match(bare) or stem == "i"
