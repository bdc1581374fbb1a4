"""How long a run may take: planned rounds are asked, those that repeat noise only if time is left."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import final

from harness.question import Question

__all__ = ["Budget"]


@final
class Budget:
    """The time of one run.

    Args:
        questions: what will be asked, in order.
        effort: scales the number of rounds.
        limit_s: how long the run should last at most, in seconds.
    """

    def __init__(self, questions: Sequence[Question], effort: float, limit_s: float) -> None:
        self._planned_s = {each.name: each.planned_s(effort) for each in questions}
        self._began = time.monotonic()
        self._limit_s = limit_s
        self._rest_s = self.planned_s

    @property
    def planned_s(self) -> float:
        """How long it takes if nothing has to be repeated."""
        return sum(self._planned_s.values())

    @property
    def longest_s(self) -> float:
        """How long it takes at most, about: repeating stops at the limit, what is planned is asked anyway."""
        return max(self.planned_s, self._limit_s)

    def begin(self, question: Question) -> None:
        """The question's time is no longer kept for it."""
        self._rest_s -= self._planned_s[question.name]

    def allows(self, more_s: float) -> bool:
        """Whether so many seconds more still leave those that the questions to come need."""
        return time.monotonic() - self._began + more_s + self._rest_s <= self._limit_s
