"""A connection that an application already holds in trio-websocket, behind our seam.

What we add: keepalive, queued messages, bounded closing, and that a write which did not complete aborts the
connection.  What stays that package's: its reader waits when nobody receives, so pings are not answered
while more messages wait than its queue holds; the size limit is the one that the application gave it.

We close the connection (closing handshake, then the socket) when the block ends.  The server that accepted it
is not ours: it goes on.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NoReturn, final

import trio
import trio_websocket

from voicetrio.connection.websocket.lifetime import open_for_the_block
from voicetrio.connection.websocket.socket import Message, SocketClosed, SocketLimits, SocketStatistics

__all__ = ["adopt_trio_websocket"]

GOODBYE_S = 0.05
"""trio-websocket cannot send a close frame without awaiting its answer: the wait is cut here."""
MAX_QUEUED = 64


@final
class AdoptedSocket:
    """A MessageSocket over a ``trio_websocket.WebSocketConnection``."""

    def __init__(self, connection: trio_websocket.WebSocketConnection, limits: SocketLimits) -> None:
        self._connection = connection
        self._limits = limits
        self._queue: deque[Message] = deque()
        self._work = trio.Event()
        self._scope = trio.CancelScope()
        self._outcome: SocketClosed | None = None
        self._was_told = False
        self._receiving: trio.CancelScope | None = None
        self._aborted = False
        self._we_closed: tuple[int, str] | None = None
        self._round_trip_s: float | None = None
        self._sent = self._received = self._sent_bytes = self._received_bytes = self._pongs = 0

    @property
    def is_open(self) -> bool:
        """False from the moment that a close is sent, received, or the connection is lost."""
        return self._outcome is None and not self._aborted and self._connection.closed is None

    @property
    def remote(self) -> str:
        """The peer's address, for logs."""
        return str(getattr(self._connection.remote, "url", self._connection.remote))

    @property
    def limits(self) -> SocketLimits:
        """The bounds of this connection; its message size is trio-websocket's own."""
        return self._limits

    async def run(self) -> None:
        """Keep the connection alive and write what is queued, until it is aborted; then drop it."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    if self._limits.keepalive_s < math.inf:
                        nursery.start_soon(self._ping)
                    await self._write_queue()
        finally:
            self.abort()
            # In a cancelled scope this closes the stream without a word.
            await trio.aclose_forcefully(self._connection)

    async def _ping(self) -> None:
        while True:
            await trio.sleep(self._limits.keepalive_s)
            sent_at = trio.current_time()
            try:
                with trio.move_on_after(self._limits.keepalive_timeout_s) as scope:
                    await self._connection.ping()
            except trio_websocket.ConnectionClosed:
                return
            if scope.cancelled_caught:
                self._end(SocketClosed(None, "no answer to pings", "network"))
                self.abort()
                return
            self._pongs += 1
            self._round_trip_s = trio.current_time() - sent_at

    async def _write_queue(self) -> None:
        while True:
            await self._work.wait()
            self._work = trio.Event()
            while self._queue and self.is_open:
                message = self._queue.popleft()
                try:
                    with trio.move_on_after(self._limits.stall_s) as scope:
                        await self._connection.send_message(message)
                except trio_websocket.ConnectionClosed:
                    break
                if scope.cancelled_caught:
                    self._end(SocketClosed(None, "the peer takes no data", "network"))
                    self.abort()

    async def send(self, message: Message | memoryview) -> None:
        """Write one message; see MessageSocket."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self.is_open:
            raise trio.BrokenResourceError("the connection is over")
        data = bytes(message) if isinstance(message, memoryview) else message
        is_complete = False
        try:
            await self._connection.send_message(data)
            is_complete = True
        except trio_websocket.ConnectionClosed as error:
            raise trio.BrokenResourceError("the connection is over") from error
        finally:
            if not is_complete:
                # Half a frame may be on the wire: nothing may follow it.
                self.abort()
        self._sent += 1
        self._sent_bytes += len(data)

    def try_send(self, make: Callable[[], Sequence[Message | memoryview]]) -> bool:
        """Return False: trio-websocket has no such way."""
        return False

    def send_nowait(self, message: Message) -> bool:
        """Queue a small message that nobody waits for; return False if there is no room."""
        if not self.is_open or len(self._queue) >= MAX_QUEUED:
            return False
        self._queue.append(message)
        self._sent += 1
        self._sent_bytes += len(message)
        self._work.set()
        return True

    async def listen(self, sink: Callable[[Message], object]) -> NoReturn:
        """Give each message to ``sink`` until the end; see MessageSocket."""
        while True:
            sink(await self.receive())

    async def receive(self) -> Message:
        """Return the next message; see MessageSocket."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._receiving is not None:
            raise trio.BusyResourceError("another task is receiving on this connection")
        if self._was_told:
            raise trio.ClosedResourceError("the end of this connection was told before")
        try:
            with trio.CancelScope() as self._receiving:
                if self._outcome is not None:
                    self._receiving.cancel()
                message: Message = await self._connection.get_message()
                self._received += 1
                self._received_bytes += len(message)
                return message
        except trio_websocket.ConnectionClosed as error:
            self._end(self._explain(error))
        finally:
            self._receiving = None
        self._was_told = True
        assert self._outcome is not None
        raise self._outcome

    def _explain(self, error: trio_websocket.ConnectionClosed) -> SocketClosed:
        if self._we_closed is not None:
            return SocketClosed(*self._we_closed, "us")
        reason = error.reason
        if reason is None or reason.code == 1006:
            return SocketClosed(None, "the connection broke without a goodbye", "network")
        if reason.code == 1009:
            return SocketClosed(1009, reason.reason or "", "us")
        return SocketClosed(None if reason.code == 1005 else reason.code, reason.reason or "", "peer")

    def _end(self, outcome: SocketClosed) -> None:
        if self._outcome is None:
            self._outcome = outcome
        if self._receiving is not None:
            self._receiving.cancel()

    async def close(self, code: int = 1000, reason: str = "", *, wait_answer: bool = True) -> None:
        """Say goodbye and let go of the socket; see MessageSocket."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.is_open:
            self._we_closed = (code, reason)
            short = reason.encode()[:123].decode(errors="ignore")
            try:
                with trio.move_on_after(self._limits.close_s if wait_answer else GOODBYE_S):
                    await self._connection.aclose(code, short)
            finally:
                self._end(SocketClosed(code, reason, "us"))
                self.abort()
        await trio.aclose_forcefully(self._connection)

    def abort(self) -> None:
        """Drop the connection without a goodbye; nothing is written from now on."""
        if not self._aborted:
            self._aborted = True
            self._end(SocketClosed(None, "the connection was dropped", "us"))
            self._scope.cancel()

    def statistics(self) -> SocketStatistics:
        """Return the counts so far; how many messages wait to be received is not known."""
        return SocketStatistics(
            messages_sent=self._sent,
            messages_received=self._received,
            bytes_sent=self._sent_bytes,
            bytes_received=self._received_bytes,
            inbox_messages=0,
            pings_answered=self._pongs,
            round_trip_s=self._round_trip_s,
        )


@asynccontextmanager
async def adopt_trio_websocket(
    connection: trio_websocket.WebSocketConnection, limits: SocketLimits | None = None
) -> AsyncIterator[AdoptedSocket]:
    """Give ``connection`` as a MessageSocket for as long as the block lasts, then close it.

    Left normally, the block says goodbye (code 1000) and waits for the answer, within ``limits.close_s``;
    left by an exception, it says 1001; cancelled, it drops the socket.  An exception of the block passes
    through as it is.
    """
    socket = AdoptedSocket(connection, limits or SocketLimits())
    async with open_for_the_block(socket, socket.run):
        yield socket
