"""Which task held up the event loop: every step over a threshold, by the task's name.

Between two checkpoints a task has the loop for itself, and every session of the process waits.  The
instrument costs about a microsecond a step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

import attrs
import trio

__all__ = ["SlowStep", "StepWatch", "watching_steps"]

MAX_STAGES = 256
"""So many names are told apart; the steps of further ones are counted as ``other``."""


@attrs.frozen
class SlowStep:
    """The slow steps of one stage, over all sessions; times are seconds."""

    stage: str
    """The task's name without its session's: ``behaviour``, ``websocket reader``, …"""
    count: int
    total_s: float
    longest_s: float
    longest_in: str
    """The whole name of the task that took the longest."""
    longest_at: str
    """Where that task waited next, so its step ended just before: function, file and line."""


@final
class StepWatch(trio.abc.Instrument):
    """A trio instrument that counts the steps longer than ``threshold_s``; made inside of the run."""

    def __init__(self, threshold_s: float = 0.005) -> None:
        self.threshold_s = threshold_s
        # It is asked twice a step: the way there by ``trio.current_time`` is twice as long.
        self._now = trio.lowlevel.current_clock().current_time
        self._began_at = math.inf  # the step in which it is made has no beginning
        self._stages: dict[str, SlowStep] = {}
        self.count = 0
        """Of all slow steps."""

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Note the time."""
        self._began_at = self._now()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count the step if it was slow."""
        took_s = self._now() - self._began_at
        if took_s > self.threshold_s:
            self._note(task, took_s)

    def statistics(self) -> tuple[SlowStep, ...]:
        """Return the stages with slow steps, the one that took the most time first."""
        return tuple(sorted(self._stages.values(), key=lambda step: -step.total_s))

    def _note(self, task: trio.lowlevel.Task, took_s: float) -> None:
        self.count += 1
        stage = task.name.rpartition("/")[2]
        if stage not in self._stages and len(self._stages) >= MAX_STAGES:
            stage = "other"
        known = self._stages.get(stage) or SlowStep(stage, 0, 0.0, 0.0, "", "")
        is_longest = took_s > known.longest_s
        self._stages[stage] = SlowStep(
            stage=stage,
            count=known.count + 1,
            total_s=known.total_s + took_s,
            longest_s=took_s if is_longest else known.longest_s,
            longest_in=task.name if is_longest else known.longest_in,
            longest_at=_where(task) if is_longest else known.longest_at,
        )


def _where(task: trio.lowlevel.Task) -> str:
    """Name the innermost line of our own or the application's code that ``task`` waits at now."""
    place = "its end"
    for frame, line in task.iter_await_frames():
        if "/trio/" not in frame.f_code.co_filename.replace("\\", "/"):
            place = f"{frame.f_code.co_qualname} ({frame.f_code.co_filename.rpartition('/')[2]}:{line})"
    return place


@contextmanager
def watching_steps(threshold_s: float) -> Iterator[StepWatch]:
    """Watch the steps of every task of this run for as long as the block lasts."""
    watch = StepWatch(threshold_s)
    trio.lowlevel.add_instrument(watch)
    try:
        yield watch
    finally:
        trio.lowlevel.remove_instrument(watch)
