"""How written English is said: numbers, times, money, abbreviations, symbols become words.

The rules are a table: a pattern for one written word (without the punctuation around it), and what is said
for it.  The written words are kept beside the spoken ones, so that times can be told of what was written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import attrs

from voicetrio.services.local.numbers import (
    say_cardinal,
    say_decimal,
    say_digits,
    say_ordinal,
    say_year,
)

__all__ = ["SpokenWord", "spell_out"]


@attrs.frozen
class SpokenWord:
    """One written word, and how it is said."""

    written: str
    """As it was given, with its punctuation."""
    spoken: tuple[str, ...]
    """Words without digits or symbols; empty when nothing is said."""
    pause: str
    """The punctuation after it that a voice heeds: one of ``. , ; : ! ?``, or empty."""


_ABBREVIATIONS = {
    "mr": "mister", "mrs": "missis", "ms": "miz", "dr": "doctor", "prof": "professor", "st": "saint",
    "jr": "junior", "sr": "senior", "vs": "versus", "etc": "et cetera", "approx": "approximately",
    "e.g": "for example", "i.e": "that is",
}  # fmt: skip
_SYMBOLS = {
    "&": "and", "+": "plus", "=": "equals", "%": "percent", "@": "at",
    "\N{MULTIPLICATION SIGN}": "times", "\N{DIVISION SIGN}": "divided by",
}  # fmt: skip
_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
}
_HALF_DAYS = frozenset({"am", "pm", "a.m", "p.m"})
_DOTTED = _ABBREVIATIONS.keys() | {"a.m", "p.m"}
"""After these a full stop does not end a sentence, unless it is the last."""
_SCALES = frozenset({"thousand", "million", "billion", "trillion"})
_PRONUNCIATIONS = {"voicetrio": "voice tree oh"}
"""Words that the letters do not tell."""


def _number(text: str) -> str:
    """Say the digits of a number, with its commas and its fraction if it has them."""
    whole, point, fraction = text.replace(",", "").partition(".")
    if point:
        return say_decimal(whole, fraction)
    if (len(whole) > 1 and whole.startswith("0")) or (len(whole) > 6 and "," not in text):
        return say_digits(whole)
    if len(whole) == 4 and "," not in text and 1100 <= int(whole) < 2100 and whole[1:] != "000":
        return say_year(int(whole))
    return say_cardinal(int(whole))


def _signed(match: re.Match[str]) -> str:
    return f"{'minus ' if match[1] else ''}{_number(match[2])}"


def _money(match: re.Match[str]) -> str:
    one, many, one_small, many_small = _CURRENCIES[match[1]]
    whole = int(match[2].replace(",", ""))
    cents = int((match[3] or "0").ljust(2, "0"))
    parts = []
    if whole or not cents:
        parts.append(f"{say_cardinal(whole)} {one if whole == 1 else many}")
    if cents:
        parts.append(f"{say_cardinal(cents)} {one_small if cents == 1 else many_small}")
    return " and ".join(parts)


def _time(match: re.Match[str]) -> str:
    hour, minute = int(match[1]), int(match[2])
    if minute:
        minutes = say_cardinal(minute) if minute >= 10 else f"oh {say_cardinal(minute)}"
    elif match[3]:
        minutes = ""
    else:
        minutes = "o'clock" if 0 < hour <= 12 else "hundred"
    return f"{say_cardinal(hour)} {minutes} {_half_day(match[3])}"


def _half_day(letters: str | None) -> str:
    return {"a": "ay em", "p": "pee em"}.get((letters or " ")[0].lower(), "")


def _groups(match: re.Match[str]) -> str:
    """Say digits in groups, as of a telephone number."""
    return " ".join(say_digits(group) for group in match[0].split("-"))


_RULES: Sequence[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]] = [
    (re.compile(r"([$€£])(\d[\d,]*)(?:\.(\d{1,2}))?"), _money),
    (re.compile(r"(\d{1,2}):([0-5]\d)((?:am|pm|a\.m|p\.m)\.?)?", re.IGNORECASE), _time),
    (re.compile(r"(\d{1,2})((?:am|pm|a\.m|p\.m)\.?)", re.IGNORECASE),
     lambda match: f"{say_cardinal(int(match[1]))} {_half_day(match[2])}"),
    (re.compile(r"(\d[\d,]*)(?:st|nd|rd|th)", re.IGNORECASE),
     lambda match: say_ordinal(int(match[1].replace(",", "")))),
    (re.compile(r"(-?)(\d[\d,]*(?:\.\d+)?)%"), lambda match: f"{_signed(match)} percent"),
    (re.compile(r"\d+(?:-\d+){2,}|\d{3}-\d{4}|\d(?:-\d)+"), _groups),
    (re.compile(r"([-−]?)(\d[\d,]*(?:\.\d+)?|\.\d+)"), _signed),
]  # fmt: skip

_QUOTES = "\"'\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}\N{LEFT SINGLE QUOTATION MARK}’«»"
_DASHES = ("-", "\N{EN DASH}", "\N{EM DASH}")
_OPENING = f"([{{*_{_QUOTES}"
_CLOSING = f")]}}*_{_QUOTES}"
_PAUSES = ".,;:!?…"
_DIGITS_OR_WORDS = re.compile(r"[-−]?[$€£]?\d[\d,.]*|[^\W\d_]+(?:['’][^\W\d_]+)*|" + f"[{''.join(_SYMBOLS)}]")


def spell_out(text: str) -> list[SpokenWord]:
    """Return the words of ``text`` (split at white space) with how each is said."""
    written = text.split()
    bare = [_strip(word) for word in written]
    result = []
    for index, (word, (core, pause)) in enumerate(zip(written, bare, strict=True)):
        before = bare[index - 1][0] if index else ""
        after = bare[index + 1][0].lower() if index + 1 < len(bare) else ""
        said = _say(core, before, after)
        if before[:1] in _CURRENCIES and core.lower() in _SCALES:
            said += f" {_CURRENCIES[before[0]][1]}"
        if after in _HALF_DAYS:
            said = said.replace("o'clock", "")
        if pause == "." and core.lower() in _DOTTED and after:
            pause = ""
        result.append(SpokenWord(word, tuple(said.split()), pause))
    return result


def _strip(word: str) -> tuple[str, str]:
    """Split a written word into its core and the pause after it."""
    core = word.lstrip(_OPENING).rstrip(_CLOSING + _PAUSES)
    tail = word[word.find(core) + len(core) :] if core else word
    pauses = [character for character in tail if character in _PAUSES]
    if not pauses:
        return core, "," if word in _DASHES else ""
    return core, "," if "…" in pauses or pauses.count(".") > 1 else pauses[-1]


def _say(core: str, before: str, after: str) -> str:
    """Return what is said for ``core``, which stands between two other words."""
    low = core.lower()
    if low in _ABBREVIATIONS:
        return _ABBREVIATIONS[low]
    if low in _HALF_DAYS and before[-1:].isdecimal():
        return _half_day(low)
    if core[:1] in _CURRENCIES and after in _SCALES:
        return _number(core[1:])
    for pattern, say in _RULES:
        if match := pattern.fullmatch(core):
            return say(match)
    return " ".join(_say_piece(piece) for piece in _DIGITS_OR_WORDS.findall(core))


def _say_piece(piece: str) -> str:
    """Say one piece of a word that mixes letters, digits and symbols ("B52", "and/or")."""
    low = piece.lower()
    if piece in _SYMBOLS:
        return _SYMBOLS[piece]
    if low in _PRONUNCIATIONS:
        return _PRONUNCIATIONS[low]
    if any(character.isdecimal() for character in piece):
        return " ".join(say_digits(digits) for digits in re.findall(r"\d+", piece))
    return piece.replace("’", "'")
