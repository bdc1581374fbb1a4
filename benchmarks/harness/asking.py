"""Asking one question: rounds until the answer is settled, or until more would be in vain."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import attrs

from harness.machine import describe_machine
from harness.question import Question, Round
from harness.sides import open_sides
from harness.verdicts import Answer, answer, is_settled, is_undecided

__all__ = ["Asked", "ask", "least"]

MOST = 3
"""A noisy question gets at most so many times its rounds."""
KEPT_S = 90.0
"""What is only noisy leaves so many seconds to those questions after it that have no verdict yet."""


@final
@attrs.frozen
class Asked:
    """A question, and what came of it."""

    question: Question
    rounds: tuple[Round, ...]
    answers: tuple[Answer, ...]
    machine: Mapping[str, Any]
    """What it ran on, and how busy that was before."""
    left_out: tuple[str, ...]
    """Sides whose peer is not set up."""
    took_s: float = 0.0
    """How long asking lasted."""

    @property
    def is_noisy(self) -> bool:
        """Whether some figure stayed too noisy to be a number."""
        return any(each.is_noisy for each in self.answers)


def ask(
    question: Question,
    *,
    effort: float = 1.0,
    say: Callable[[str], None] = lambda _: None,
    advance: Callable[[float], None] = lambda _: None,
    may_last: Callable[[float], bool] = lambda _: True,
) -> Asked:
    """Measure and judge.

    A first round only warms up.  Then each round measures every side once, or as often as the question wants
    the least of, in alternating order.  An answer that is noisy, or decides nothing, repeats them; what stays
    noisy is told as an interval and not as a number.

    Args:
        question: what is asked.
        effort: scales the number of rounds.
        say: is told what is being done.
        advance: is told how much of the question is done, from 0 to 1.
        may_last: is asked whether so many seconds more are left for repeating noise.

    Raises SideFailed when a side cannot be measured.
    """
    planned = question.planned_rounds(effort)
    most = planned * MOST
    rounds: list[Round] = []
    answers: tuple[Answer, ...] = ()
    machine = describe_machine()
    began = time.monotonic()
    with open_sides(question) as sides:
        if question.warms_up:
            sides.ask_all(lambda side: say(f"{side}, warming up"))
        while len(rounds) < planned:
            count = len(rounds) + 1
            more = f"{count} of {planned}"
            turns = [
                sides.ask_all(
                    lambda side, more=more: say(f"{side}, {more}"), backwards=(count + turn) % 2 == 0
                )
                for turn in range(question.least_of)
            ]
            rounds.append(least(turns))
            advance(len(rounds) / planned)
            if len(rounds) == planned:
                answers = answer(question, rounds)
                round_s = (time.monotonic() - began) / (len(rounds) + question.warms_up)
                again = _rounds_more(answers, min(most, planned * 2) - planned, round_s, may_last)
                if again:
                    say("undecided or noisy: once more")
                    planned += again
    took_s = time.monotonic() - began
    return Asked(question, tuple(rounds), answers, machine, sides.left_out, took_s)


def _rounds_more(
    answers: Sequence[Answer], most: int, round_s: float, may_last: Callable[[float], bool]
) -> int:
    """Return how many rounds more are worth their time: for a verdict as many as there is time for."""
    if is_settled(answers):
        return 0
    kept_s = 0.0 if is_undecided(answers) else KEPT_S
    fewest = 1 if is_undecided(answers) else most
    while most and not may_last(most * round_s + kept_s):
        most = most - 1 if most > fewest else 0
    return most


def least(turns: Sequence[Round]) -> Round:
    """Return the least of each number; every turn has the same sides and numbers."""
    return {
        side: {name: min(turn[side][name] for turn in turns) for name in numbers}
        for side, numbers in turns[0].items()
    }
