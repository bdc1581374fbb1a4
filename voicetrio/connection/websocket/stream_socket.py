"""Our own WebSocket over any ``trio.abc.Stream``: one reader, one writer at a time.

1. ``run`` reads for as long as the connection lasts and never waits on a consumer: pings are answered and
   a close is noticed also while nobody receives.  Messages wait in a bounded inbox.
2. Whoever writes holds the *turn*.  A sender writes its own message, with no checkpoint between the
   call and the first byte; what nobody sends (pongs, pings, queued messages) is written by one housekeeping
   task, or taken along by the next sender.
3. A write that did not complete aborts the connection.
4. Every wait has a bound: a ping its answer, a write its progress, a close its end.
5. Cancelled between two messages, it says goodbye if the system takes that at once; in the midst of one it
   says nothing more.
"""

from __future__ import annotations

import contextvars
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NoReturn, final

import trio

from voicetrio.connection.websocket.direct import direct_socket
from voicetrio.connection.websocket.driver import Driver
from voicetrio.connection.websocket.lifetime import open_for_the_block
from voicetrio.connection.websocket.socket import Message, SocketClosed, SocketLimits, SocketStatistics
from voicetrio.machines.rate_limit import TokenBucket
from voicetrio.runtime.deadlines import cleanup
from voicetrio.runtime.hosts import Host, socket_host

__all__ = ["StreamSocket", "open_stream_socket"]

RECEIVE_BYTES = 16384
LAST_READ_BYTES = 1 << 18
LAST_WORD_S = 0.05
"""A socket that is cancelled has so long to write its goodbye, where it cannot be written without waiting."""
MESSAGE_OVERHEAD_BYTES = 64
"""Counted for each message in the inbox, so that empty messages are bounded too."""


