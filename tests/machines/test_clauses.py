import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.machines.clauses import ClauseSettings, ClauseSplitter


def split(*pieces, settings=None):
    splitter = ClauseSplitter(settings)
    clauses = [clause for piece in pieces for clause in splitter.feed(piece)]
    return clauses + splitter.flush()


def test_sentences_are_clauses():
    assert split("Hello there. How are you? Fine!") == ["Hello there.", "How are you?", "Fine!"]


def test_the_first_clause_ends_early_at_a_comma_and_later_ones_do_not():
    text = "Once upon a time, there was a fox, who ran. It saw the hen, and sighed, and left."
    assert split(text) == [
        "Once upon a time,",
        "there was a fox, who ran.",
        "It saw the hen, and sighed, and left.",
    ]


def test_a_comma_after_few_words_does_not_end_the_first_clause():
    assert split("Well, yes, it is.") == ["Well, yes, it is."]


@pytest.mark.parametrize(
    "text",
    [
        "Pi is 3.14 or so.",
        "Mr. and Mrs. Dashwood live with Dr. J. Smith of St. Ives.",
        "See https://example.org/a.b?c=d for more.",
        "Take e.g. the U.S. Army at 5 p.m. sharp.",
        "It is No. 7 of ten.",
        "1. Open the door.",
    ],
)
def test_a_full_stop_that_ends_no_sentence(text):
    assert split(text) == [text]


def test_no_and_pm_can_end_a_sentence():
    assert split("No. I said five p.m. Then go.") == ["No.", "I said five p.m.", "Then go."]


def test_a_sentence_is_known_to_end_only_when_something_follows():
    splitter = ClauseSplitter()
    assert splitter.feed("It costs 3.") == []
    assert splitter.feed("50 dollars.") == []
    assert splitter.feed(" And") == ["It costs 3.50 dollars."]
    assert splitter.flush() == ["And"]


def test_quotes_and_brackets_close_with_their_sentence():
    assert split('He said "go." Then (he left.) Fine.') == ['He said "go."', "Then (he left.)", "Fine."]


def test_a_line_break_ends_a_clause():
    assert split("Things:\n- one\n- two\n") == ["Things:", "- one", "- two"]


def test_a_long_sentence_is_cut_at_its_last_comma_or_space():
    settings = ClauseSettings(first_max_chars=20, max_chars=30, first_min_words=9)
    clauses = split("aaaa bbbb, cccc dddd eeee ffff gggg hhhh iiii jjjj kkkk.", settings=settings)
    assert clauses == ["aaaa bbbb,", "cccc dddd eeee ffff gggg hhhh", "iiii jjjj kkkk."]


def test_pieces_of_any_size_give_the_same_clauses():
    text = "Once upon a time, a fox lived near St. Ives. It had 3.5 hens! Did it? No. 7 did."
    assert split(*text) == split(text)


def test_a_splitter_starts_anew_after_a_flush():
    splitter = ClauseSplitter()
    splitter.feed("Hello there. And")
    splitter.flush()
    assert splitter.feed("Once upon a time, there") == ["Once upon a time,"]


word = st.one_of(
    st.sampled_from(
        ["Mr.", "3.14", "e.g.", "No.", "so,", "end.", "what?", "- ", "\n", "\u2014", "p.m.", "I."]
    ),
    st.text(alphabet="abcAB.,!?;:'\" \n", max_size=12),
)


@given(st.lists(word, max_size=60).map(" ".join), st.lists(st.integers(1, 9), max_size=40))
def test_the_clauses_joined_by_single_spaces_are_the_text_and_bounded(text, sizes):
    settings = ClauseSettings(first_max_chars=20, max_chars=50)
    splitter = ClauseSplitter(settings)
    clauses, at = [], 0
    for size in sizes:
        clauses += splitter.feed(text[at : at + size])
        at += size
    clauses += splitter.feed(text[at:])
    clauses += splitter.flush()
    assert " ".join(clauses) == " ".join(text.split())
    assert all(clause and clause == clause.strip() for clause in clauses)
    longest = max(map(len, text.split()), default=0)
    assert all(len(clause) <= max(50, longest) for clause in clauses)


@pytest.mark.parametrize("text", ["...", "— — —", "?! ?!"])
def test_what_has_no_letter_is_left_to_the_end(text):
    splitter = ClauseSplitter()
    assert splitter.feed(f"{text} ") == []
    assert splitter.flush() == [text]
    assert splitter.flush() == []


@pytest.mark.parametrize("piece", ["a ", "a, ", "1 ", ". ", "a. ", "a\n"])
def test_a_long_text_costs_linear_time(piece):
    def words_seen(count):
        splitter = Counting()
        splitter.feed(piece * count)
        splitter.flush()
        return splitter.seen

    # Eight times the text: reading the rest again for each clause would be 64 times the words.
    assert words_seen(8_000) < 12 * words_seen(1_000)


class Counting(ClauseSplitter):
    """Counts the words that it looks at."""

    seen = 0

    def _words(self, start):
        for word in super()._words(start):
            self.seen += 1
            yield word
