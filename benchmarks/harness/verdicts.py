"""Judging: a figure passes, fails, or stays undecided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, final

import attrs

from harness.question import Figure, Question, Round, Target
from harness.statistics import Estimate, estimate

__all__ = ["Answer", "Verdict", "answer", "is_settled", "is_undecided", "judge"]

Verdict: TypeAlias = Literal["pass", "fail", "undecided", "no target"]


@final
@attrs.frozen
class Answer:
    """A figure, measured."""

    figure: Figure
    estimate: Estimate
    verdict: Verdict
    is_noisy: bool
    """The interval is so wide that its middle is no number to print."""

    def __str__(self) -> str:
        value, unit = self.estimate, self.figure.unit
        if self.is_noisy:
            return f"noisy: {_short(value.low)} to {_short(value.high)} {unit}"
        return f"{_short(value.median)} {unit} ({_short(value.low)} to {_short(value.high)})"


def judge(value: Estimate, target: Target | None) -> Verdict:
    """Return the verdict: undecided when the interval straddles the target."""
    if target is None:
        return "no target"
    if target.at_most is not None:
        if value.high <= target.at_most:
            return "pass"
        return "fail" if value.low > target.at_most else "undecided"
    assert target.at_least is not None
    if value.low >= target.at_least:
        return "pass"
    return "fail" if value.high < target.at_least else "undecided"


def answer(question: Question, rounds: Sequence[Round]) -> tuple[Answer, ...]:
    """Return the question's figures; those are missing for which a side was left out."""
    answers = []
    for figure in question.figures:
        try:
            samples = [figure.of(each) for each in rounds]
        except KeyError:
            continue
        value = estimate(samples)
        noisy = value.uncertainty > question.steady
        answers.append(Answer(figure, value, judge(value, figure.target), noisy))
    return tuple(answers)


def is_undecided(answers: Sequence[Answer]) -> bool:
    """Whether a figure has a target and no verdict yet."""
    return any(each.verdict == "undecided" for each in answers)


def is_settled(answers: Sequence[Answer]) -> bool:
    """Whether more rounds would say nothing new.

    A figure with a target is settled by a verdict, however wide its interval is; one without, by a narrow
    interval.
    """
    return not is_undecided(answers) and not any(
        each.is_noisy and each.verdict == "no target" for each in answers
    )


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