@final
class StreamSocket:
    """A MessageSocket over a stream whose opening handshake is done.

    ``run`` must be running while it is used: ``open_stream_socket`` sees to that.
    """

    def __init__(
        self, stream: trio.abc.Stream, driver: Driver, limits: SocketLimits, *, remote: str = ""
    ) -> None:
        self._stream = stream
        self._driver = driver
        self._limits = limits
        self._remote = remote
        # Asked for with every read: the way there by ``trio.current_time`` is twice as long.
        self._current_time = trio.lowlevel.current_clock().current_time
        now = self._current_time()
        self._byte_rate = TokenBucket(limits.max_bytes_per_s, limits.burst_bytes, now=now)
        self._message_rate = TokenBucket(limits.max_messages_per_s, limits.burst_messages, now=now)
        self._direct = direct_socket(stream)
        self._turn = trio.Lock()
        self._rest = b""  # of a message that was begun and must come before anything else
        self._inbox: deque[Message] = deque()
        self._inbox_bytes = 0
        self._receiver: trio.lowlevel.Task | None = None
        self._sink: Callable[[Message], object] | None = None
        self._work = trio.Event()
        self._scope = trio.CancelScope()
        self._is_reading = False
        self._is_closing = False
        self._outcome: SocketClosed | None = None
        self._was_told = False
        self._aborted = False
        self._dropped = trio.Event()
        self._ping_number = 0
        self._ping_sent_at: float | None = None
        self._round_trip_s: float | None = None
        self._sent = self._received = self._sent_bytes = self._received_bytes = 0

    @property
    def is_open(self) -> bool:
        """False from the moment that a close is sent, received, or the connection is lost."""
        return self._outcome is None and not self._aborted and self._driver.is_open

    @property
    def remote(self) -> str:
        """The peer's address, for logs."""
        return self._remote

    @property
    def limits(self) -> SocketLimits:
        """The bounds of this connection."""
        return self._limits

    # --- the owner's side ---

    async def run(self, *, hold: trio.Event | None = None) -> None:
        """Read, answer and keep alive until the connection is over, then drop the socket.

        When it is cancelled while ``hold`` is not set, it waits for it (at most ``limits.close_s``)
        before it drops the socket: somebody is still saying goodbye.  If nobody did, it says 1001 itself, as
        far as that is possible at once.
        """
        was_cancelled = True
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._keep_house, name=f"websocket {self._remote} keepalive")
                    await self._read()
                    nursery.cancel_scope.cancel()
            was_cancelled = False
        finally:
            if hold is not None and was_cancelled and not self._aborted:
                with trio.move_on_after(self._limits.close_s, shield=True):
                    await hold.wait()
            if was_cancelled and self._may_say_last_word:
                with cleanup(LAST_WORD_S):
                    await self._say_last_word()  # noqa: ASYNC102  # cleanup is a shield with a deadline
            self.abort()
            self._leave_nothing_unread()
            await trio.aclose_forcefully(self._stream)
            self._dropped.set()

    def _leave_nothing_unread(self) -> None:
        """Take what has come: a socket that is closed over it resets the connection (RFC 1122, section
        4.2.2.13), and the peer may lose our goodbye."""
        if self._direct is not None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                self._direct.read_nowait(LAST_READ_BYTES)

    async def wait_dropped(self) -> None:
        """Wait until the socket is dropped and ``run`` has nothing left to do."""
        await self._dropped.wait()

    async def _read(self) -> None:
        self._is_reading = True
        await trio.lowlevel.checkpoint()
        host = socket_host() if self._direct is not None else None
        try:
            self._take(self._driver.take_messages(), trio.current_time())
            if host is None:
                await self._read_alone()
            else:
                await self._read_among(host)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._end(SocketClosed(None, f"the connection broke: {error}", "network"))
        finally:
            self._is_reading = False
        self._end(self._driver.outcome())

    async def _read_alone(self) -> None:
        receive_some = (self._direct or self._stream).receive_some
        while not self._take_data(bytes(await receive_some(RECEIVE_BYTES))):
            pass

    async def _read_among(self, host: Host) -> None:
        """Let the task that reads the server's sockets read this one, too."""
        direct = self._direct
        assert direct is not None

        def read() -> None:
            data = direct.read_nowait(RECEIVE_BYTES)
            if data is not None and self._take_data(data):
                guest.leave()

        with host.watching(direct.descriptor, read) as guest:
            await guest.wait_over()

    def _take_data(self, data: bytes) -> bool:
        """Take what was read, ``b""`` at its end; return whether nothing more is to be read."""
        now = self._current_time()
        if not self._byte_rate.take(len(data), now):
            self._driver.fail(1008, "data comes faster than the limit")
        self._take(self._driver.receive(data), now)
        return not data or (self._driver.is_over and self._driver.may_drop)

    def _take(self, messages: list[Message], now: float) -> None:
        """Put what was read where it belongs; never waits."""
        for message in messages:
            self._received += 1
            self._received_bytes += len(message)
            if self._is_closing:
                continue
            if self._sink is not None:
                self._sink(message)
            else:
                self._keep(message)
        if messages and not self._message_rate.take(len(messages), now):
            self._driver.fail(1008, "messages come faster than the limit")
        if self._ping_sent_at is not None and self._driver.pong_count >= self._ping_number:
            self._round_trip_s = now - self._ping_sent_at
            self._ping_sent_at = None
            self._work.set()  # the time of the next ping is known now
        if self._driver.is_over:
            # Nothing more will come: tell it now, and let the goodbye go on in the background.
            self._end(self._driver.outcome())
        if not self._driver.is_open:
            self._limit_closing()
        if self._driver.has_output:
            self._work.set()

    def _keep(self, message: Message) -> None:
        self._inbox_bytes += len(message) + MESSAGE_OVERHEAD_BYTES
        self._inbox.append(message)
        if self._inbox_bytes > self._limits.max_inbox_bytes:
            self._driver.fail(1008, "messages come faster than they are taken")
        self._wake_receiver()

    def _limit_closing(self) -> None:
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + self._limits.close_s)

    def _end(self, outcome: SocketClosed) -> None:
        if self._outcome is None:
            self._outcome = outcome
        self._wake_receiver()

    # --- what nobody sends: pongs, pings, queued messages ---

    async def _keep_house(self) -> None:
        ping_at = trio.current_time() + self._limits.keepalive_s
        while True:
            with trio.CancelScope(deadline=min(ping_at, self._answer_by)):
                await self._work.wait()
            self._work = trio.Event()
            now = trio.current_time()
            if now >= self._answer_by:
                self._lose("no answer to pings")
            elif now >= ping_at and self.is_open:
                # The clock of the answer starts here and not when the ping is written: a peer that
                # takes nothing shall be noticed too.
                self._ping_number = self._driver.ping()
                self._ping_sent_at = now
            if now >= ping_at:
                ping_at = math.inf
            elif ping_at == math.inf and self._ping_sent_at is None:
                ping_at = now + self._limits.keepalive_s
            await self._write_output()

    @property
    def _answer_by(self) -> float:
        """When the ping that is out must be answered."""
        if self._ping_sent_at is None:
            return math.inf
        return self._ping_sent_at + self._limits.keepalive_timeout_s

    async def _write_output(self) -> None:
        if not self._driver.has_output and not self._rest:
            await trio.lowlevel.checkpoint()
            return
        answer_by = self._answer_by
        bound = min(answer_by, trio.current_time() + self._limits.stall_s)
        with trio.CancelScope(deadline=bound) as scope:
            async with self._turn:
                with suppress(trio.BrokenResourceError):  # the write told it, and aborted
                    await self._flush()
        if scope.cancelled_caught:
            self._lose("no answer to pings" if bound == answer_by else "the peer takes no data")

    def _lose(self, why: str) -> None:
        self._end(SocketClosed(None, why, "network"))
        self.abort()

    # --- writing: only with the turn ---

    async def _flush(self) -> None:
        output, eof = self._driver.take_output()
        if output or self._rest:
            await self._write(output)
        else:
            await trio.lowlevel.checkpoint()
        if eof and isinstance(self._stream, trio.abc.HalfCloseableStream) and not self._aborted:
            # Without half-close (TLS), the peer sees our close frame and closes first, or close_s passes.
            try:
                await self._stream.send_eof()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._lose("the connection broke while it was closed")

    async def _write(self, data: bytes) -> None:
        if self._aborted:
            raise trio.BrokenResourceError("the connection is over")
        is_complete = False
        data, self._rest = self._rest + data, b""
        try:
            await self._stream.send_all(data)
            is_complete = True
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise self._broken(error) from error
        finally:
            if not is_complete:
                # Half a frame may be on the wire: nothing may follow it.
                self.abort()

    def _broken(self, error: Exception) -> trio.BrokenResourceError:
        self._end(SocketClosed(None, f"the connection broke: {error}", "network"))
        return trio.BrokenResourceError("the connection is over")

    def try_send(self, make: Callable[[], Sequence[Message | memoryview]]) -> bool:
        """Write whole messages at once, if that is possible; see MessageSocket."""
        direct = self._direct
        if direct is None or self._rest or self._turn.locked() or not self.is_open:
            return False
        messages = make()
        send = self._driver.send
        data = send(messages[0]) if len(messages) == 1 else b"".join(map(send, messages))
        try:
            written = direct.write_nowait(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            broken = self._broken(error)
            self.abort()
            raise broken from error
        if written < len(data):
            self._rest = data[written:]
            self._work.set()
        self._sent += len(messages)
        self._sent_bytes += sum(map(len, messages))
        return True

    async def send(self, message: Message | memoryview) -> None:
        """Write one message; see MessageSocket."""
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self._turn.acquire_nowait()
        except trio.WouldBlock:
            await self._turn.acquire()
        try:
            if not self.is_open:
                raise trio.BrokenResourceError("the connection is over")
            await self._write(self._driver.send(message))
        finally:
            self._turn.release()
        self._sent += 1
        self._sent_bytes += len(message)

    def send_nowait(self, message: Message) -> bool:
        """Queue a small message that nobody waits for; return False if there is no room."""
        if not self.is_open or not self._driver.queue(message):
            return False
        self._sent += 1
        self._sent_bytes += len(message)
        self._work.set()
        return True

    # --- receiving ---

    async def receive(self) -> Message:
        """Return the next message; see MessageSocket."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._check_free()
        if self._inbox or self._outcome is not None:
            await trio.lowlevel.cancel_shielded_checkpoint()
        else:
            self._receiver = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._stop_waiting)
        if self._inbox:
            return self._take_from_inbox()
        raise self._tell_end()

    async def listen(self, sink: Callable[[Message], object]) -> NoReturn:
        """Give each message to ``sink`` until the end; see MessageSocket."""
        run = contextvars.copy_context().run
        failure: Exception | None = None

        def give(message: Message) -> None:
            nonlocal failure
            if failure is not None:
                return
            try:
                run(sink, message)
            except Exception as error:
                # It is the listener's, not the reader's.
                failure = error
                self._wake_receiver()

        await trio.lowlevel.checkpoint()
        self._check_free()
        self._sink = give
        try:
            while self._inbox:
                give(self._take_from_inbox())
            while failure is None and self._outcome is None:
                self._receiver = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._stop_waiting)
        finally:
            self._sink = None
        raise failure or self._tell_end()

    def _check_free(self) -> None:
        if self._receiver is not None or self._sink is not None:
            raise trio.BusyResourceError("another task is receiving on this connection")

    def _take_from_inbox(self) -> Message:
        message = self._inbox.popleft()
        self._inbox_bytes -= len(message) + MESSAGE_OVERHEAD_BYTES
        return message

    def _tell_end(self) -> Exception:
        if self._was_told or self._outcome is None:
            return trio.ClosedResourceError("the end of this connection was told before")
        self._was_told = True
        return self._outcome

    def _wake_receiver(self) -> None:
        if self._receiver is not None:
            receiver, self._receiver = self._receiver, None
            trio.lowlevel.reschedule(receiver)

    def _stop_waiting(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._receiver = None
        return trio.lowlevel.Abort.SUCCEEDED

    # --- closing ---

    async def close(self, code: int = 1000, reason: str = "", *, wait_answer: bool = True) -> None:
        """Say goodbye and let go of the socket; see MessageSocket."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self._aborted:
            self._is_closing = True
            self._driver.close(code, reason)
            self._limit_closing()
            try:
                with trio.move_on_after(self._limits.close_s):
                    async with self._turn:
                        await self._flush()
                    if wait_answer and self._is_reading:
                        await self._dropped.wait()
            except trio.BrokenResourceError:
                pass
            finally:
                self._end(self._driver.outcome())
                self.abort()
        # Not left to ``run``, which may be held: when this returns, the socket is gone.
        await trio.aclose_forcefully(self._stream)

    @property
    def _may_say_last_word(self) -> bool:
        return not (self._aborted or self._rest or self._turn.locked()) and self._driver.is_open

    async def _say_last_word(self) -> None:  # noqa: ASYNC910  # over TCP it takes no time at all
        """Write a close frame; its answer is not awaited."""
        self._driver.close(1001, "")
        data, _eof = self._driver.take_output()
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            if self._direct is not None:
                self._direct.write_nowait(data)
            else:
                await self._stream.send_all(data)

    def abort(self) -> None:
        """Drop the connection without a goodbye; nothing is written from now on."""
        if not self._aborted:
            self._aborted = True
            self._end(SocketClosed(None, "the connection was dropped", "us"))
            self._scope.cancel()

    def statistics(self) -> SocketStatistics:
        """Return the counts so far."""
        return SocketStatistics(
            messages_sent=self._sent,
            messages_received=self._received,
            bytes_sent=self._sent_bytes,
            bytes_received=self._received_bytes,
            inbox_messages=len(self._inbox),
            pings_answered=self._driver.pong_count,
            round_trip_s=self._round_trip_s,
        )


@asynccontextmanager
async def open_stream_socket(
    stream: trio.abc.Stream, driver: Driver, limits: SocketLimits, *, remote: str = ""
) -> AsyncIterator[StreamSocket]:
    """Run a connection over ``stream`` for as long as the block lasts.

    Left normally, the block says goodbye (code 1000) and waits for the answer, within
    ``limits.close_s``; left by an exception, it says 1001 without waiting for an answer; cancelled,
    it says that if the system takes it at once.  An exception of the block passes through as it is.
    """
    socket = StreamSocket(stream, driver, limits, remote=remote)
    async with open_for_the_block(socket, socket.run):
        yield socket
