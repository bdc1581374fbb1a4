from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.services.speech_text.numbers import (
    read_digit,
    read_number,
    say_cardinal,
    say_decimal,
    say_digits,
    say_ordinal,
    say_year,
)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (10, "ten"),
        (21, "twenty one"),
        (100, "one hundred"),
        (115, "one hundred fifteen"),
        (1000, "one thousand"),
        (29340, "twenty nine thousand three hundred forty"),
        (1_000_001, "one million one"),
        (-7, "minus seven"),
        (10**15, "one " + "zero " * 14 + "zero"),
    ],
)
def test_cardinals(number, words) -> None:
    assert say_cardinal(number) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [(1, "first"), (2, "second"), (3, "third"), (12, "twelfth"), (20, "twentieth"), (21, "twenty first"),
     (100, "one hundredth"), (14, "fourteenth")],
)  # fmt: skip
def test_ordinals(number, words) -> None:
    assert say_ordinal(number) == words


@pytest.mark.parametrize(
    ("year", "words"),
    [(1999, "nineteen ninety nine"), (1905, "nineteen oh five"), (1900, "nineteen hundred"),
     (2000, "two thousand"), (2007, "two thousand seven"), (2025, "twenty twenty five")],
)  # fmt: skip
def test_years(year, words) -> None:
    assert say_year(year) == words


def test_digits_and_decimals() -> None:
    assert say_digits("2-9 3") == "two nine three"
    assert say_decimal("", "75") == "zero point seven five"
    assert say_decimal("3", "14") == "three point one four"
    assert [read_digit(word) for word in ("two", "7", "oh", "ten", "12", "x")] == [
        "2",
        "7",
        "0",
        None,
        None,
        None,
    ]


@given(st.integers(-(10**15) + 1, 10**15 - 1))
def test_what_is_said_is_read_back(number) -> None:
    words = say_cardinal(number).split()
    assert read_number(words) == (Fraction(number), len(words))


@pytest.mark.parametrize(
    ("text", "value", "used"),
    [
        ("twenty-one days", 21, 1),
        ("a hundred and five apples", 105, 4),
        ("two nine three", 2, 1),
        ("three point one four", Fraction(314, 100), 4),
        ("two million", 2_000_000, 2),
        ("2.5 million dollars", 2_500_000, 2),
        ("1,200", 1200, 1),
        ("minus six", -6, 2),
        ("five and six", 5, 1),
        ("a thousand", 1000, 2),
    ],
)
def test_numbers_are_read_from_the_beginning(text, value, used) -> None:
    assert read_number(text.split()) == (value, used)


@pytest.mark.parametrize("text", ["", "hundred", "a day", "and five", "million", "x", "-", "1.2.3"])
def test_what_is_no_number_is_not_read(text) -> None:
    assert read_number(text.split()) is None
