"""One stream of a connection: a socket with one task that reads it and one that writes it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import final

import trio

from voicetrio.connection.outbound import Outbound
from voicetrio.connection.settings import ConnectionSettings, Keepalive
from voicetrio.connection.websocket.socket import Message, MessageSocket, SocketClosed
from voicetrio.errors import ServiceError
from voicetrio.machines.stream_end import StreamEnd

__all__ = ["Wire"]


@final
class Wire:
    """The tasks and the queue of one open socket; ``serve`` runs them until the stream is over."""

    def __init__(
        self,
        number: int,
        socket: MessageSocket,
        settings: ConnectionSettings,
        keepalive: Keepalive,
        on_message: Callable[[Message], None],
        is_used: Callable[[], bool],
    ) -> None:
        self.number = number
        """1 for the connection's first stream."""
        self.socket = socket
        self.outbound = Outbound(max_items=settings.max_queued_items, max_s=settings.max_queued_s)
        self.was_used = False
        """True once it did any work."""
        self.end: StreamEnd | None = None
        """How it ended, once it has."""
        self.error: ServiceError | None = None
        """The service's own word on why it ended, if it had one."""
        self.received = 0
        self._settings = settings
        self._keepalive = keepalive
        self._on_message = on_message
        self._is_used = is_used
        self._leases = 0
        self._is_retiring = False
        self._over = trio.Event()
        self._life = trio.CancelScope()

    @property
    def is_open(self) -> bool:
        """True while messages can be queued."""
        return self.end is None

    @property
    def is_in_use(self) -> bool:
        """True while somebody has work on it."""
        return self._leases > 0 or self.outbound.is_busy or (not self._is_retiring and self._is_used())

    # --- work on it ---

    def lease(self) -> None:
        """Note that a piece of work began."""
        self._leases += 1
        self.was_used = True

    def release(self) -> None:
        """Note that a piece of work ended; the last one ends a stream that was replaced."""
        self._leases -= 1
        if self._is_retiring and not self._leases:
            self.stop("it was replaced")

    def retire(self) -> None:
        """Let it finish what it has, for ``drain_s`` at most, and end."""
        self._is_retiring = True
        if self._leases:
            self._life.deadline = trio.current_time() + self._settings.drain_s
        else:
            self.stop("it was replaced")

    def stop(self, why: str) -> None:
        """End it on purpose, once what is queued is written."""
        self.finish(StreamEnd(was_open=True, by="us", reason=why, was_asked=True))

    def finish(self, end: StreamEnd) -> None:
        """End it; the first reason counts."""
        if self.end is None:
            self.end = end
            if not end.was_asked:
                self.outbound.close()
            self._over.set()

    # --- the tasks ---

    async def serve(self) -> StreamEnd:
        """Read and write until the stream is over; then say goodbye, and return how it ended."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read, name=f"read {self.socket.remote}")
            nursery.start_soon(self._write, name=f"write {self.socket.remote}")
            with self._life:
                await self._over.wait()
            self.stop("its time to finish was over")
            assert self.end is not None
            if self.end.was_asked and self.socket.is_open:
                with trio.move_on_after(self._settings.close_s):
                    await self.outbound.wait_written()
            nursery.cancel_scope.cancel()
        self.outbound.close()
        return self.end

    async def _read(self) -> None:
        while True:  # noqa: ASYNC913  # receive is a checkpoint
            try:
                message = await self.socket.receive()
            except SocketClosed as closed:
                in_use = self.is_in_use
                self.finish(
                    StreamEnd(
                        was_open=True, by=closed.by, code=closed.code, reason=closed.reason, in_use=in_use
                    )
                )
                return  # noqa: ASYNC910
            self.received += 1
            try:
                self._on_message(message)
            except ServiceError as error:
                self.refuse(error)
                return  # noqa: ASYNC910

    def refuse(self, error: ServiceError) -> None:
        """End it because of what the service said in it."""
        self.error = error
        self.finish(
            StreamEnd(
                was_open=True,
                by="peer",
                reason=str(error),
                refused=not error.transient,
                retry_after_s=error.retry_after_s,
                in_use=self.is_in_use,
            )
        )

    async def _write(self) -> None:
        every_s = self._keepalive.every_s
        while True:
            deadline = trio.current_time() + every_s if every_s < math.inf else math.inf
            message: Message | None = None
            is_work = False
            with trio.CancelScope(deadline=deadline):
                message = await self.outbound.get()
                is_work = True
            if message is None:
                message = self._keepalive.message()
            if message is None:
                continue
            self.was_used = self.was_used or is_work
            try:
                with trio.move_on_after(self._settings.send_s) as scope:
                    await self.socket.send(message)
            except trio.BrokenResourceError:
                return  # the reader hears why
            if scope.cancelled_caught:
                text = f"it took nothing for {self._settings.send_s:g} s"
                self.finish(StreamEnd(was_open=True, by="network", reason=text, in_use=self.is_in_use))
                return
