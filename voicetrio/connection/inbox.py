"""What has come and was not taken yet: one side puts and never waits, the other one waits for the next.

How much may wait is for whoever puts to decide, by what ``_held`` tells.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, Self, TypeVar

import trio

__all__ = ["Inbox"]

T = TypeVar("T")


class Inbox(Generic[T]):
    """The receiving half of something that comes; a base class.  Iterate over it, or ``receive``."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[T, float]] = deque()
        self._held = 0.0
        """The sizes of what waits, added up."""
        self._has_ended = False
        self._error: Exception | None = None
        self._changed = trio.Event()

    async def receive(self) -> T:
        """Return the next item.

        Raises trio.EndOfChannel after the last one; or, where it ended with an error, that: after everything
        that came before it.  Cancelling loses nothing.
        """
        await trio.lowlevel.checkpoint()
        while not self._waiting:
            if self._error is not None:
                raise self._error
            if self._has_ended:
                raise trio.EndOfChannel
            if self._changed.is_set():
                self._changed = trio.Event()
            await self._changed.wait()
        item, size = self._waiting.popleft()
        self._held = max(0.0, self._held - size)
        return item

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    # --- whoever puts ---

    def _put(self, item: T, size: float = 0.0) -> None:
        """Let ``item`` wait to be received."""
        self._waiting.append((item, size))
        self._held += size
        self._changed.set()

    def _end(self, error: Exception | None = None) -> None:
        """Nothing more will come; the first reason counts."""
        if not self._has_ended:
            self._has_ended = True
            self._error = error
        self._changed.set()

    def _discard(self) -> None:
        """Drop what waits."""
        self._waiting.clear()
        self._held = 0.0
