"""Shields that are not ours, and where tasks are stuck: the one module that uses trio's private names.

A stage may sleep in a shielded scope of its own that has no deadline.  When the session's ``close_by`` has
come, such a shield is broken: the scope is found from the task's cancel status, which is private.  Where a
trio version lacks the names, shields are not broken; the session then waits for them and says so.
"""

from __future__ import annotations

from collections.abc import Iterator

import trio

__all__ = ["CAN_BREAK_SHIELDS", "break_shields", "tasks_below", "where"]

CAN_BREAK_SHIELDS = hasattr(trio.lowlevel.Task, "_cancel_status")
"""Whether this version of trio has what is needed."""


def tasks_below(nursery: trio.Nursery) -> Iterator[trio.lowlevel.Task]:
    """Yield every task of ``nursery`` and of the nurseries below it."""
    for task in nursery.child_tasks:
        yield task
        for child in task.child_nurseries:
            yield from tasks_below(child)


def break_shields(task: trio.lowlevel.Task, outermost: trio.CancelScope) -> int:
    """Open the shielded scopes between ``task`` and ``outermost``; return how many there were."""
    broken = 0
    status = getattr(task, "_cancel_status", None)
    while status is not None:
        scope = getattr(status, "_scope", None)
        if scope is None or scope is outermost:
            break
        if scope.shield:
            scope.shield = False
            broken += 1
        status = getattr(status, "_parent", None)
    return broken


def where(task: trio.lowlevel.Task) -> str:
    """Return the file and line at which ``task`` waits, as far in as it is the user's code."""
    place = "not started"
    for frame, line in task.iter_await_frames():
        file = frame.f_code.co_filename
        if "/trio/" in file.replace("\\", "/") and place != "not started":
            break
        place = f"{file}:{line} in {frame.f_code.co_name}"
    return place
