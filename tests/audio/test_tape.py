from __future__ import annotations

import weakref

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.audio.tape import FORGOTTEN_AT_ONCE, Tape


def samples(start: int, stop: int) -> np.ndarray:
    return np.arange(start, stop, dtype=np.int64).astype(np.int16)


def tape(*sizes: int) -> Tape:
    made = Tape()
    for size in sizes:
        made.append(samples(made.end, made.end + size))
    return made


def test_it_is_read_across_its_chunks():
    made = tape(3, 0, 4, 5)
    assert (made.start, made.end) == (0, 12)
    assert made.read(2, 6).tolist() == [2, 3, 4, 5, 6, 7]
    assert made.read(10, 99).tolist() == [10, 11]
    assert made.read(12, 3).size == made.read(5, 0).size == made.read(5, -1).size == 0


def test_a_read_within_a_chunk_is_no_copy():
    chunk = samples(0, 10)
    made = Tape()
    made.append(chunk)
    assert np.shares_memory(made.read(2, 5), chunk)


def test_what_is_forgotten_is_let_go_of_chunk_by_chunk():
    made = tape(3, 4, 5)
    made.forget(6)
    assert made.start == 3
    assert made.read(0, 5).tolist() == [3, 4]
    made.forget(99)
    assert (made.start, made.end) == (12, 12)
    made.append(samples(12, 14))
    assert made.read(0, 99).tolist() == [12, 13]


def test_the_memory_of_what_is_forgotten_is_given_back():
    made = Tape()
    for _ in range(10 * FORGOTTEN_AT_ONCE):
        made.append(np.zeros(10, np.int16))
        made.forget(made.end - 20)
    assert len(made._chunks) <= FORGOTTEN_AT_ONCE + 2


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 200)), max_size=90),
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=5),
)
def test_it_is_a_stretch_of_the_whole(steps, reads):
    made, forgotten = Tape(), 0
    for size, before in steps:
        made.append(samples(made.end, made.end + size))
        made.forget(before)
        forgotten = max(forgotten, min(before, made.end))
    assert made.start <= made.end
    if forgotten < made.end:
        assert made.start <= forgotten
    for start, count in reads:
        expected = samples(max(start, made.start), max(made.start, min(start + count, made.end)))
        assert made.read(start, count).tolist() == expected.tolist()


def test_what_was_forgotten_is_let_go_of_at_once():
    tape = Tape()
    chunk = np.ones(100, np.int16)
    gone = weakref.ref(chunk)
    tape.append(chunk)
    tape.append(np.ones(100, np.int16))
    del chunk
    assert gone() is not None
    tape.forget(100)
    assert gone() is None
    assert tape.read(100, 5).tolist() == [1] * 5
