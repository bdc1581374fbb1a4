"""How one written word is said: a table of patterns, tried from the top.

Every pattern is matched against the whole word and has no nested repetition, so that a flood of digits,
dots or at signs costs linear time.  A rule may look at the words beside its own; None means that it does not
apply.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from voicetrio.services.speech_text.lexicon import (
    CURRENCIES,
    FILE_ENDINGS,
    FRACTIONS,
    LETTERS,
    MONTH_NAMES,
    MONTHS,
    NUMBERED,
    SCALE_LETTERS,
    SCALES,
    TOP_LEVEL_DOMAINS,
    UNITS,
    UNITS_OF_ONE_CASE,
    URL_SYMBOLS,
)
from voicetrio.services.speech_text.numbers import (
    say_cardinal,
    say_decimal,
    say_digits,
    say_ordinal,
    say_year,
)

__all__ = ["RULES", "Beside", "say_letters", "say_number", "say_unit"]

MOST_DIGITS: Final = 15
"""A whole number with more digits is said digit by digit."""
_ROMAN: Final = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
_KINGS: Final = frozenset(
    "henry louis elizabeth george charles james edward william richard pius john francis napoleon".split()
)
_EMERGENCY: Final = frozenset({"911", "999", "112", "411", "211", "311", "711", "811"})
_DENOMINATORS: Final = {2: "half", 4: "quarter"}


@attrs.frozen
class Beside:
    """The words next to a word, without the punctuation around them; empty at the ends."""

    before: str
    after: str


Rule = Callable[[re.Match[str], Beside], str | None]


def say_number(text: str, *, year: bool = True) -> str:
    """Say a number given by its digits, with commas and a fraction if it has them.

    Four digits from 1100 to 2099 are a year if ``year``; a leading zero, or more than six digits without a
    comma, or more than 15, are said one by one.
    """
    whole, point, fraction = text.replace(",", "").partition(".")
    if len(whole) > MOST_DIGITS or (len(whole) > 1 and whole.startswith("0") and not point):
        digits = say_digits(whole)
        return f"{digits} point {say_digits(fraction)}" if point else digits
    if point:
        return say_decimal(whole, fraction)
    if len(whole) > 6 and "," not in text:
        return say_digits(whole)
    if year and len(whole) == 4 and "," not in text and 1100 <= int(whole) < 2100 and whole[1:] != "000":
        return say_year(int(whole))
    return say_cardinal(int(whole))


def say_letters(letters: str) -> str:
    """Spell letters one by one, by their names."""
    return " ".join(LETTERS.get(letter.lower(), letter.upper()) for letter in letters)


def say_unit(unit: str, number: str) -> str | None:
    """Return the unit behind ``number`` in words, or None if it is not a unit."""
    names = _unit(unit)
    return names and names[number.lstrip("-−") != "1"]


def _unit(unit: str) -> tuple[str, str] | None:
    """Return the singular and the plural of a unit."""
    low = unit.lower()
    return UNITS.get(unit if low in UNITS_OF_ONE_CASE and low != "ma" else low)


def _is_number(text: str) -> bool:
    return text[-1:].isdecimal() and text[:1] in "0123456789-−.+"


def _sign(text: str) -> str:
    return "minus " if text[:1] in ("-", "−") else ""


# --- what is not a number ---


def _url(match: re.Match[str], _beside: Beside) -> str | None:
    host = match[2].lower()
    if not match[1] and not host.startswith("www.") and host.rsplit(".", 1)[-1] not in TOP_LEVEL_DOMAINS:
        return None
    return _say_path(match[2] + match[3].rstrip("/"))


def _email(match: re.Match[str], _beside: Beside) -> str:
    return f"{_say_path(match[1])} at {_say_path(match[2])}"


def _file(match: re.Match[str], _beside: Beside) -> str | None:
    ending = match[2].lower()
    return _say_path(match[0]) if ending in FILE_ENDINGS else None


_PATH_PIECE: Final = re.compile(r"\d+|[^\W\d_]+|[^\w\s]|_")
_SAID_AS_WORDS: Final = frozenset(
    {"com", "org", "net", "dev", "info", "app", "zip", "wav", "tar", "log", "shop"}
)


def _say_path(text: str) -> str:
    """Say a part of an address: words, the names of the signs, letters where no word can be read."""
    said = []
    for piece in _PATH_PIECE.findall(text):
        low = piece.lower()
        if piece.isdecimal():
            said.append(say_digits(piece) if len(piece) > 4 or piece[0] == "0" else say_number(piece))
        elif piece.isalpha():
            can_be_read = low in _SAID_AS_WORDS or (
                len(piece) > 3 and any(vowel in low for vowel in "aeiouy")
            )
            short_word = len(piece) == 3 and low[1] in "aeiou" and low not in TOP_LEVEL_DOMAINS
            said.append(piece if can_be_read or short_word else say_letters(piece))
        else:
            said.append(URL_SYMBOLS.get(piece, ""))
    return " ".join(filter(None, said))


def _version(match: re.Match[str], _beside: Beside) -> str:
    numbers = " point ".join(say_number(part, year=False) for part in match[2].split("."))
    return f"{'version ' if match[1] else ''}{numbers}"


def _initials(match: re.Match[str], _beside: Beside) -> str | None:
    return say_letters(match[0].replace(".", "")) if match[0].lower() not in ("a.m", "p.m") else None


def _roman(match: re.Match[str], beside: Beside) -> str | None:
    before = beside.before.lower()
    if before not in NUMBERED and before not in _KINGS:
        return None
    values = [_ROMAN[letter] for letter in match[0]]
    number = sum(
        -value if value < next_ else value for value, next_ in zip(values, [*values[1:], 0], strict=True)
    )
    return f"the {say_ordinal(number)}" if before in _KINGS else say_cardinal(number)


def _hash(match: re.Match[str], _beside: Beside) -> str:
    if match[1].isdecimal():
        return f"number {say_number(match[1], year=False)}"
    return f"hashtag {_say_path(match[1])}"


def _plural(match: re.Match[str], _beside: Beside) -> str:
    return f"{match[1]}s"


# --- money, quantities ---


def _money(match: re.Match[str], beside: Beside) -> str | None:
    sign, symbol, whole, cents, scale = match[1], match[2], match[3], match[4], match[5]
    one, many, one_small, many_small = CURRENCIES[symbol]
    minus = _sign(sign)
    whole = whole or "0"
    if scale:
        number = say_number(f"{whole}.{cents}" if cents else whole, year=False)
        return f"{minus}{number} {SCALE_LETTERS[scale.lower()]} {many}"
    if beside.after.lower() in SCALES:
        return minus + say_number(f"{whole}.{cents}" if cents else whole, year=False)  # the scale names it
    whole = whole.replace(",", "")
    if len(whole) > MOST_DIGITS or (cents and len(cents) > 2):
        return f"{minus}{say_number(f'{whole}.{cents}' if cents else whole, year=False)} {many}"
    small = int(cents.ljust(2, "0")) if cents else 0
    parts = []
    if int(whole) or not small:
        parts.append(f"{say_cardinal(int(whole))} {one if int(whole) == 1 else many}")
    if small:
        parts.append(f"{say_cardinal(small)} {one_small if small == 1 else many_small}")
    return minus + " and ".join(parts)


def _money_behind(match: re.Match[str], _beside: Beside) -> str:
    one, many, *_ = CURRENCIES[match[2]]
    return f"{say_number(match[1], year=False)} {one if match[1] == '1' else many}"


def _quantity(match: re.Match[str], _beside: Beside) -> str | None:
    sign, number, unit = match[1], match[2], match[3]
    names = _unit(unit)
    if names is None:
        # A "B" is more often a letter ("seat 12B"), and so is a "K" behind one digit ("4K").
        is_scale = unit in ("k", "M", "bn") or (unit == "K" and len(number) > 1)
        scale = SCALE_LETTERS[unit.lower()] if is_scale else None
        return f"{_sign(sign)}{say_number(number, year=False)} {scale}" if scale else None
    return f"{_sign(sign)}{say_number(number, year=False)} {names[number != '1']}"


def _percent(match: re.Match[str], _beside: Beside) -> str:
    low = f"{say_number(match[2], year=False)} to " if match[2] else ""
    return f"{_sign(match[1])}{low}{say_number(match[3], year=False)} percent"


def _by(match: re.Match[str], _beside: Beside) -> str:
    return " by ".join(say_number(part, year=False) for part in re.split("[x×]", match[0]))


def _fold(match: re.Match[str], _beside: Beside) -> str:
    return f"{say_number(match[1], year=False)} times"


def _height(match: re.Match[str], _beside: Beside) -> str:
    return f"{say_cardinal(int(match[1]))} foot {say_cardinal(int(match[2]))}"


# --- dates and times ---


def _iso_date(match: re.Match[str], _beside: Beside) -> str | None:
    return _date(int(match[1]), int(match[2]), int(match[3]))


def _iso_time(match: re.Match[str], beside: Beside) -> str | None:
    date = _iso_date(match, beside)
    minutes = say_cardinal(int(match[5])) if match[5] >= "10" else say_digits(match[5])
    return date and f"{date} at {say_cardinal(int(match[4]))} {minutes}"


def _slash_date(match: re.Match[str], _beside: Beside) -> str | None:
    first, second, year = int(match[1]), int(match[2]), int(match[3])
    if len(match[3]) == 2:
        year += 2000 if year < 70 else 1900
    return _date(year, first, second) or _date(year, second, first)


def _dot_date(match: re.Match[str], _beside: Beside) -> str | None:
    return _date(int(match[3]), int(match[2]), int(match[1]))


def _date(year: int, month: int, day: int) -> str | None:
    if not (1 <= month <= 12 and 1 <= day <= 31 and 1000 <= year < 3000):
        return None
    return f"{MONTH_NAMES[month - 1]} {say_ordinal(day)} {say_year(year)}"


def _day(match: re.Match[str], beside: Beside) -> str | None:
    """A day beside the name of a month."""
    day = int(match[1])
    if not 1 <= day <= 31:
        return None
    if _is_month(beside.before):
        return say_ordinal(day)
    if _is_month(beside.after):
        return f"{'' if beside.before.lower() == 'the' else 'the '}{say_ordinal(day)} of"
    return None


def _is_month(word: str) -> bool:
    return word.lower() in MONTHS and word[:1].isupper()


def _decade(match: re.Match[str], _beside: Beside) -> str:
    decade = say_year(int(match[1])) if len(match[1]) == 4 else say_cardinal(int(match[1]))
    if decade.endswith("y"):
        return decade[:-1] + "ies"
    return decade + "s"


def _years(match: re.Match[str], _beside: Beside) -> str:
    return f"{say_number(match[1])} to {say_number(match[2])}"


def _time(match: re.Match[str], beside: Beside) -> str:
    hour, minute = int(match[1]), int(match[2])
    half = match[4]
    if minute:
        minutes = say_cardinal(minute) if minute >= 10 else f"oh {say_cardinal(minute)}"
    elif half or _half_day(beside.after):
        minutes = ""
    else:
        minutes = "o'clock" if 0 < hour <= 12 else "hundred"
    seconds = f"and {say_cardinal(int(match[3]))} seconds" if match[3] else ""
    return f"{say_cardinal(hour)} {minutes} {seconds} {_half_day(half)}"


def _hour(match: re.Match[str], _beside: Beside) -> str:
    return f"{say_cardinal(int(match[1]))} {_half_day(match[2])}"


def _half_day(letters: str | None) -> str:
    word = (letters or "").lower().replace(".", "")
    return {"am": "ay em", "pm": "pee em"}.get(word, "")


def _behind_a_time(_match: re.Match[str], beside: Beside) -> str | None:
    return _half_day(_match[0]) if beside.before[-1:].isdecimal() else None


# --- numbers ---


def _groups(match: re.Match[str], _beside: Beside) -> str:
    """Say digits in groups, as of a telephone number."""
    plus = "plus " if match[0].startswith("+") else ""
    return plus + " ".join(filter(None, (say_digits(group) for group in re.split(r"\D+", match[0]))))


def _address(match: re.Match[str], _beside: Beside) -> str:
    host, _, port = match[0].partition(":")
    said = " dot ".join(say_digits(part) for part in host.split("."))
    return f"{said} colon {say_digits(port)}" if port else said


def _ordinal(match: re.Match[str], _beside: Beside) -> str:
    digits = match[1].replace(",", "")
    return say_ordinal(int(digits)) if len(digits) <= MOST_DIGITS else f"{say_digits(digits)}th"


def _fraction(match: re.Match[str], beside: Beside) -> str:
    top, bottom = int(match[1]), int(match[2])
    if 0 < top < bottom <= 10 or (top == 1 and 2 <= bottom <= 100):
        name = _DENOMINATORS.get(bottom) or say_ordinal(bottom)
        many = {"half": "halves"}.get(name, f"{name}s")
        mixed = "and " if beside.before.isdecimal() else ""  # 1 1/2
        return f"{mixed}{say_cardinal(top)} {name if top == 1 else many}"
    return f"{say_cardinal(top)} over {say_cardinal(bottom)}"


def _vulgar(match: re.Match[str], _beside: Beside) -> str:
    alone, behind = FRACTIONS[match[2]]
    return f"{say_number(match[1], year=False)} {behind}" if match[1] else alone


def _range(match: re.Match[str], _beside: Beside) -> str:
    return f"{say_number(match[1], year=False)} to {say_number(match[2], year=False)}"


def _ratio(match: re.Match[str], _beside: Beside) -> str:
    return f"{say_number(match[1], year=False)} to {say_number(match[2], year=False)}"


def _power(match: re.Match[str], _beside: Beside) -> str:
    power = _sign(match[2]) + say_number(match[2].lstrip("-−"))
    return f"{say_number(match[1], year=False)} to the power of {power}"


def _scientific(match: re.Match[str], _beside: Beside) -> str:
    power = _sign(match[2]) + say_number(match[2].lstrip("-−+"), year=False)
    return f"{say_number(match[1], year=False)} times ten to the power of {power}"


def _signed(match: re.Match[str], beside: Beside) -> str:
    if match[2] in _EMERGENCY and beside.before.lower() in ("call", "dial", "calling"):
        return say_digits(match[2])
    # "1500 kg" is no year.
    year = say_unit(beside.after, match[2]) is None and beside.after.lower() not in SCALES
    return f"{_sign(match[1])}{'plus ' if match[1] == '+' else ''}{say_number(match[2], year=year)}"


_NUMBER = r"\d[\d,]*(?:\.\d+)?"
_MONEY = "".join(CURRENCIES)
_AMOUNT = r"(\d[\d,]*|(?=\.\d))(?:\.(\d+))?"
_PHONE = r"\+?\d{1,4}(?:[-.)(]+\d{2,4}){2,5}"
_HALVES = r"(?:am|pm|a\.m|p\.m)\.?"

RULES: Final[Sequence[tuple[re.Pattern[str], Rule]]] = [
    (re.compile(r"((?:https?|ftp)://)([^\s/?#]+)(\S*)", re.I), _url),
    (re.compile(r"()([a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)*\.[a-zA-Z]{2,8}(?::\d{1,5})?)((?:[/?#]\S*)?)"), _url),
    (re.compile(r"([\w.+-]+)@([\w-]+(?:\.[\w-]+)+)"), _email),
    (re.compile(r"([\w-]+(?:\.[\w-]+)*)\.([A-Za-z]\w{0,3})"), _file),
    (re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]"), _initials),
    (re.compile(r"(\d{4})-(\d{2})-(\d{2})"), _iso_date),
    (re.compile(r"(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2})(?::[\d.]+)?(?:Z|[-+]\d{2}:?\d{2})?"), _iso_time),
    (re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})"), _slash_date),
    (re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})"), _dot_date),
    (re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?"), _address),
    (re.compile(r"(v)(\d+(?:\.\d+)*)", re.I), _version),
    (re.compile(r"()(\d+(?:\.\d+){2,})"), _version),
    (re.compile(rf"(?:US|CA|AU)?([-−]?)([{_MONEY}]){_AMOUNT}([kmbt]|[mbt]n)?", re.I), _money),
    (re.compile(rf"({_NUMBER})([{_MONEY}])"), _money_behind),
    (re.compile(rf"(\d{{1,2}}):([0-5]\d)(?::([0-5]\d))?({_HALVES})?", re.I), _time),
    (re.compile(rf"(\d{{1,2}})({_HALVES})", re.I), _hour),
    (re.compile(r"(?:am|pm|a\.m|p\.m)", re.I), _behind_a_time),
    (re.compile(r"(\d{1,2})"), _day),
    (re.compile(r"(\d[\d,]*)(?:st|nd|rd|th)", re.I), _ordinal),
    (re.compile(rf"([-−+]?)(?:({_NUMBER})[-–])?({_NUMBER})%"), _percent),
    (re.compile(r"(\d{4}|\d0)['’]?s"), _decade),
    (re.compile(r"(1[1-9]\d\d|20\d\d)[-–](1[1-9]\d\d|20\d\d)"), _years),
    (re.compile(rf"{_PHONE}|\d{{3}}-\d{{4}}|\d{{5}}-\d{{4}}|\d(?:-\d){{2,}}|\d+(?:-\d+){{2,}}"), _groups),
    (re.compile(rf"({_NUMBER})[-–]({_NUMBER})"), _range),
    (re.compile(r"(\d+):(\d+)"), _ratio),
    (re.compile(r"(\d{1,3})/(\d{1,3})"), _fraction),
    (re.compile(rf"(\d*)([{''.join(FRACTIONS)}])"), _vulgar),
    (re.compile(rf"({_NUMBER})\^([-−]?\d+)"), _power),
    (re.compile(rf"({_NUMBER})[eE]([-−+]?\d{{1,3}})"), _scientific),
    (re.compile(r"\d+(?:[x×]\d+)+"), _by),
    (re.compile(rf"({_NUMBER})[x×]"), _fold),
    (re.compile(r"([4-8])'(\d{1,2})"), _height),
    (re.compile(rf"([-−]?)({_NUMBER})-?([a-zA-Zµ°][a-zA-Z²³/]{{0,4}}|°)"), _quantity),
    (re.compile(rf"([-−+]?)({_NUMBER}|\.\d+)"), _signed),
    (re.compile(r"[IVXLC]+"), _roman),
    (re.compile(r"#(\w+)"), _hash),
    (re.compile(r"([^\W\d_]+)\(s"), _plural),
]  # fmt: skip
"""A pattern for a whole word without the punctuation around it, and what says it."""
