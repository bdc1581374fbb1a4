"""Reading many sockets in one task.

trio arms a descriptor anew for each time that it is waited for, and wakes a task for each that is ready.
With hundreds of sockets that bring a frame every 20 ms, both cost more than the reading.  Here the
descriptors stay armed in an epoll of their own; one task waits for that, and reads all that are ready in
one step.
"""

from __future__ import annotations

import select
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from contextvars import ContextVar
from typing import NoReturn, final

import trio

from voicetrio.runtime.guests import STEP_S, Guest

__all__ = ["ReadySockets", "open_ready_sockets", "ready_sockets"]

_shared: ContextVar[ReadySockets | None] = ContextVar("voicetrio_ready_sockets", default=None)

MANY = 16
REST_S = 0.001
"""With ``MANY`` sockets or more, they are looked at once in so many seconds."""
AT_ONCE = 64
"""So many sockets are asked for at a time."""


@final
class ReadySockets:
    """The sockets that one task reads.  Made by ``open_ready_sockets``."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._guests: dict[int, Guest] = {}

    @contextmanager
    def watching(self, descriptor: int, read: Callable[[], object]) -> Iterator[Guest]:
        """Call ``read`` whenever ``descriptor`` is readable, or its end is, inside this block.

        ``read`` reads what is there without waiting; for what it leaves it is called again.
        """
        guest = Guest(read)
        self._guests[descriptor] = guest
        self._epoll.register(descriptor, select.EPOLLIN)
        try:
            yield guest
        finally:
            self._forget(descriptor, guest)

    async def run(self) -> NoReturn:
        """Read whatever is ready, until cancelled."""
        host = trio.lowlevel.current_task()
        own_name = host.name
        # Asked for with every guest: the way there by ``trio.current_time`` is twice as long.
        current_time = trio.lowlevel.current_clock().current_time
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            began = current_time()
            for descriptor, _ in self._epoll.poll(0, AT_ONCE):
                guest = self._guests.get(descriptor)
                if guest is None:
                    continue  # it left while others were read
                guest.visit(host)
                if guest.is_over:
                    self._forget(descriptor, guest)
                if current_time() - began >= STEP_S:
                    await trio.lowlevel.checkpoint()
                    began = current_time()
            host.name = own_name
            if len(self._guests) >= MANY:
                # As a network card does that coalesces its interrupts: what comes meanwhile is read at once.
                await trio.sleep_until(began + REST_S)

    def close(self) -> None:
        """Let go of the system's resources."""
        self._epoll.close()

    def _forget(self, descriptor: int, guest: Guest) -> None:
        guest.leave()
        # A number is given to another socket as soon as it is closed, and closing takes it off the epoll.
        if self._guests.get(descriptor) is guest:
            del self._guests[descriptor]
            with suppress(OSError, ValueError):
                self._epoll.unregister(descriptor)


def ready_sockets() -> ReadySockets | None:
    """Return what reads the sockets of this task's server; None where each reads its own."""
    return _shared.get()


@asynccontextmanager
async def open_ready_sockets() -> AsyncIterator[None]:
    """Read, in one task, the sockets of all tasks that are started in this block.

    It goes on when the block is cancelled, until the block is left: a goodbye may still wait for its answer.
    Does nothing on systems without epoll.
    """
    if not hasattr(select, "epoll"):
        await trio.lowlevel.checkpoint()
        yield
        return
    sockets = ReadySockets()
    with closing(sockets):
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope(shield=True)

            async def keep() -> None:
                with scope:
                    await sockets.run()

            nursery.start_soon(keep, name="socket reader")
            token = _shared.set(sockets)
            try:
                yield
            finally:
                _shared.reset(token)
                scope.cancel()
