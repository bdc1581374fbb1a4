from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.services.speech_text.spelling import Pronunciation, SpokenWord, spell_out


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


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("see https://example.com/docs/a-b?x=1",
         "see example dot com slash docs slash ay dash B question mark X equals one"),
        ("www.test.co.uk or example.org.", "W W W dot test dot C O dot U K or example dot org."),
        ("bob.smith@mail.example.com", "bob dot smith at mail dot example dot com"),
        ("192.168.0.1", "one nine two dot one six eight dot zero dot one"),
        ("v2.3.1 or 3.11.4", "version two point three point one or three point eleven point four"),
        ("$5M, $1.2 billion, 5€", "five million dollars, one point two billion dollars, five euros"),
        ("US$5 and 50 USD", "five dollars and fifty US dollars"),
        ("on 2025-03-03", "on March third twenty twenty five"),
        ("3/14/2024 and 31.12.1999",
         "March fourteenth twenty twenty four and December thirty first nineteen ninety nine"),
        ("March 3, 2025", "March third, twenty twenty five"),
        ("3 May 1999 and Jan. 5th", "the third of May nineteen ninety nine and January fifth"),
        ("at 14:30 or 12:30:15", "at fourteen thirty or twelve thirty and fifteen seconds"),
        ("7:00 a.m. He left.", "seven ay em. He left."),
        ("+1 (555) 123-4567", "plus one five five five one two three four five six seven"),
        ("555 123 4567", "five five five one two three four five six seven"),
        ("5 km, 10kg, 1 km, 20°C", "five kilometers, ten kilograms, one kilometer, twenty degrees Celsius"),
        ("1500 kg in 1500", "one thousand five hundred kilograms in fifteen hundred"),
        ("1/2, 3/4, 2½", "one half, three quarters, two and a half"),
        ("10-20%, 3-5, 1990-1995",
         "ten to twenty percent, three to five, nineteen ninety to nineteen ninety five"),
        ("the 1990s and 90s", "the nineteen nineties and nineties"),
        ("Chapter IV, Henry VIII", "Chapter four, Henry the eighth"),
        ("12 Main St. near St. John", "twelve Main street near saint John"),
        ("No. 5? No. Not five.", "number five? No. Not five."),
        ("C++, file(s), #1, README.md", "see plus plus, files, number one, README dot M D"),
        ("COVID-19 at 25-year-old", "COVID nineteen at twenty five year old"),
        ("10^8, 3:1, 1920x1080",
         "ten to the power of eight, three to one, one thousand nine hundred twenty by one thousand eighty"),
        ("5'10\"", "five foot ten"),
        ("café naïve Straße \N{CJK UNIFIED IDEOGRAPH-4F60}", "cafe naive Strasse"),
        ("at 5 in the morning, €25 in Paris", "at five in the morning, twenty five euros in Paris"),
        ("5 in. of rain, 5 ft 10 in, 3 lbs. of it",
         "five inches of rain, five feet ten inches, three pounds of it"),
        ("seat 12B, a 5G phone, 4K, 5M users, 20k",
         "seat twelve B, a five G phone, four K, five million users, twenty thousand"),
        ("9am-5pm, 8:00-9:30, Mon-Fri, Jan-Mar",
         "nine ay em to five pee em, eight o'clock to nine thirty, Monday to Friday, January to March"),
        ("$10-$15 or $3-5 or $.50", "ten dollars to fifteen dollars or three to five dollars or fifty cents"),
        ("2025-12-31T23:05:59Z", "December thirty first twenty twenty five at twenty three zero five"),
        ("123 Main St., Apt. 4B", "one hundred twenty three Main street, apartment four B"),
        ("Mt. Everest to Ft. Worth", "mount Everest to fort Worth"),
        ("1 1/2 cups, 5e-3, Super Bowl LIX",
         "one and one half cups, five times ten to the power of minus three, Super Bowl fifty nine"),
        ("Call 911 in the US, TELL US NOW", "Call nine one one in the U S, TELL US NOW"),
        ("10.0.0.1:80, 90210-1234, No. of items",
         "one zero dot zero dot zero dot one colon eight zero, nine zero two one zero one two three four, "
         "number of items"),
        ("9999999999999999999,", "nine " * 18 + "nine,"),
        ("99,999,999,999,999,999,999", " ".join(["nine"] * 20)),
    ],
)  # fmt: skip
def test_more_of_written_english_is_said(text, spoken) -> None:
    assert say(text) == spoken


def test_without_normalisation_only_digits_are_said_in_words() -> None:
    said = [word.spoken for word in spell_out("Dr. No has $5, or 10 km!", normalise=False)]
    assert said == [("Dr",), ("No",), ("has",), ("five",), ("or",), ("one", "zero"), ("km",)]


def test_a_given_pronunciation_comes_before_every_rule() -> None:
    given = {"5": Pronunciation(say="a handful"), "tomato": Pronunciation(ipa="təmɑtoʊ")}
    for normalise in (True, False):
        words = spell_out("5 (Tomato),", normalise=normalise, pronunciations=given)
        assert words[0].spoken == ("a", "handful")
        assert words[1] == SpokenWord("(Tomato),", (), ",", "təmɑtoʊ")


@pytest.mark.parametrize(
    "piece",
    ["1", ".", "@", "a.", "1.", "1-", "a@", "$1,", "1/", "-", "%", "(", "[a](", "1:", "1e", "$1-", "1am-"],
)
def test_a_flood_costs_linear_time(piece) -> None:
    def cost(count: int) -> float:
        texts = (piece * count, (piece + " ") * count)
        return min(sum(cpu_seconds(text) for text in texts) for _ in range(3))

    # Eight times the text: a quadratic rule would cost 64 times as much.
    assert cost(4_000) < 30 * cost(500)


def cpu_seconds(text: str) -> float:
    """Return the time of the processor, which other programs do not lengthen."""
    start = time.process_time()
    spell_out(text)
    return time.process_time() - start


def test_a_long_run_of_letters_is_said_in_parts() -> None:
    (word,) = spell_out("a" * 1000)
    assert max(map(len, word.spoken)) <= 24


@given(st.text(alphabet=st.sampled_from("ab 0123456789.,:;$%-+/'\"()!?äß一"), max_size=40))
def test_every_written_word_is_kept_and_nothing_odd_is_said(text) -> None:
    words = spell_out(text)
    assert [word.written for word in words] == text.split()
    for word in words:
        assert word.pause in ("", ".", ",", ";", ":", "!", "?")
        for spoken in word.spoken:
            assert not any(character.isdecimal() or character in "$%+/" for character in spoken)
