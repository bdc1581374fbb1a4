"""Telling events: ``emit`` for whoever sees something, subscriptions for whoever wants to know.

Telling is synchronous and never waits, so it can stand anywhere, also in a stage that runs without a
session.  An observer's inbox is bounded; what does not fit is dropped and counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Self, final

import attrs
import trio

from voicetrio.events import Event
from voicetrio.values import Value

__all__ = ["EventHub", "HubStatistics", "Subscription", "emit", "emitting_to", "watching_hubs"]

_current_hub: ContextVar[EventHub | None] = ContextVar("voicetrio_event_hub", default=None)
_watcher: ContextVar[Callable[[Event], object] | None] = ContextVar("voicetrio_hub_watcher", default=None)


def emit(event: Event) -> None:
    """Tell ``event`` to the observers of the session (or the run) that this task belongs to.

    Never blocks and never raises for want of an observer: without one the event is gone.
    """
    hub = _current_hub.get()
    if hub is not None:
        hub.tell(event)


@contextmanager
def emitting_to(hub: EventHub) -> Iterator[None]:
    """Let ``emit`` in this task, and in tasks started from here, tell ``hub``."""
    token = _current_hub.set(hub)
    try:
        yield
    finally:
        _current_hub.reset(token)


@contextmanager
def watching_hubs(callback: Callable[[Event], object]) -> Iterator[None]:
    """Call ``callback`` with each event of every hub that is made in this block, or in tasks started from it.

    So a test or a server can see the events of sessions that it does not open itself.
    """
    token = _watcher.set(callback)
    try:
        yield
    finally:
        _watcher.reset(token)


@attrs.frozen(eq=False, repr=False)
class HubStatistics(Value):
    """Counts of one hub."""

    told: int
    dropped: int
    """Events that some observer's full inbox did not take."""
    observer_errors: int
    subscribers: int


@final
class EventHub:
    """Where the events of one session meet its observers.

    ``screen`` is given each event first: what it returns is told, and nothing if it returns None.
    """

    def __init__(self, screen: Callable[[Event], Event | None] | None = None) -> None:
        self._subscriptions: list[Subscription] = []
        self._screen = screen
        watcher = _watcher.get()
        self._callbacks: list[Callable[[Event], object]] = [] if watcher is None else [watcher]
        self._told = 0
        self._dropped = 0
        self._observer_errors = 0

    def tell(self, event: Event) -> None:
        """Stamp ``event`` with the time and give it to every observer."""
        if self._screen is not None:
            screened = self._screen(event)
            if screened is None:
                return
            event = screened
        if event.time is None:
            event = attrs.evolve(event, time=trio.current_time())
        self._told += 1
        for callback in tuple(self._callbacks):
            try:
                callback(event)
            except Exception:
                # An observer that fails must not break what it observes, and reporting it here
                # could fail in the same way again: it is counted.
                self._observer_errors += 1
        for subscription in tuple(self._subscriptions):
            self._dropped += subscription._put(event)

    @contextmanager
    def observed_by(self, callback: Callable[[Event], object]) -> Iterator[None]:
        """Call ``callback`` with each event, synchronously, inside this block."""
        self._callbacks.append(callback)
        try:
            yield
        finally:
            self._callbacks.remove(callback)

    def subscribe(self, max_items: int = 1024) -> Subscription:
        """Return a channel that receives each event told from now on, while it is open."""
        subscription = Subscription(self, max_items)
        self._subscriptions.append(subscription)
        return subscription

    def close(self) -> None:
        """End every subscription: what is in the inboxes can still be read."""
        for subscription in tuple(self._subscriptions):
            subscription._end()

    def statistics(self) -> HubStatistics:
        """Return the counts so far."""
        return HubStatistics(self._told, self._dropped, self._observer_errors, len(self._subscriptions))


@final
class Subscription(trio.abc.ReceiveChannel[Event]):
    """Events for one observer.  Iterate over it; close it with ``with`` or ``async with``."""

    def __init__(self, hub: EventHub, max_items: int) -> None:
        self._hub = hub
        self._items: deque[Event] = deque()
        self._max_items = max_items
        self._ended = False
        self._closed = False
        self._waiters = trio.lowlevel.ParkingLot()
        self.dropped = 0

    def _put(self, event: Event) -> int:
        """Take the event, or drop it; return how many were dropped."""
        if len(self._items) >= self._max_items:
            self.dropped += 1
            return 1
        self._items.append(event)
        self._waiters.unpark()
        return 0

    def _end(self) -> None:
        self._ended = True
        if self in self._hub._subscriptions:
            self._hub._subscriptions.remove(self)
        self._waiters.unpark_all()

    async def receive(self) -> Event:
        """Return the next event.

        Raises EndOfChannel when the session is over and everything told was read.
        """
        await trio.lowlevel.checkpoint()
        while True:
            if self._closed:
                raise trio.ClosedResourceError
            if self._items:
                return self._items.popleft()
            if self._ended:
                raise trio.EndOfChannel
            await self._waiters.park()

    def close(self) -> None:
        """Stop observing."""
        self._closed = True
        self._items.clear()
        self._end()

    async def aclose(self) -> None:
        """Stop observing."""
        self.close()
        await trio.lowlevel.checkpoint()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
