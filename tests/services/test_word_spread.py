"""Word times for a voice that gives none."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.frames import AudioFrame, WordFrame
from voicetrio.services.word_spread import SECONDS_PER_CHARACTER, WordSpread

RATE = 8000
TEXTS = st.lists(st.text("abcdefgh", min_size=1, max_size=9), min_size=1, max_size=8).map(" ".join)
CLAUSES = st.lists(st.tuples(TEXTS, st.lists(st.integers(0, 9000), max_size=6)), max_size=4)


def run(clauses: list[tuple[str, list[int]]]) -> list[WordFrame | AudioFrame]:
    spread = WordSpread(RATE)
    given: list[WordFrame | AudioFrame] = []
    position = 0
    for text, sizes in clauses:
        spread.begin(text)
        for size in sizes:
            samples = np.arange(position, position + size).astype(np.int16)
            position += size
            given += spread.feed(samples)
        given += spread.finish()
    return given


@given(CLAUSES)
def test_audio_is_whole_and_words_lie_in_it_and_come_before_it(clauses: list[tuple[str, list[int]]]) -> None:
    given = run(clauses)
    words = [item for item in given if isinstance(item, WordFrame)]
    total = sum(sum(sizes) for _, sizes in clauses)
    assert [word.text for word in words] == " ".join(text for text, _ in clauses).split()
    end = last = 0
    for item in given:
        if isinstance(item, AudioFrame):
            assert item.position == end
            assert item.samples.tolist() == np.arange(end, item.end).astype(np.int16).tolist()
            end = item.end
            assert end <= last  # no audio goes past the words that were given
        else:
            assert last <= item.start <= item.end <= total
            last = item.end
    assert end == total


def test_words_and_audio_do_not_wait_for_the_clauses_end() -> None:
    spread = WordSpread(RATE)
    spread.begin("one two three")
    given = spread.feed(np.ones(round(4.5 * SECONDS_PER_CHARACTER * RATE), np.int16))
    assert [item.text for item in given if isinstance(item, WordFrame)] == ["one"]
    assert isinstance(given[-1], AudioFrame)
    assert given[-1].end == given[0].end  # type: ignore[union-attr]


def test_a_clause_corrects_the_estimate_of_the_next_one() -> None:
    spread = WordSpread(RATE)
    for text in ("aaaa bbbb", "cccc dddd"):
        spread.begin(text)
        given = spread.feed(np.ones(RATE, np.int16)) + spread.finish()
    first, second = [item for item in given if isinstance(item, WordFrame)]
    assert (first.start, first.end, second.end) == (RATE, RATE * 3 // 2, 2 * RATE)
