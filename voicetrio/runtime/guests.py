"""What one task does for many sessions.

A task that wakes for a moment costs a cancel scope, a deadline or a descriptor to arm, and two switches; with
a hundred sessions of a hundred frames a second that is more than the moment itself.  So a server has one
task, its *host* (see ``runtime.hosts``), that keeps the time of all playouts and reads all sockets.  A
*guest* is a callback that a host calls: in the context variables and under the name of the task that brought
it.

1. What a guest raises is raised in the task that brought it, and nowhere else.
2. A host gives way after ``STEP_S``, so that its guests together hold up the loop no longer than one may.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Final, final

import trio

__all__ = ["STEP_S", "Guest"]

STEP_S: Final = 0.002
"""After so many seconds of calls a host lets the other tasks run."""


@final
class Guest:
    """A callback of the current task, for a host to call."""

    __slots__ = ("_call", "_enter", "_over", "failure", "is_over", "name")

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._enter = contextvars.copy_context().run
        self._over = trio.Event()
        self.name = trio.lowlevel.current_task().name
        """Of the task that it speaks for; slow steps are put down to it."""
        self.failure: Exception | None = None
        """What it raised; it is not called any more."""
        self.is_over = False
        """It is not called any more."""

    def visit(self, host: trio.lowlevel.Task) -> None:
        """Call it, in a step of ``host``."""
        if self.is_over:
            return
        host.name = self.name
        try:
            self._enter(self._call)
        except Exception as error:
            self.failure = error
            self.leave()

    def leave(self) -> None:
        """Be called no more."""
        self.is_over = True
        self._call = _nothing  # what it belongs to may go: a host can hold the guest for longer
        self._over.set()

    async def wait_over(self) -> None:
        """Wait until it is called no more; raise what it raised."""
        await self._over.wait()
        if self.failure is not None:
            raise self.failure


def _nothing() -> None:
    """Do nothing."""
