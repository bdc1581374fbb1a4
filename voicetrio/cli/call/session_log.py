"""What a session did, written down while it runs: its events, and how it ended."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

from voicetrio.events import Event
from voicetrio.runtime.ending import SessionEnd
from voicetrio.runtime.session import Session

__all__ = ["Census", "SessionLog", "count_left"]

SETTLE_S = 1.0
SETTLE_LOOKS = 50
THREAD_CACHE = Path(trio.__file__).parent / "_core" / "_thread_cache.py"


class SessionLog:
    """The events of one session, each with its time on trio's clock."""

    def __init__(self, on_event: Callable[[Event], object] | None = None) -> None:
        self.events: list[Event] = []
        self.end: SessionEnd | None = None
        self._on_event = on_event

    @contextmanager
    def of(self, session: Session) -> Iterator[None]:
        """Write down ``session`` until the block is left."""
        with session.hub.observed_by(self._take):
            yield

    def relative_to(self, start: float) -> tuple[tuple[float, Event], ...]:
        """Return the events with their times, counted from ``start``."""
        return tuple((event.time - start, event) for event in self.events if event.time is not None)

    def last(self, kind: type[Event]) -> Any:
        """Return the last event of ``kind``, or None."""
        return next((event for event in reversed(self.events) if isinstance(event, kind)), None)

    def _take(self, event: Event) -> None:
        self.events.append(event)
        if self._on_event is not None:
            self._on_event(event)


@attrs.frozen
class Census:
    """The tasks of this run and the threads of this process that do something."""

    tasks: int
    threads: frozenset[int]

    @classmethod
    def take(cls) -> Census:
        """Count now.  A thread that trio keeps for later and that waits for work does not count."""
        frames = sys._current_frames()
        busy = {
            ident
            for ident in (thread.ident for thread in threading.enumerate())
            if ident is not None and not (ident in frames and _is_idle(frames[ident]))
        }
        return cls(trio.lowlevel.current_statistics().tasks_living, frozenset(busy))

    def left_since(self, before: Census) -> tuple[int, int]:
        """Return how many tasks and threads there are that were not there ``before``."""
        return max(0, self.tasks - before.tasks), len(self.threads - before.threads)


async def count_left(before: Census) -> tuple[int, int]:
    """Return how many tasks and threads there are that were not there ``before``.

    A thread that has just given back its result needs a moment to go to rest: it has one.
    """
    for _ in range(SETTLE_LOOKS):
        left = Census.take().left_since(before)
        if not any(left):
            break
        await trio.sleep(SETTLE_S / SETTLE_LOOKS)
    await trio.lowlevel.checkpoint()
    return Census.take().left_since(before)


def _is_idle(frame: Any) -> bool:
    """Tell whether a thread of trio's cache waits for work: it is in the cache's own code."""
    return Path(frame.f_code.co_filename) == THREAD_CACHE
