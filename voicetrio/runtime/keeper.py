"""Things that live as long as a session, and are opened when they are first needed.

A service's connection outlives the reply that first needs it, so no task of the reply can own it.  The keeper
can: it opens context managers in tasks of its own nursery, gives what they yield to whoever asks, and leaves
them when its block is left.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from typing import Generic, TypeVar, final

import trio

__all__ = ["Keeper", "Kept", "Opener", "open_keeper"]

T = TypeVar("T")

_current: ContextVar[Keeper | None] = ContextVar("voicetrio_keeper", default=None)


@final
class Keeper:
    """Keeps things open; made by ``open_keeper`` only."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._leaving = trio.Event()

    @property
    def is_leaving(self) -> bool:
        """True once nothing more can be opened."""
        return self._leaving.is_set()

    def keep(self, opener: Callable[[], AbstractAsyncContextManager[T]]) -> Kept[T]:
        """Begin to open what ``opener`` makes; it stays open until the keeper's block is left."""
        kept: Kept[T] = Kept()
        self._nursery.start_soon(self._hold, opener, kept)
        return kept

    async def _hold(self, opener: Callable[[], AbstractAsyncContextManager[T]], kept: Kept[T]) -> None:
        await trio.lowlevel.checkpoint()
        try:
            async with opener() as value:
                kept._value = value
                kept._done.set()
                await self._leaving.wait()
        except Exception as error:
            if kept._done.is_set():
                raise
            kept._error = error
        finally:
            kept._done.set()


@final
class Kept(Generic[T]):
    """Something that is open, or being opened."""

    def __init__(self) -> None:
        self._value: T | None = None
        self._error: Exception | None = None
        self._done = trio.Event()

    async def get(self) -> T:
        """Wait until it is open, and return it.  Raises what opening it raised."""
        await trio.lowlevel.checkpoint()
        await self._done.wait()
        if self._error is not None:
            raise self._error
        if self._value is None:
            raise trio.ClosedResourceError("it was not opened: what would have kept it is over")
        return self._value


@asynccontextmanager
async def open_keeper() -> AsyncIterator[Keeper]:
    """Give a keeper, and let ``Opener`` in this task, and in tasks started from here, find it.

    When the block is left, what is kept is closed, side by side; when it is left by an exception, it is
    cancelled.
    """
    async with trio.open_nursery() as nursery:
        keeper = Keeper(nursery)
        token = _current.set(keeper)
        try:
            yield keeper
        finally:
            _current.reset(token)
            keeper._leaving.set()


@final
class Opener(Generic[T]):
    """Opens one thing at most once: with the session's keeper, or else for each use.

    Args:
        open: makes the context manager.
    """

    def __init__(self, open: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        self._open = open
        self._kept: Kept[T] | None = None
        self._keeper: Keeper | None = None

    def begin(self) -> None:
        """Open it now if there is a keeper and it is not open; does nothing otherwise."""
        keeper = _current.get()
        if keeper is not None and keeper is not self._keeper and not keeper.is_leaving:
            self._keeper, self._kept = keeper, keeper.keep(self._open)

    @asynccontextmanager
    async def use(self) -> AsyncIterator[T]:
        """Give it for as long as the block lasts.

        Where there is no keeper (a service that is used by itself), it is opened for this block alone.
        """
        self.begin()
        if self._kept is not None and self._keeper is not None and not self._keeper.is_leaving:
            yield await self._kept.get()
        else:
            async with self._open() as value:
                yield value
