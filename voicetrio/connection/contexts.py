"""Contexts: many pieces of work beside each other on one connection.

A reply leases a context; what the service sends for it goes to the context's own buffer.

1. The connection's reader never waits on a consumer.  A buffer is bounded in seconds of media, and one that
   overflows fails its context only.
2. Releasing is synchronous: the service is told to cancel by a message that is queued, and whatever still
   comes for the context is dropped.  Until the service confirms, or ``linger_s`` has passed, the released
   context counts as open there.
3. A context belongs to one stream.  When that is lost, the context fails with ConnectionLost; ``recovery``
   knows what to say again.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Generic, TypeVar, final

import attrs
import trio

from voicetrio.connection.connection import Connection
from voicetrio.connection.faults import ConnectionLost
from voicetrio.connection.inbox import Inbox
from voicetrio.connection.websocket.socket import Message
from voicetrio.connection.wire import Wire
from voicetrio.errors import ConfigError, ServiceError

__all__ = ["Context", "Contexts", "ContextsStatistics"]

T = TypeVar("T")
MAX_TOMBSTONES = 4096


@attrs.frozen(kw_only=True)
class ContextsStatistics:
    """Counts of the contexts of one connection."""

    open: int
    released: int
    """Contexts that were released and that the service has not confirmed."""
    leased: int
    """In all."""
    late_items: int
    """What came for a context that was released."""
    unknown_items: int
    """What came for a context that never was."""
    overflows: int


@final
class Context(Inbox[T]):
    """One piece of work; made by ``Contexts.lease`` only.  Iterate over it for what the service sends.

    ``receive`` raises ConnectionLost or another ServiceError when the work failed.
    """

    def __init__(self, owner: Contexts[T], name: str, wire: Wire) -> None:
        super().__init__()
        self.id = name
        """What the service calls it."""
        self.stream = wire.number
        """The number of the stream that it belongs to."""
        self._owner = owner
        self._wire = wire
        self._is_released = False

    @property
    def is_finished(self) -> bool:
        """True when nothing more will come for it."""
        return self._has_ended

    @property
    def buffered_s(self) -> float:
        """Seconds of media that wait to be received."""
        return self._held

    async def send(self, message: Message) -> None:
        """Queue ``message`` on the context's own stream; see ``Connection.send``.

        Raises ConnectionLost when that is over, and what the service said against the context.
        """
        if self._error is not None:
            raise self._error
        await self._owner._connection.send(message, stream=self.stream)

    def release(self) -> None:
        """Need it no more; synchronous, and may be called again."""
        if not self._is_released:
            self._is_released = True
            self._discard()
            self._owner._release(self)
            self._wire.release()
            self._end(trio.ClosedResourceError("the context was released"))


@final
class Contexts(Generic[T]):
    """The contexts of one connection.  ``deliver``, ``finish`` and ``fail`` are for its ``on_message``.

    Args:
        connection: whose messages they share.
        max_open: how many the service allows at once.
        buffer_s: seconds of media that one context may buffer.
        cancel: the message that cancels a context, by its id; None if the service has none.
        linger_s: how long a released context may go unconfirmed before its place is given away.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        max_open: int = 8,
        buffer_s: float = 180.0,
        cancel: Callable[[str], Message] | None = None,
        linger_s: float = 2.0,
    ) -> None:
        if max_open < 1:
            raise ConfigError(f"max_open must be at least 1, not {max_open}")
        self._connection = connection
        self._max_open = max_open
        self._buffer_s = buffer_s
        self._cancel = cancel
        self._linger_s = linger_s
        self._open: dict[str, Context[T]] = {}
        self._tombstones: dict[str, tuple[int, float]] = {}
        self._changed = trio.Event()
        self._leased = self._late = self._unknown = self._overflows = 0
        connection.on_lost(self._lost)

    # --- the one who has work ---

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[Context[T]]:
        """Wait for a stream and a free place, give a context, and release it when the block is left.

        Raises what ``Connection.wait_usable`` raises.
        """
        context = await self._lease()
        try:
            yield context
        finally:
            context.release()

    async def _lease(self) -> Context[T]:
        while True:
            await self._connection.wait_usable()
            free_at = self._free_at()
            if free_at <= trio.current_time():
                wire = self._connection._lease()
                if wire is not None:
                    break
                continue
            self._changed = trio.Event() if self._changed.is_set() else self._changed
            with trio.CancelScope(deadline=free_at):
                await self._changed.wait()
        self._leased += 1
        context: Context[T] = Context(self, f"{self._connection.name}-{wire.number}-{self._leased}", wire)
        self._open[context.id] = context
        return context

    def _free_at(self) -> float:
        """When a place is free on the current stream, as far as the clock alone decides it."""
        stream = self._connection.stream
        taken = sum(context.stream == stream and not context.is_finished for context in self._open.values())
        lingering = sorted(until for number, until in self._tombstones.values() if number == stream)
        excess = taken + len(lingering) - self._max_open
        if excess < 0:
            return -math.inf
        return lingering[excess] if excess < len(lingering) else math.inf

    # --- the reader ---

    def deliver(self, name: str, item: T, seconds: float = 0.0) -> bool:
        """Give ``item`` (``seconds`` of media) to the context; False if nobody wants it any more.

        Never waits.
        """
        context = self._open.get(name)
        if context is None or context.is_finished:
            is_late = context is not None or name in self._tombstones
            self._late += is_late
            self._unknown += not is_late
            return False
        if context.buffered_s + seconds > self._buffer_s:
            self._overflows += 1
            text = f"more than {self._buffer_s:g} s of media wait to be taken"
            context._end(ServiceError(text, service=self._connection.name, fault="ours"))
            self._tell_cancel(context)
            self._bury(context)
            return False
        context._put(item, seconds)
        return True

    def finish(self, name: str) -> None:
        """The service will send nothing more for the context."""
        context = self._open.get(name)
        if context is not None:
            context._end()
        self._tombstones.pop(name, None)
        self._notify()

    def fail(self, name: str, error: ServiceError) -> None:
        """The service said that the context failed; the others go on."""
        context = self._open.get(name)
        if context is not None:
            context._end(error)
        self._tombstones.pop(name, None)
        self._notify()

    def statistics(self) -> ContextsStatistics:
        """Return the counts so far."""
        return ContextsStatistics(
            open=len(self._open),
            released=len(self._tombstones),
            leased=self._leased,
            late_items=self._late,
            unknown_items=self._unknown,
            overflows=self._overflows,
        )

    # --- inside ---

    def _release(self, context: Context[T]) -> None:
        self._open.pop(context.id, None)
        if not context.is_finished:
            self._tell_cancel(context)
            self._bury(context)
        self._notify()

    def _tell_cancel(self, context: Context[T]) -> None:
        if self._cancel is None:
            return
        # Without room for it, the service's own end of the context comes later, and is dropped like the rest.
        with suppress(trio.WouldBlock, ServiceError, trio.ClosedResourceError):
            self._connection.send_nowait(self._cancel(context.id), stream=context.stream)

    def _bury(self, context: Context[T]) -> None:
        if not context._wire.is_open:
            return
        if len(self._tombstones) >= MAX_TOMBSTONES:
            del self._tombstones[next(iter(self._tombstones))]
        self._tombstones[context.id] = (context.stream, trio.current_time() + self._linger_s)

    def _lost(self, stream: int, lost: ConnectionLost) -> None:
        for context in self._open.values():
            if context.stream == stream:
                context._end(lost)
        for name in [name for name, (number, _until) in self._tombstones.items() if number == stream]:
            del self._tombstones[name]
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
