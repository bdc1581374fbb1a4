"""Counting what a piece of work costs, in a way that no load of the machine changes.

Counted are the calls of functions, Python's and C's, and trio's task steps: of a run with so many items and
of one with twice as many, so that setting up and closing fall out.  Unlike time, the counts come out the same
on any machine; unlike a profile of lines, they do not change with how the code is laid out.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import attrs
import trio
import trio.testing

Run = Callable[[int], Awaitable[None]]
"""Does its work for so many items."""


@attrs.frozen
class Cost:
    """What one item costs."""

    calls: float
    """Function calls."""
    steps: float
    """Task steps of trio."""


class _Steps(trio.abc.Instrument):
    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1


def cost_of_an_item(run: Run, items: int = 100) -> Cost:
    """Return what one item more costs ``run``, under a clock that jumps."""
    _count(run, items)  # what is imported, compiled or cached on the way is no item's cost
    fewer, more = _count(run, items), _count(run, 2 * items)
    return Cost((more.calls - fewer.calls) / items, (more.steps - fewer.steps) / items)


def _count(run: Run, items: int) -> Cost:
    calls = 0

    def count(_frame: FrameType, event: str, _what: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    steps = _Steps()
    clock = trio.testing.MockClock(autojump_threshold=0)
    gc.collect()
    gc.disable()  # whoever is called when garbage is collected is nobody's cost
    sys.setprofile(count)
    try:
        trio.run(run, items, clock=clock, instruments=[steps])
    finally:
        sys.setprofile(None)
        gc.enable()
    return Cost(calls, steps.count)
