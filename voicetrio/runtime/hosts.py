"""The one task of a server that keeps the time and reads the sockets of all its sessions.

``open_host`` runs it.  Where none is open, whoever needs an alarm keeps its own time, in its own task.

1. Alarms ring in the order of their times, never early; after a stall all that are due ring, one after the
   other.  A socket is read when no alarm is due.
2. The sockets stay armed in an epoll of their own: trio arms a descriptor anew for each time that it is
   waited for, and wakes a task for each that is ready.
3. With ``MANY`` sockets the host rests for ``REST_S`` before it looks again, as a network card does that
   coalesces its interrupts: one awakening serves all that became due or ready meanwhile.
"""

from __future__ import annotations

import heapq
import itertools
import math
import select
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final, final

import trio

from voicetrio.runtime.guests import STEP_S, Guest

__all__ = ["MANY", "Alarm", "Host", "alarm_host", "open_host", "socket_host"]

MANY: Final = 16
"""So many sockets make it worth while to rest."""
REST_S: Final = 0.002
"""How long, and so how late a tick of one of them may be for that."""
AT_ONCE: Final = 64
"""So many sockets are asked for at a time."""

_shared: ContextVar[Host | None] = ContextVar("voicetrio_host", default=None)


@final
class Alarm:
    """One alarm: it rings once each time it is set.  Made by ``Host.alarm``."""

    __slots__ = ("_host", "at", "guest")

    def __init__(self, host: Host, guest: Guest) -> None:
        self._host = host
        self.guest = guest
        """Who is called."""
        self.at = math.inf
        """When it rings (``trio.current_time()``); infinite while it is not set."""

    def set(self, at: float) -> None:
        """Let it ring at ``at``, and not when it was set to before; now, if that is over."""
        if at != self.at:
            self.at = at
            self._host._enter(self)

    def close(self) -> None:
        """Let it ring no more."""
        self.at = math.inf
        self.guest.leave()

    async def attend(self) -> None:
        """Wait until it is closed; keep the time meanwhile if nobody else does.

        Raises what it calls raises.
        """
        await self._host._attend(self)


@final
class Host:
    """Calls the guests of one server, or of one session alone.

    Args:
        epoll: the epoll object in which sockets are armed; its owner closes it.  None: no sockets are read.
        is_shared: whether a task of its own runs it.
    """

    def __init__(self, epoll: Any = None, *, is_shared: bool = False) -> None:
        self._is_shared = is_shared
        self._epoll = epoll
        self._readers: dict[int, Guest] = {}
        self._numbers = itertools.count()
        self._alarms: list[tuple[float, int, Alarm]] = []
        self._scope = trio.CancelScope()

    @property
    def reads_sockets(self) -> bool:
        """Whether it can watch sockets."""
        return self._epoll is not None

    def alarm(self, call: Callable[[], object]) -> Alarm:
        """Return an alarm that calls ``call``, for the current task."""
        return Alarm(self, Guest(call))

    @contextmanager
    def watching(self, descriptor: int, read: Callable[[], object]) -> Iterator[Guest]:
        """Call ``read`` whenever ``descriptor`` is readable, or its end is, inside this block.

        ``read`` reads what is there without waiting; for what it leaves it is called again.
        """
        guest = Guest(read)
        self._readers[descriptor] = guest
        self._epoll.register(descriptor, select.EPOLLIN)
        try:
            yield guest
        finally:
            self._forget(descriptor, guest)

    async def run(self, until: Guest | None = None) -> None:
        """Call the guests, until cancelled, or until the guest ``until`` is over."""
        host = trio.lowlevel.current_task()
        own_name = host.name
        # Asked for with every guest: the way there by ``trio.current_time`` is twice as long.
        current_time = trio.lowlevel.current_clock().current_time
        alarms = self._alarms
        is_idle = True
        began = 0.0
        while True:
            if is_idle or len(self._readers) < MANY:
                await self._wait_for_work()
            else:
                await trio.sleep_until(began + REST_S)
            ready = self._epoll.poll(0, AT_ONCE) if self._readers else []
            is_idle = True
            began = now = current_time()
            while True:
                if alarms and alarms[0][0] <= now:
                    at, _, alarm = heapq.heappop(alarms)
                    if at != alarm.at:
                        continue  # it was set anew, or closed
                    alarm.at = math.inf
                    alarm.guest.visit(host)
                elif ready:
                    self._read(ready.pop()[0], host)
                else:
                    break
                is_idle = False
                now = current_time()
                if now - began >= STEP_S:
                    await trio.lowlevel.checkpoint()
                    began = now = current_time()
            host.name = own_name
            if until is not None and until.is_over:
                return

    async def _wait_for_work(self) -> None:
        """Return when an alarm is due, or a socket ready, as far as trio knows."""
        while self._alarms and self._alarms[0][0] != self._alarms[0][2].at:
            heapq.heappop(self._alarms)
        deadline = self._alarms[0][0] if self._alarms else math.inf
        with trio.CancelScope(deadline=deadline) as self._scope:
            if self._epoll is None:
                await trio.sleep_forever()
            else:
                await trio.lowlevel.wait_readable(self._epoll.fileno())

    def _read(self, descriptor: int, host: trio.lowlevel.Task) -> None:
        guest = self._readers.get(descriptor)
        if guest is not None:  # else it left while others were read
            guest.visit(host)
            if guest.is_over:
                self._forget(descriptor, guest)

    def _forget(self, descriptor: int, guest: Guest) -> None:
        guest.leave()
        # A number is given to another socket as soon as it is closed, and closing takes it off the epoll.
        if self._readers.get(descriptor) is guest:
            del self._readers[descriptor]
            with suppress(OSError, ValueError):
                self._epoll.unregister(descriptor)

    def _enter(self, alarm: Alarm) -> None:
        heapq.heappush(self._alarms, (alarm.at, next(self._numbers), alarm))
        if alarm.at < self._scope.deadline:
            self._scope.deadline = alarm.at

    async def _attend(self, alarm: Alarm) -> None:
        if not self._is_shared:
            await self.run(alarm.guest)
        await alarm.guest.wait_over()


def alarm_host() -> Host:
    """Return the host of this task's server, or a new one that its user attends."""
    return _shared.get() or Host()


def socket_host() -> Host | None:
    """Return what reads the sockets of this task's server; None where each reads its own."""
    host = _shared.get()
    return host if host is not None and host.reads_sockets else None


@asynccontextmanager
async def open_host() -> AsyncIterator[None]:
    """Keep one host for all tasks that are started in this block.

    It goes on when the block is cancelled, until the block is left: who cleans up may still need an alarm,
    and a goodbye may still wait for its answer.  On systems without epoll it reads no sockets.
    """
    epoll = select.epoll() if hasattr(select, "epoll") else None
    try:
        async with trio.open_nursery() as nursery:
            host = Host(epoll, is_shared=True)
            scope = trio.CancelScope(shield=True)

            async def keep() -> None:
                with scope:
                    await host.run()

            nursery.start_soon(keep, name="host")
            token = _shared.set(host)
            try:
                yield
            finally:
                _shared.reset(token)
                scope.cancel()
    finally:
        if epoll is not None:
            epoll.close()
