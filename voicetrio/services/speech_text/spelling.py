"""How written English is said: numbers, dates, money, addresses, abbreviations and symbols become words.

The written words are kept beside the spoken ones, so that times can be told of what was written.  What is
said for one word is in ``rules``; here are the walk over a text, and what depends on more than one word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

import attrs

from voicetrio.services.speech_text.lexicon import (
    ABBREVIATIONS,
    CURRENCIES,
    CURRENCY_CODES,
    DOTTED,
    MONTH_NAMES,
    MONTHS,
    NEEDS_STOP,
    PRONUNCIATIONS,
    SCALES,
    SYMBOLS,
    WEEKDAYS,
)
from voicetrio.services.speech_text.numbers import say_digits
from voicetrio.services.speech_text.rules import RULES, Beside, say_letters, say_number, say_unit

__all__ = ["Pronunciation", "SpokenWord", "spell_out"]

LONGEST_WORD: Final = 24
"""Letters: a longer run is said in parts, because guessing how it is read costs more than linear time."""


@attrs.frozen
class SpokenWord:
    """One written word, and how it is said."""

    written: str
    """As it was given, with its punctuation."""
    spoken: tuple[str, ...]
    """Words without digits or symbols; empty when nothing is said."""
    pause: str
    """The punctuation after it that a voice heeds: one of ``. , ; : ! ?``, or empty."""
    ipa: str | None = None
    """How it is pronounced, when that was given: it then stands for ``spoken``."""


@attrs.frozen
class Pronunciation:
    """How a word is to be said, whatever the rules think: by phonemes, or by other words."""

    ipa: str | None = None
    say: str | None = None
    written: str | None = None
    """What stands in the text, if a placeholder stands for it; see ``script``."""


_QUOTES = "\"'`\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}\N{LEFT SINGLE QUOTATION MARK}’«»"
_DASHES = ("-", "--", "\N{EN DASH}", "\N{EM DASH}")
_OPENING = f"([{{*_{_QUOTES}"
_CLOSING = f")]}}*_{_QUOTES}"
_PAUSES = ".,;:!?…"
_PIECES = re.compile(
    rf"[-−]?[{''.join(CURRENCIES)}]?\d[\d,.]*|[^\W\d_]+(?:['’][^\W\d_]+)*|[{re.escape(''.join(SYMBOLS))}]"
)
_DASH = re.compile(r"[-–—]")
_PARTS = re.compile(r"[-/–—]+|\.{2,}|…")
_INITIALS = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]")
_MAY_END = frozenset({"a.m", "p.m", "etc", "inc", "ltd", "co", "corp", "jr", "sr"})
_GROUP = re.compile(r"\(?\d{2,4}\)?")


def spell_out(
    text: str, *, normalise: bool = True, pronunciations: Mapping[str, Pronunciation] | None = None
) -> list[SpokenWord]:
    """Return the words of ``text`` (split at white space) with how each is said; takes linear time.

    Args:
        text: any text.
        normalise: False takes the words as they are written: only digits are said, one by one, because no
            voice can say them otherwise.
        pronunciations: by the word, in lower case and without the punctuation around it; they come before
            every rule, also with ``normalise`` off.
    """
    written = text.split()
    bare = [_strip(word) for word in written]
    in_phone = _phone_numbers(written) if normalise else frozenset[int]()
    result = []
    for index, (word, (core, pause)) in enumerate(zip(written, bare, strict=True)):
        beside = Beside(
            bare[index - 1][0] if index else "", bare[index + 1][0] if index + 1 < len(bare) else ""
        )
        given = pronunciations.get(core.lower()) if pronunciations else None
        if given is not None and given.written is not None:
            word = word.replace(core, given.written)
        if given is not None and given.ipa is not None:
            result.append(SpokenWord(word, (), pause, given.ipa))
            continue
        if given is not None and given.say is not None:
            said = given.say
        elif index in in_phone:
            said = ("plus " if "+" in core else "") + say_digits(core)
        elif normalise:
            said = _say(core, beside, pause)
            if pause == "." and beside.after and not _ends_sentence(core, beside):
                pause = ""
        else:
            said = _say_pieces(core, as_written=True)
        result.append(SpokenWord(word, _speakable(said), pause))
    return result


def _strip(word: str) -> tuple[str, str]:
    """Split a written word into its core and the pause after it."""
    core = word.lstrip(_OPENING).rstrip(_CLOSING + _PAUSES)
    if word[: len(word) - len(core)].endswith(".") and core.lower() == "net":
        core = f".{core}"
    tail = word[word.find(core) + len(core) :] if core else word
    pauses = [character for character in tail if character in _PAUSES]
    if not pauses:
        return core, "," if word in _DASHES else ""
    return core, "," if "…" in pauses or pauses.count(".") > 1 else pauses[-1]


def _phone_numbers(written: list[str]) -> frozenset[int]:
    """Return the places of digits that stand in groups, as a telephone number does: "+1 (555) 123 4567"."""
    found: set[int] = set()
    start = 0
    while start < len(written):
        end = start
        while end < len(written) and (
            _GROUP.fullmatch(written[end].rstrip(_PAUSES))
            or (end == start and re.fullmatch(r"\+\d{1,3}", written[end]))
            or (end > start and re.fullmatch(r"\d{3}-\d{4}", written[end].rstrip(_PAUSES)))
        ):
            end += 1
        groups = written[start:end]
        if len(groups) > 1 and (
            groups[0][0] in "+("
            or (len(groups) == 3 and list(map(len, map(str.strip, groups)))[:2] == [3, 3])
            or re.fullmatch(r"\d{3}-\d{4}", groups[-1].rstrip(_PAUSES))
        ):
            found.update(range(start, end))
        start = max(end, start + 1)
    return frozenset(found)


def _ends_sentence(core: str, beside: Beside) -> bool:
    """Tell whether the full stop behind ``core`` ends a sentence, and not only an abbreviation."""
    low = core.lower()
    if low in ("no", "nos", "fig", "vol", "p", "pp"):
        return not (beside.after[:1].isdecimal() or beside.after == "of")
    if beside.after[:1].islower() and _unit_behind(core, beside, ".") is not None:
        return False  # "5 lbs. of sugar"
    if low in DOTTED or _INITIALS.fullmatch(core):
        return low in _MAY_END and beside.after[:1].isupper()
    return True


def _say(core: str, beside: Beside, pause: str) -> str:
    """Return what is said for ``core``, which stands between two other words."""
    low = core.lower()
    if low in PRONUNCIATIONS:
        return PRONUNCIATIONS[low]
    if (unit := _unit_behind(core, beside, pause)) is not None:
        return unit
    if (short := _abbreviation(core, low, beside, pause)) is not None:
        return short
    if (said := _by_rule(core, beside) or _span(core, beside)) is not None:
        return said
    parts = _PARTS.split(core)
    if len(parts) > 1:
        return " ".join(_say_pieces(part) for part in parts)
    return _say_pieces(core)


def _by_rule(core: str, beside: Beside) -> str | None:
    for pattern, say in RULES:
        if (match := pattern.fullmatch(core)) and (said := say(match, beside)) is not None:
            return said
    return None


def _span(core: str, beside: Beside) -> str | None:
    """Say what reaches from one thing to another: "9am-5pm", "$10-$15", "$3-5", "Mon-Fri"."""
    ends = _DASH.split(core, maxsplit=2)
    if len(ends) != 2:
        return None
    first, last = ends
    for names in (WEEKDAYS, {name: MONTH_NAMES[number - 1] for name, number in MONTHS.items()}):
        if first.lower() in names and last.lower() in names and first[0].isupper() and last[0].isupper():
            return f"{names[first.lower()]} to {names[last.lower()]}"
    is_money = first[:1] in CURRENCIES
    if not (first[:1].isdecimal() or is_money) or not (last[:1].isdecimal() or last[:1] in CURRENCIES):
        return None
    if is_money and last[:1].isdecimal():
        first, last = first[1:], first[0] + last
    said = [_by_rule(end, attrs.evolve(beside, before="")) for end in (first, last)]
    return None if None in said else " to ".join(filter(None, said))


def _abbreviation(core: str, low: str, beside: Beside, pause: str) -> str | None:
    stop = pause == "."
    near_number = beside.after[:1].isdecimal() or beside.before[-1:].isdecimal()
    if low in MONTHS and core[0].isupper() and len(low) < 5 and low != "may" and low not in ("june", "july"):
        return MONTH_NAMES[MONTHS[low] - 1] if stop or near_number else None
    if low in WEEKDAYS and core[0].isupper() and (stop or low not in ("sun", "sat", "wed", "mon")):
        return WEEKDAYS[low]
    if low == "st" and (pause or core == "St"):
        # The name of a saint follows at once.
        is_street = beside.before[:1].isupper() and (pause not in ("", ".") or not beside.after[:1].isupper())
        return "street" if is_street else "saint"
    if low == "ft" and stop and beside.after[:1].isupper():
        return "fort"
    if low in ("no", "nos") and stop and (beside.after[:1].isdecimal() or beside.after == "of"):
        return "number" if low == "no" else "numbers"
    if core == "US" and not (beside.before.isupper() and len(beside.before) > 1):
        return say_letters(core)
    if low in ("fig", "vol", "p", "pp") and stop and beside.after[:1].isdecimal():
        return {"fig": "figure", "vol": "volume", "p": "page", "pp": "pages"}[low]
    if low in ABBREVIATIONS and (stop or low not in NEEDS_STOP):
        return ABBREVIATIONS[low]
    return None


def _unit_behind(core: str, beside: Beside, pause: str) -> str | None:
    """Say a unit, a currency or a scale that stands behind its number."""
    before = beside.before
    if not before[-1:].isdecimal():
        return None
    if core.lower() == "in" and not pause:
        return None  # "at 5 in the morning"
    if core.lower() in SCALES and before.lstrip("-−")[:1] in CURRENCIES:
        return f"{core} {CURRENCIES[before.lstrip('-−')[0]][1]}"
    if core.lower() in CURRENCY_CODES and core.isupper():
        return CURRENCY_CODES[core.lower()]
    return None if before.lstrip("-−")[:1] in CURRENCIES else say_unit(core, before)


def _say_pieces(core: str, *, as_written: bool = False) -> str:
    """Say a word that mixes letters, digits and symbols ("B52"), piece by piece."""
    if core.isdecimal() and len(core) <= 2 and not as_written:
        return say_number(core)  # the 19 of "COVID-19", but not the 52 of "B52"
    pieces = _PIECES.findall(core)
    if pieces and pieces[0].isdecimal() and len(pieces[0]) <= 2 and not as_written:
        pieces[0] = say_number(pieces[0])  # "seat 12B"
    return " ".join(_say_piece(piece, as_written) for piece in pieces)


def _say_piece(piece: str, as_written: bool) -> str:
    if piece in SYMBOLS:
        return "" if as_written else SYMBOLS[piece]
    if any(character.isdecimal() for character in piece):
        return " ".join(say_digits(group) for group in re.findall(r"\d+", piece))
    if not as_written and piece.lower() in PRONUNCIATIONS:
        return PRONUNCIATIONS[piece.lower()]
    if len(piece) == 1 and piece.isupper() and piece != "I" and not as_written:
        return piece if piece == "A" else say_letters(piece)
    return piece.replace("’", "'")


def _speakable(said: str) -> tuple[str, ...]:
    """Return the words of ``said`` in plain letters: no accents, no other scripts, long runs cut."""
    words = []
    for word in said.split():
        plain = "".join(
            character
            for character in unicodedata.normalize("NFKD", word.replace("ß", "ss"))
            if character.isascii() and (character.isalpha() or character in "'-")
        ).strip("'-")
        words += [plain[at : at + LONGEST_WORD] for at in range(0, len(plain), LONGEST_WORD)]
    return tuple(words)
