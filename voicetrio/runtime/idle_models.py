"""Models that are loaded when they are first wanted, and unloaded when nobody has wanted them for a while.

1. One task keeps the model: it loads when the first lease asks, lends the pool to every lease, and closes
   it when no lease was open for ``idle_s``, or when ``unload`` was called.
2. A load happens once, whatever the number of leases that wait for it; if it fails, they all fail, and the
   next lease tries again.
3. A lease that is open keeps the model loaded.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar, final

import attrs
import trio

from voicetrio.errors import ServiceError
from voicetrio.runtime.attendants import open_attendants
from voicetrio.runtime.workers import ModelPool, Runner, WorkerStatistics, open_model_pool

__all__ = ["IdleModel", "IdleModelStatistics", "open_idle_model"]

M = TypeVar("M")


@attrs.frozen
class IdleModelStatistics:
    """What has become of one model."""

    name: str
    is_loaded: bool
    leases: int
    """Open now, those that wait for the load included."""
    loads: int
    """Loads that succeeded, in all."""
    load_s: float
    """Seconds that the last load took."""
    pool: WorkerStatistics | None
    """None while the model is not loaded."""


@final
class _Load:
    """One attempt to load, and those who wait for it."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.failure: Exception | None = None


@final
class IdleModel(Generic[M]):
    """A model that can be leased.  Made by ``open_idle_model``."""

    def __init__(
        self,
        name: str,
        factory: Callable[[], M],
        *,
        size: int,
        reentrant: bool,
        idle_s: float,
        runner: Runner | None,
    ) -> None:
        self.name = name
        self._factory = factory
        self._size = size
        self._reentrant = reentrant
        self._idle_s = idle_s
        self._runner = runner
        self._pool: ModelPool[M] | None = None
        self._load = _Load()
        self._wanted = trio.Event()
        self._changed = trio.Event()
        self._leases = 0
        self._idle_since = -math.inf
        self._unload_asked = False
        self._loads = 0
        self._load_s = 0.0

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[ModelPool[M]]:
        """Lend the pool of the model, which is loaded first if it is not; it stays loaded in this block.

        Raises ServiceError when it cannot be loaded.  Cancelling the wait leaves the load to the others.
        """
        self._leases += 1
        self._change()
        try:
            while self._pool is None:
                load = self._load
                self._wanted.set()
                await load.done.wait()
                if load.failure is not None:
                    raise ServiceError(
                        f"it cannot be loaded: {load.failure}", service=self.name
                    ) from load.failure
            yield self._pool
        finally:
            self._leases -= 1
            self._idle_since = trio.current_time()
            self._change()

    def unload(self) -> bool:
        """Unload the model as soon as no lease is open; return whether it was loaded."""
        self._unload_asked = self._pool is not None
        self._change()
        return self._unload_asked

    def statistics(self) -> IdleModelStatistics:
        """Return the counts so far."""
        return IdleModelStatistics(
            name=self.name,
            is_loaded=self._pool is not None,
            leases=self._leases,
            loads=self._loads,
            load_s=self._load_s,
            pool=None if self._pool is None else self._pool.statistics(),
        )

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _keep(self) -> None:
        while True:
            await self._wanted.wait()
            load = self._load
            began = trio.current_time()
            try:
                async with open_model_pool(
                    self.name, self._factory, size=self._size, reentrant=self._reentrant, runner=self._runner
                ) as pool:
                    self._load_s = trio.current_time() - began
                    self._loads += 1
                    self._pool = pool
                    self._finish(load)
                    try:
                        await self._wait_unused()
                    finally:
                        self._pool = None
                        self._unload_asked = False
                        self._load = _Load()
            except Exception as error:
                if load.done.is_set():
                    raise
                load.failure = error
                self._load = _Load()
                self._finish(load)

    def _finish(self, load: _Load) -> None:
        """Tell those who wait for ``load``.  They have what they wanted, who came in its midst among them."""
        self._wanted = trio.Event()
        load.done.set()

    async def _wait_unused(self) -> None:
        await trio.lowlevel.checkpoint()
        while True:
            changed = self._changed
            if self._leases:
                await changed.wait()
                continue
            if self._unload_asked:
                return
            with trio.move_on_at(self._idle_since + self._idle_s) as scope:
                await changed.wait()
            if scope.cancelled_caught and not self._leases:
                return


@asynccontextmanager
async def open_idle_model(
    name: str,
    factory: Callable[[], M],
    *,
    size: int = 1,
    reentrant: bool = False,
    idle_s: float = math.inf,
    runner: Runner | None = None,
) -> AsyncIterator[IdleModel[M]]:
    """Offer a model, not yet loaded, until the block is left.

    Args:
        idle_s: seconds without a lease after which it is unloaded.
        name, factory, size, reentrant, runner: as of ``open_model_pool``.

    Leaving the block closes the pool as ``open_model_pool`` does.
    """
    model = IdleModel(name, factory, size=size, reentrant=reentrant, idle_s=idle_s, runner=runner)
    async with open_attendants() as nursery:
        nursery.start_soon(model._keep, name=f"keeper of {name}")
        yield model
