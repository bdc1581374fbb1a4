"""What a question is: sides that are measured in turn, and figures that are made of what they gave.

    def question() -> Question:
        return Question(
            name="mixing",
            asks="what does the mixer cost a tick?",
            sides=(Side("voicetrio", __file__, "mix"), Side("numpy", __file__, "floor")),
            figures=(Figure("times the floor", "x", lambda r: r["voicetrio"]["us"] / r["numpy"]["us"]),),
        )

A figure is made of one *round*, in which every side was measured once, one directly after the other: so a
ratio never compares a quiet minute with a noisy one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, final

import attrs

__all__ = ["Figure", "Question", "Round", "Side", "Target"]

FEWEST_ROUNDS = 3
"""Less effort leaves so many rounds, unless there are fewer anyway."""

Round: TypeAlias = Mapping[str, Mapping[str, float]]
"""What each side gave: by the side's name, then by the measure's."""


@final
@attrs.frozen
class Side:
    """One of those that are compared: a function in a file, measured in a process of its own."""

    name: str
    file: str
    function: str
    """Called once a round; returns numbers by name."""
    arguments: Mapping[str, Any] = attrs.field(factory=dict, kw_only=True)
    """Its keyword arguments: what JSON can carry."""
    peer: str | None = attrs.field(default=None, kw_only=True)
    """Whose environment it needs; None for our own.  Without that environment the side is left out."""
    once: bool = attrs.field(default=False, kw_only=True)
    """Measured in the first round only: what runs into a limit of its own gives the same number each time."""
    core: Literal["measured", "other", "any"] = attrs.field(default="measured", kw_only=True)
    """Where it is pinned; ``any`` is nowhere."""


@final
@attrs.frozen
class Target:
    """What a figure should be."""

    at_most: float | None = None
    at_least: float | None = None

    def __attrs_post_init__(self) -> None:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError("a target is either at most something or at least something")

    def __str__(self) -> str:
        return f"<= {self.at_most:g}" if self.at_most is not None else f">= {self.at_least:g}"


@final
@attrs.frozen
class Figure:
    """One number of the answer."""

    name: str
    unit: str
    of: Callable[[Round], float]
    """Makes it from one round.  A KeyError means that a side was left out: so is the figure."""
    target: Target | None = None


@final
@attrs.frozen(kw_only=True)
class Question:
    """One question, and how it is answered."""

    name: str
    """On the command line; the file's name without its suffix."""
    asks: str
    """The question, on one line."""
    sides: tuple[Side, ...]
    figures: tuple[Figure, ...]
    does_not_say: str
    """What nobody should read into the numbers."""
    rounds: int = 7
    """How many there are, if the machine is quiet."""
    warms_up: bool = True
    """Whether a first round is thrown away.  For what starts processes of its own it would say nothing."""
    round_s: float = 2.0
    """About how long one lasts."""
    steady: float = 0.1
    """An interval of more than this part of the median on either side is noise."""
    least_of: int = 1
    """In a round every side is measured so often, in turns, and the least of each number counts: for times
    that nothing but a disturbance makes longer."""

    def __attrs_post_init__(self) -> None:
        names = [side.name for side in self.sides]
        if len(set(names)) != len(names):
            raise ValueError(f"{self.name}: two sides have one name")
        if not self.sides or not self.figures:
            raise ValueError(f"{self.name}: a question needs a side and a figure")

    def planned_rounds(self, effort: float = 1.0) -> int:
        """Return how many rounds there are with so much effort; less effort keeps a few."""
        return max(min(self.rounds, FEWEST_ROUNDS), math.ceil(self.rounds * effort))

    def planned_s(self, effort: float = 1.0) -> float:
        """Return about how long they last, in seconds, if none has to be repeated."""
        return self.round_s * (self.planned_rounds(effort) + self.warms_up)
