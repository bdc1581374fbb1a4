"""What waits, and where: the queues of many sessions, by name, for whoever watches them.

A queue makes itself known when it is made, and is forgotten with its last reference: nobody has to take it
out, and a watch keeps nothing alive.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, final
from weakref import WeakSet

import attrs

from voicetrio.values import Value

__all__ = ["Queue", "QueueStatistics", "QueueWatch", "note_queue", "watching_queues"]

MAX_NAMES = 256
"""So many names are told apart; queues of further ones are counted as ``other``."""


class Queue(Protocol):
    """Something in which items wait."""

    name: str
    """For statistics; the same in every session."""

    def waiting(self) -> tuple[int, float]:
        """Return how many items wait, and how many seconds of media they are."""
        ...


@attrs.frozen(eq=False, repr=False)
class QueueStatistics(Value):
    """The queues of one name, over all sessions that are watched."""

    name: str
    items: int
    """That wait in all of them."""
    most_items: int
    """In the fullest one."""
    longest_s: float
    """Seconds of media in the one that has most."""


@final
class QueueWatch:
    """The queues that were made while it watched; made by ``watching_queues``."""

    def __init__(self) -> None:
        self._queues: WeakSet[Queue] = WeakSet()

    def statistics(self) -> tuple[QueueStatistics, ...]:
        """Return what waits at this moment, by name."""
        found: dict[str, QueueStatistics] = {}
        for queue in self._queues:
            items, seconds = queue.waiting()
            name = queue.name if queue.name in found or len(found) < MAX_NAMES else "other"
            known = found.get(name) or QueueStatistics(name, 0, 0, 0.0)
            found[name] = QueueStatistics(
                name,
                known.items + items,
                max(known.most_items, items),
                max(known.longest_s, seconds),
            )
        return tuple(sorted(found.values(), key=lambda queue: queue.name))


_watch: ContextVar[QueueWatch | None] = ContextVar("voicetrio_queues", default=None)


@contextmanager
def watching_queues() -> Iterator[QueueWatch]:
    """Watch the queues that this task makes in the block, and tasks that are started from here."""
    watch = QueueWatch()
    token = _watch.set(watch)
    try:
        yield watch
    finally:
        _watch.reset(token)


def note_queue(queue: Queue) -> None:
    """Let whoever watches this task know of ``queue``."""
    watch = _watch.get()
    if watch is not None:
        watch._queues.add(queue)
