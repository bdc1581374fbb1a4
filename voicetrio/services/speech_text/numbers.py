"""English number words, both ways: what a voice says for a number, what number words mean."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

__all__ = [
    "DIGIT_WORDS",
    "read_digit",
    "read_number",
    "say_cardinal",
    "say_decimal",
    "say_digits",
    "say_ordinal",
    "say_year",
]

DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES = ("", "thousand", "million", "billion", "trillion")
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
_UNITS = {word: value for value, word in enumerate(DIGIT_WORDS + _TEENS)} | {"oh": 0, "nought": 0}
_TENS_VALUES = {word: 10 * value for value, word in enumerate(_TENS, 2)}
_SCALE_VALUES = {word: 1000**power for power, word in enumerate(_SCALES) if word}


def say_cardinal(number: int) -> str:
    """Say a whole number: ``-21`` is "minus twenty one".  From 10^15 on it is said digit by digit."""
    if number < 0:
        return f"minus {say_cardinal(-number)}"
    if number >= 1000 ** len(_SCALES):
        return say_digits(str(number))
    if number < 1000:
        return _say_below_1000(number)
    parts = []
    for power in range(len(_SCALES) - 1, -1, -1):
        group = number // 1000**power % 1000
        if group:
            parts.append(f"{_say_below_1000(group)} {_SCALES[power]}".strip())
    return " ".join(parts)


def _say_below_1000(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    words = [DIGIT_WORDS[hundreds], "hundred"] if hundreds else []
    if rest >= 20:
        words.append(_TENS[rest // 10 - 2])
        rest %= 10
    if rest >= 10:
        words.append(_TEENS[rest - 10])
    elif rest or not words:
        words.append(DIGIT_WORDS[rest])
    return " ".join(words)


def say_ordinal(number: int) -> str:
    """Say a rank: ``21`` is "twenty first"."""
    head, _, last = say_cardinal(number).rpartition(" ")
    if last in _ORDINALS:
        last = _ORDINALS[last]
    elif last.endswith("y"):
        last = last[:-1] + "ieth"
    else:
        last += "th"
    return f"{head} {last}".strip()


def say_year(year: int) -> str:
    """Say a year from 1000 to 2999: ``1905`` is "nineteen oh five"."""
    century, rest = divmod(year, 100)
    if rest == 0 and century % 10:
        return f"{say_cardinal(century)} hundred"
    if century % 10 == 0 and rest < 10:
        return say_cardinal(year)
    return f"{say_cardinal(century)} {f'oh {DIGIT_WORDS[rest]}' if rest < 10 else say_cardinal(rest)}"


def say_digits(digits: str) -> str:
    """Say digits one by one; other characters are left out."""
    return " ".join(DIGIT_WORDS[int(digit)] for digit in digits if digit.isdecimal())


def say_decimal(whole: str, fraction: str) -> str:
    """Say a decimal number that is given by its digits: ``("3", "14")`` is "three point one four"."""
    return f"{say_cardinal(int(whole or '0'))} point {say_digits(fraction)}"


def read_digit(word: str) -> str | None:
    """Return the digit that a word names ("two" and "2" are "2", "oh" is "0"), or None."""
    if len(word) == 1 and word.isdecimal():
        return str(int(word))
    value = _UNITS.get(word.lower())
    return str(value) if value is not None and value < 10 else None


def read_number(words: Sequence[str]) -> tuple[Fraction, int] | None:
    """Read the number that begins a list of lower-case words; return it and how many words it takes.

    Understands digits ("1,200", "3.5"), number words ("twenty one", "twenty-one", "a hundred and five", "two
    million", "three point one four") and a sign ("minus two").  None when no number begins there.
    """
    if words and words[0] in ("minus", "negative"):
        read = read_number(words[1:])
        return None if read is None else (-read[0], read[1] + 1)
    if words and words[0] == "a" and len(words) > 1 and (words[1] == "hundred" or words[1] in _SCALE_VALUES):
        read = _read_whole(["one", *words[1:]])
    else:
        read = _read_numeral(words) or _read_whole(words)
    if read is None:
        return None
    value, used = read
    if used + 1 < len(words) and words[used] == "point":
        digits = ""
        for word in words[used + 1 :]:
            digit = read_digit(word) if len(word) > 1 or not word.isdecimal() else word
            if digit is None:
                break
            digits += digit
        if digits:
            return value + Fraction(int(digits), 10 ** len(digits)), used + 1 + len(digits)
    return value, used


def _read_numeral(words: Sequence[str]) -> tuple[Fraction, int] | None:
    """Read digits, and a scale behind them ("2 million")."""
    if not words or (
        not words[0][:1].isdecimal() and not (words[0][:1] == "-" and words[0][1:2].isdecimal())
    ):
        return None
    try:
        value = Fraction(words[0].replace(",", ""))
    except ValueError:
        return None
    if len(words) > 1 and (scale := _SCALE_VALUES.get(words[1])):
        return value * scale, 2
    return value, 1


def _read_whole(words: Sequence[str]) -> tuple[Fraction, int] | None:
    """Read number words.  Two units in a row are two numbers: "two nine" is 2."""
    total = group = 0
    used = 0
    last = ""  # the kind of the word before: unit, tens, hundred, scale
    for position, entry in enumerate(words):
        kind = ""
        for word in entry.split("-"):
            if (word in _UNITS and last in ("", "hundred", "scale")) or (
                word in _UNITS and last == "tens" and 0 < _UNITS[word] < 10
            ):
                kind, group = "unit", group + _UNITS[word]
            elif word in _TENS_VALUES and last in ("", "hundred", "scale"):
                kind, group = "tens", group + _TENS_VALUES[word]
            elif word == "hundred" and last == "unit" and group < 100:
                kind, group = "hundred", group * 100
            elif word in _SCALE_VALUES and last in ("unit", "tens", "hundred") and group:
                kind, total, group = "scale", total + group * _SCALE_VALUES[word], 0
            elif word == "and" and last in ("hundred", "scale"):
                kind = last
            else:
                kind = ""
                break
            last = kind
        if not kind:
            break
        if entry != "and":
            used = position + 1
    return (Fraction(total + group), used) if used else None
