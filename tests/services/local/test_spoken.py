from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.services.local.spoken import spell_out


def say(text: str) -> str:
    return " ".join(" ".join(word.spoken) + word.pause for word in spell_out(text) if word.spoken)


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("I have 3 cats.", "I have three cats."),
        ("You said 2 9 3 4 0.", "You said two nine three four zero."),
        ("2-9-3-4-0", "two nine three four zero"),
        ("Call 555-1234!", "Call five five five one two three four!"),
        ("0042 and 12345678", "zero zero four two and one two three four five six seven eight"),
        ("1,234 of 29340",
         "one thousand two hundred thirty four of twenty nine thousand three hundred forty"),
        ("in 1999 or 2005,", "in nineteen ninety nine or two thousand five,"),
        ("0.75 is 75%", "zero point seven five is seventy five percent"),
        ("It costs $12.50.", "It costs twelve dollars and fifty cents."),
        ("$1, $0.01, £3", "one dollar, one cent, three pounds"),
        ("$5 million", "five million dollars"),
        ("at 3:45 pm today", "at three forty five pee em today"),
        ("at 3:45pm", "at three forty five pee em"),
        ("at 10 a.m. in May", "at ten ay em in May"),
        ("3:05, 12:00 or 12:00 pm", "three oh five, twelve o'clock or twelve pee em"),
        ("I am here", "I am here"),
        ("the 21st of June", "the twenty first of June"),
        ("Mr. and Mrs. Smith met Dr. No.", "mister and missis Smith met doctor No."),
        ("salt & pepper, 2 + 2 = 4", "salt and pepper, two plus two equals four"),
        ("-5 degrees", "minus five degrees"),
        ("well-known and/or B52", "well known and or B five two"),
        ("\"Quoted\" (words)... really?", "Quoted words, really?"),
        ("wait \N{EM DASH} what", "wait what"),
        ("It\N{RIGHT SINGLE QUOTATION MARK}s fine", "It's fine"),
    ],
)  # fmt: skip
def test_written_text_is_said(text, spoken) -> None:
    assert say(text) == spoken


@given(st.text(alphabet=st.sampled_from("ab 0123456789.,:;$%-+/'\"()!?äß一"), max_size=40))
def test_every_written_word_is_kept_and_nothing_odd_is_said(text) -> None:
    words = spell_out(text)
    assert [word.written for word in words] == text.split()
    for word in words:
        assert word.pause in ("", ".", ",", ";", ":", "!", "?")
        for spoken in word.spoken:
            assert not any(character.isdecimal() or character in "$%+/" for character in spoken)
