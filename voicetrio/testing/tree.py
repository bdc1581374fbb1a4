"""The tasks of a run as a tree, each with the line at which it waits."""

from __future__ import annotations

from collections.abc import Iterator

import trio

from voicetrio.runtime._foreign import where
from voicetrio.testing.trace import plain_name

__all__ = ["format_task_tree", "living_tasks"]


def living_tasks(root: trio.lowlevel.Task | None = None) -> Iterator[trio.lowlevel.Task]:
    """Yield ``root`` (of the whole run, if None) and every task below it; outside of a run there is none."""
    root = root or _root()
    if root is not None:
        yield root
        for nursery in root.child_nurseries:
            for task in nursery.child_tasks:
                yield from living_tasks(task)


def format_task_tree(root: trio.lowlevel.Task | None = None) -> str:
    """Return the tree of tasks below ``root`` (of the whole run, if None), a line each.

    Each line has the task's name and where it waits.  Nurseries are shown where a task has several, or where
    their scope is shielded, cancelled, or has a deadline.
    """
    root = root or _root()
    return "(no task)" if root is None else "\n".join(_lines(root, ""))


def _root() -> trio.lowlevel.Task | None:
    return trio.lowlevel.current_root_task() if trio.lowlevel.in_trio_run() else None


def _lines(task: trio.lowlevel.Task, indent: str) -> Iterator[str]:
    yield f"{indent}{plain_name(task.name)}  {_place(task)}"
    for number, nursery in enumerate(task.child_nurseries, 1):
        marks = _marks(nursery.cancel_scope)
        inner = indent + "  "
        if marks or len(task.child_nurseries) > 1:
            yield f"{inner}nursery {number}{marks}"
            inner += "  "
        for child in sorted(nursery.child_tasks, key=lambda child: plain_name(child.name)):
            yield from _lines(child, inner)


def _place(task: trio.lowlevel.Task) -> str:
    if task.coro.cr_running:
        return "(running)"
    return f"at {where(task)}"


def _marks(scope: trio.CancelScope) -> str:
    marks = []
    if scope.shield:
        marks.append("shielded")
    if scope.cancel_called:
        marks.append("cancelled")
    elif scope.deadline < float("inf"):
        marks.append(f"until {scope.deadline:.3f}")
    return f" ({', '.join(marks)})" if marks else ""
