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

from voicetrio.values import Value

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
_MAY_END = re.compile(rf"[.!?…\n{''.join(_SOFT_ENDS)}]")
"""What a clause that is not too long ends with."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ClauseSettings(Value):
    """How long clauses are."""

    first_min_words: int = attrs.field(default=4, validator=validators.ge(1))
    """Words after which the first clause may end at a comma."""
    first_max_chars: int = attrs.field(default=80, validator=validators.ge(1))
    max_chars: int = attrs.field(default=240, validator=validators.ge(1))


@attrs.frozen(eq=False, repr=False)
class _Word(Value):
    text: str
    is_last: bool
    """Nothing is known to follow."""
    line_break: bool
    next_text: str
    end: int
    """The place behind it and its white space."""


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
        if len(self._text) <= self._bound and not _MAY_END.search(self._text):
            return []
        clauses: list[str] = []
        start = 0
        while (end := self._clause_end(start)) is not None:
            clauses.append(" ".join(self._text[start:end].split()))
            self._is_first = False
            start = end
        self._text = self._text[start:]
        return clauses

    def flush(self) -> list[str]:
        """The text has ended: return what is left."""
        clauses = self.feed("\n")
        if rest := " ".join(self._text.split()):
            clauses.append(rest)
        self._text = ""
        self._is_first = True
        return clauses

    @property
    def _bound(self) -> int:
        return self._settings.first_max_chars if self._is_first else self._settings.max_chars

    def _words(self, start: int) -> Iterator[_Word]:
        """Yield the words from ``start`` on, none that is not asked for: a long text is read once."""
        matches = _WORD.finditer(self._text, start)
        match = next(matches, None)
        while match is not None:
            following = next(matches, None)
            space = match.group(1)
            yield _Word(
                match.group().strip(),
                not space,
                "\n" in space,
                following.group().strip() if following is not None else "",
                match.end(),
            )
            match = following

    def _clause_end(self, start: int) -> int | None:
        """Return the place behind the clause that begins at ``start``, or None if it is not complete."""
        length = -1
        before = start
        soft: int | None = None
        has_letters = False
        for count, word in enumerate(self._words(start), 1):
            length += 1 + len(word.text)
            if length > self._bound and count > 1:
                return soft or before
            if word.is_last:
                return None
            before = word.end
            has_letters = has_letters or any(map(str.isalnum, word.text))
            if not has_letters:
                continue
            ends = self._ends_sentence(word, is_only=count == 1)
            if word.line_break or ends:
                return word.end
            if ends is None:
                return None
            if word.text.rstrip(_CLOSERS).endswith(_SOFT_ENDS):
                soft = word.end
                if self._is_first and count >= self._settings.first_min_words:
                    return word.end
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
