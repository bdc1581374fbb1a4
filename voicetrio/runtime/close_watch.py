"""The watch over an ending: at ``close_by`` it opens the shields that are not ours, then names who stays.

It stands beside everything of the session, in a nursery of its own, so that it outlives what it watches.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from typing import final

import trio

from voicetrio.runtime._foreign import break_shields, tasks_below, where
from voicetrio.runtime.deadlines import Deadlines

__all__ = ["LAST_STEPS_S", "CloseWatch"]

_log = logging.getLogger("voicetrio.session")

LAST_STEPS_S = 0.02
"""How long a task whose shield was broken may take to leave before it is named."""
NAMING_INTERVAL_S = 1.0
"""How often a session that cannot end says who keeps it."""


@final
class CloseWatch:
    """Watches the session ``name``, whose ``close_by`` is one of ``deadlines``."""

    def __init__(self, name: str, deadlines: Deadlines) -> None:
        self._name = name
        self._deadlines = deadlines
        self._supervisor: trio.lowlevel.Task | None = None
        self._nursery: trio.Nursery | None = None
        self._begun = False
        self._gone = trio.Event()
        self._scope = trio.CancelScope()

    async def stand_beside(self, inside: Callable[[], Awaitable[None]]) -> None:
        """Run ``inside``, the session, in this task; the watch can begin meanwhile, and ends with it."""
        self._supervisor = trio.lowlevel.current_task()
        async with trio.open_nursery() as self._nursery:
            try:
                await inside()
            finally:
                self._gone.set()
                self.stop()

    def begin(self, outer: trio.CancelScope, on_stuck: Callable[[str, str], object]) -> None:
        """Watch from now on: the session has a ``close_by``.  Idempotent.

        Args:
            outer: around all tasks of the session; a shield inside of it may keep one of them.
            on_stuck: called with the name and the place of each task that keeps the session, once.
        """
        if self._nursery is not None and not (self._begun or self._gone.is_set()):
            self._begun = True
            self._nursery.start_soon(self._watch, outer, on_stuck, name=f"{self._name}/close watch")

    def stop(self) -> None:
        """Name nobody any more."""
        self._scope.cancel()

    async def _watch(self, outer: trio.CancelScope, on_stuck: Callable[[str, str], object]) -> None:
        with self._deadlines.cleanup(math.inf) as in_time:
            await self._gone.wait()
        # It can be over in the very step in which the time is: then nobody would end this watch.
        if not in_time.cancelled_caught or self._gone.is_set():
            return
        named: set[trio.lowlevel.Task] = set()
        with self._scope:
            self._scope.shield = True
            while True:
                for task in self._tasks_inside():
                    break_shields(task, outer)
                await trio.sleep(LAST_STEPS_S)
                for task in self._tasks_inside():
                    if task not in named:
                        named.add(task)
                        place = where(task)
                        _log.warning("%s cannot end: %s is stuck at %s", self._name, task.name, place)
                        on_stuck(task.name, place)
                await trio.sleep(NAMING_INTERVAL_S)

    def _tasks_inside(self) -> list[trio.lowlevel.Task]:
        assert self._supervisor is not None
        watch = trio.lowlevel.current_task()
        nurseries = self._supervisor.child_nurseries
        found = [task for nursery in nurseries for task in tasks_below(nursery) if task is not watch]
        # trio keeps them in sets: by name, so that they are told in the same order each time.
        return sorted(found, key=lambda task: task.name)
