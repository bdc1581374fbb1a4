"""Asking one question: rounds until the answer is settled, or until more would be in vain."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import final

import attrs

from harness.question import Question, Round
from harness.sides import open_sides
from harness.verdicts import Answer, answer, is_settled

__all__ = ["Asked", "ask"]

MOST = 3
"""A noisy question gets at most so many times its rounds."""
MIN_ROUNDS = 3


@final
@attrs.frozen
class Asked:
    """A question, and what came of it."""

    question: Question
    rounds: tuple[Round, ...]
    answers: tuple[Answer, ...]
    left_out: tuple[str, ...]
    """Sides whose peer is not set up."""

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
) -> Asked:
    """Measure and judge.

    The first round only warms up.  Then each round measures every side once, in alternating order.  A noisy
    answer repeats them; what stays noisy is told as an interval and not as a number.

    Args:
        question: what is asked.
        effort: scales the number of rounds.
        say: is told what is being done.
        advance: is told how much of the question is done, from 0 to 1.

    Raises SideFailed when a side cannot be measured.
    """
    planned = max(MIN_ROUNDS, math.ceil(question.rounds * effort)) if question.rounds > 1 else 1
    most = planned * MOST if question.rounds > 1 else 1
    rounds: list[Round] = []
    answers: tuple[Answer, ...] = ()
    with open_sides(question) as sides:
        if question.rounds > 1:
            sides.ask_all(lambda side: say(f"{side}, warming up"))
        while len(rounds) < planned:
            count = len(rounds) + 1
            more = f"{count} of {planned}"
            rounds.append(
                sides.ask_all(lambda side, more=more: say(f"{side}, {more}"), backwards=count % 2 == 0)
            )
            advance(len(rounds) / planned)
            if len(rounds) == planned:
                answers = answer(question, rounds)
                if not is_settled(answers) and planned < most:
                    say("noisy: once more")
                    planned = min(most, planned * 2)
    return Asked(question, tuple(rounds), answers, sides.left_out)
