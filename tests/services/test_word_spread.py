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


@given(CLAUSES, st.integers(1, 7))
def test_text_that_comes_in_pieces_gives_the_same_words(
    clauses: list[tuple[str, list[int]]], piece: int
) -> None:
    spread = WordSpread(RATE)
    found: list[str] = []
    for text, sizes in clauses:
        spread.begin("")
        for at in range(0, len(text), piece):
            spread.extend(text[at : at + piece])
        for size in sizes:
            found += [
                item.text for item in spread.feed(np.ones(size, np.int16)) if isinstance(item, WordFrame)
            ]
        found += [item.text for item in spread.finish() if isinstance(item, WordFrame)]
    assert found == " ".join(text for text, _ in clauses).split()


def test_audio_waits_for_late_words_only_so_long() -> None:
    spread = WordSpread(RATE, patience_s=0.5)
    spread.begin("")
    given = spread.feed(np.ones(2 * RATE, np.int16))
    assert [item.end for item in given if isinstance(item, AudioFrame)] == [round(1.5 * RATE)]
    spread.extend("late")
    [word, audio] = spread.finish()
    assert isinstance(word, WordFrame)
    assert (word.text, word.start, word.end) == ("late", round(1.5 * RATE), 2 * RATE)
    assert isinstance(audio, AudioFrame)
    assert audio.end == 2 * RATE
