"""Word error rates, blind to how numbers and titles are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.cli.measures import count_word_errors, normalise_words, word_error_rate
from voicetrio.cli.measures.words import WordErrors

WORDS = st.lists(st.sampled_from("a rose is red the sea blue".split()), max_size=8).map(" ".join)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ten", "10"),
        ("two nine three four zero", "29340"),
        ("two nine three four zero", "2-9-3-4-0"),
        ("two nine three four zero", "2, 9, 3, 4, 0."),
        ("mister john dashwood", "Mr. John Dashwood"),
        ("go forward ten meters", "Go forward 10 metres."),
        ("go forward ten meters", "Go forward 10m"),
        ("ill disposed", "ill-disposed"),
        ("twenty one", "21"),
        ("one hundred and five", "105"),
        ("a hundred", "100"),
        ("two thousand three hundred and forty", "2,340"),
        ("three million", "3000000"),
        ("three point five percent", "3.5%"),
        ("five dollars", "$5"),
        ("first", "1st"),
        ("it's", "it\u2019s"),
        ("nineteen eighty four", "1984"),
    ],
)
def test_two_ways_to_write_the_same_are_the_same(one: str, other: str) -> None:
    assert normalise_words(one) == normalise_words(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("ten", "eleven"), ("twenty one", "twelve"), ("red and five", "red five"), ("a rose", "rose")],
)
def test_different_words_stay_different(one: str, other: str) -> None:
    assert normalise_words(one) != normalise_words(other)


def test_each_kind_of_error_is_counted() -> None:
    assert count_word_errors("the sea is blue", "the sea blue") == WordErrors(0, 1, 0, 4)
    assert count_word_errors("the sea is blue", "the red sea is blue") == WordErrors(0, 0, 1, 4)
    assert count_word_errors("the sea is blue", "the sea was blue") == WordErrors(1, 0, 0, 4)
    assert word_error_rate("the sea is blue", "the sea was red blue") == 0.5


def test_an_empty_reference_is_perfect_only_when_nothing_was_added() -> None:
    assert word_error_rate("", "") == 0.0
    assert word_error_rate("", "hello there") == 1.0


@given(WORDS, WORDS)
def test_the_distance_is_a_metric_and_adds_up(one: str, other: str) -> None:
    forth, back = count_word_errors(one, other), count_word_errors(other, one)
    assert forth.errors == back.errors
    assert (forth.errors == 0) == (one == other)
    assert forth.insertions - forth.deletions == len(other.split()) - len(one.split())


@given(st.integers(0, 9_999_999))
def test_figures_become_their_digits(number: int) -> None:
    assert normalise_words(str(number)) == list(str(number))
