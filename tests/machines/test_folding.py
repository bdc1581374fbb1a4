"""One failure, one report."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voicetrio.machines.folding import Folder

A = ("ServiceError", "down")
B = ("ServiceError", "bad key")


def test_the_first_is_told_and_the_same_again_is_counted() -> None:
    folder = Folder(first_s=10)
    assert folder.offer(A, 0) == 0
    assert [folder.offer(A, now) for now in range(1, 10)] == [None] * 9
    assert folder.offer(B, 5) == 0
    assert folder.offer(A, 10) == 9
    assert folder.folded == 9


def test_a_failure_that_goes_on_is_told_ever_more_rarely() -> None:
    folder = Folder(first_s=10, max_s=40)
    told = [now for now in range(301) if folder.offer(A, now) is not None]
    assert told == [0, 10, 30, 70, 110, 150, 190, 230, 270]


def test_a_failure_that_stayed_away_is_new() -> None:
    folder = Folder(first_s=10)
    folder.offer(A, 0)
    assert folder.offer(A, 25) == 0
    assert folder.offer(A, 26) is None


def test_what_is_remembered_is_bounded() -> None:
    folder = Folder(max_kinds=3)
    for number in range(100):
        folder.offer(("E", str(number)), 0)
    assert len(folder._kinds) == 3
    assert folder.offer(("E", "99"), 1) is None
    assert folder.offer(("E", "0"), 1) == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 100)), max_size=80))
def test_every_failure_is_told_or_counted_and_counts_are_told_at_most_once(
    steps: list[tuple[str, float]],
) -> None:
    folder = Folder()
    now, told, counted = 0.0, 0, 0
    for text, pause in steps:
        now += pause
        count = folder.offer(("E", text), now)
        if count is not None:
            told += 1
            counted += count
    assert told + folder.folded == len(steps)
    assert counted <= folder.folded
