"""What keeps a connection open: it does what the reconnect machine says.

::

    the block's nursery
     ├─ manager      dials, waits, gives up
     └─ a stream     opens a socket, and closes it; inside it
         ├─ reader   gives each message away at once, and never waits on anybody
         └─ writer   writes what is queued, and the service's keepalive when nothing is

1. A socket is fully gone before the next is dialled.  The one exception is a peer that said it would go
   (``going_away``): the next one is opened beside it, and the old one finishes the work it has.
2. Before a dial the session's gate is tested, with no checkpoint in between: a session that was cancelled
   dials no more.
3. Every wait has a bound, see ``ConnectionSettings``.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias, TypeVar, final

import trio

from voicetrio.connection.faults import ConnectionLost, end_of_dial, failure_of
from voicetrio.connection.settings import ConnectionSettings, ConnectionStatistics, Keepalive
from voicetrio.connection.streams import Streams
from voicetrio.connection.websocket.socket import (
    HandshakeFailed,
    Message,
    MessageSocket,
    SocketClosed,
    SocketLimits,
)
from voicetrio.connection.wire import Wire
from voicetrio.errors import ServiceError
from voicetrio.events import ConnectionChanged
from voicetrio.machines.reconnect import ConnectionState, ReconnectMachine
from voicetrio.machines.stream_end import StreamEnd
from voicetrio.runtime.emit import emit
from voicetrio.runtime.outbox import dialling_allowed

__all__ = ["Connect", "Manager", "Prepare"]

T = TypeVar("T")
_log = logging.getLogger("voicetrio.connection")

Connect: TypeAlias = Callable[[SocketLimits], AbstractAsyncContextManager[MessageSocket]]
"""Opens a socket for as long as its block lasts: ``websocket_dialler`` makes one, and anything that gives a
MessageSocket will do, ``adopt_trio_websocket`` among them."""
Prepare: TypeAlias = Callable[[MessageSocket], Awaitable[None]]
"""Says and hears on a new socket what must come first; it alone uses the socket until it returns.
A ServiceError that is not transient ends the tries."""


@final
class Manager:
    """The streams of one connection, and their tasks; ``run`` must be running.

    Args:
        connect: opens a socket.
        name: for events and errors.
        settings: the bounds.
        machine: decides when to dial and when to give up.
        keepalive: what the service wants to hear when nothing is said.
        prepare: what must come first on each new socket.
        on_message: is given each message at once.
    """

    def __init__(
        self,
        connect: Connect,
        name: str,
        settings: ConnectionSettings,
        machine: ReconnectMachine,
        keepalive: Keepalive,
        prepare: Prepare | None,
        on_message: Callable[[Message], None],
    ) -> None:
        self.name = name
        self.settings = settings
        self.streams = Streams()
        self.uses = 0
        """How many need it now."""
        self.failure: ServiceError | None = None
        """Why it gave up, once it has."""
        self.lost_listeners: list[Callable[[int, ConnectionLost], None]] = []
        self._connect = connect
        self._machine = machine
        self._keepalive = keepalive
        self._prepare = prepare
        self._on_message = on_message
        self._changed = trio.Event()
        self._dial_scope: trio.CancelScope | None = None
        self._sockets = 0
        self._service_error: ServiceError | None = None
        self._dials = self._lost = 0

    @property
    def state(self) -> ConnectionState:
        """Where it stands; see ``machines.reconnect``."""
        return self._machine.state

    async def wait_changed(self) -> None:
        """Wait until something may have changed."""
        await self._changed.wait()

    def notify(self) -> None:
        """Something may have changed."""
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    # --- what its users want ---

    def want(self) -> None:
        """Open a stream if there is none, and if there may be one."""
        if self.state == "idle":
            self._step("it is needed", lambda: self._machine.use(trio.current_time()))

    def check(self) -> None:
        """Raise ServiceError if it gave up, trio.ClosedResourceError if its block was left."""
        if self.failure is not None:
            raise self.failure
        if self.state == "closed":
            raise trio.ClosedResourceError(f"the block of {self.name} was left")

    def lost(self, number: int) -> ConnectionLost:
        """Return the error of whoever used the stream ``number``, which is over."""
        end = self._machine.last_end
        return ConnectionLost(self.name, number, "its stream is over" if end is None else str(end))

    def going_away(self, why: str) -> bool:
        """Replace the stream before the peer ends it; False when there will be no other before that."""
        return self._step(why, lambda: self._machine.notice(trio.current_time()))

    def close(self) -> None:
        """End every stream and every dial; there will be none any more."""
        if self.state != "closed":
            self._step("its block was left", self._machine.close)
        self._finish_all("its block was left")

    def statistics(self) -> ConnectionStatistics:
        """Return the counts so far."""
        streams = self.streams
        end = self._machine.last_end
        return ConnectionStatistics(
            name=self.name,
            state=self.state,
            dials=self._dials,
            tries=self._machine.tries,
            streams=streams.opened,
            lost=self._lost,
            messages_sent=streams.messages_sent,
            messages_received=streams.messages_received,
            dropped_audio_s=streams.dropped_s,
            queued_items=streams.queued_items,
            round_trip_s=streams.round_trip_s,
            last_end="" if end is None else str(end),
        )

    # --- dialling ---

    async def run(self, nursery: trio.Nursery) -> None:  # noqa: ASYNC910  # it waits until it is closed
        """Do what the machine says until the connection is closed; streams live in ``nursery``."""
        machine = self._machine
        while machine.state != "closed":
            changed = self._changed
            deadline = math.inf
            if machine.state in ("connecting", "handover"):
                self._dial_if_allowed(nursery)
            elif machine.state in ("backoff", "handover backoff"):
                deadline = machine.retry_at
                if trio.current_time() >= deadline:
                    self._step("the wait is over", lambda: machine.due(trio.current_time()))
                    continue
            elif machine.state == "failed":
                self._finish_all("the connection gave up")
            with trio.CancelScope(deadline=deadline):
                await changed.wait()

    def _dial_if_allowed(self, nursery: trio.Nursery) -> None:
        if self._dial_scope is not None:
            return
        if self.state == "connecting":
            self.streams.finish_replaced("its successor is lost")
        if self._sockets > (self.state == "handover"):
            return  # an old socket is not gone yet
        self._dial_scope = trio.CancelScope(deadline=trio.current_time() + self.settings.connect_s)
        self._sockets += 1
        nursery.start_soon(self._serve, self._dial_scope, name=f"{self.name} stream")

    async def _serve(self, scope: trio.CancelScope) -> None:  # noqa: ASYNC910  # a task, started anew each time
        """Open a stream, run it to its end, and be gone."""
        wire: Wire | None = None
        failed: StreamEnd | None = None
        try:
            with scope:
                wire = await self._open_and_run(scope)
            if scope.cancelled_caught and wire is None and scope.deadline <= trio.current_time():
                text = f"it did not answer within {self.settings.connect_s:g} s"
                failed = StreamEnd(was_open=False, by="network", reason=text)
        except (OSError, HandshakeFailed, SocketClosed, ServiceError, trio.BrokenResourceError) as error:
            failed = end_of_dial(error)
            self._service_error = error if isinstance(error, ServiceError) else None
        finally:
            self._sockets -= 1
            if self._dial_scope is scope:
                self._dial_scope = None
                if failed is not None and self.state in ("connecting", "handover"):
                    now = trio.current_time()
                    self._step(str(failed), lambda: self._machine.dial_failed(failed, now))
            self.notify()

    async def _open_and_run(self, scope: trio.CancelScope) -> Wire | None:
        if not dialling_allowed():
            self.close()
            await trio.lowlevel.checkpoint()
            return None
        self._dials += 1
        wire: Wire | None = None
        async with self._connect(self.settings.socket_limits()) as socket:
            # Not raised in the block: what a block does with an exception is its own affair.
            refused = await self._say_first_words(socket)
            if refused is None:
                scope.deadline = math.inf
                wire = await self._run_wire(socket)
            if wire is None or wire.end is None or not wire.end.was_asked:
                await socket.close(wait_answer=False)
        if refused is not None:
            raise refused
        return wire

    async def _say_first_words(self, socket: MessageSocket) -> Exception | None:
        """Prepare ``socket``; return why it cannot be used."""
        await trio.lowlevel.checkpoint()
        if self._prepare is not None:
            try:
                await self._prepare(socket)
            except (ServiceError, SocketClosed, trio.BrokenResourceError) as error:
                return error
        return None

    async def _run_wire(self, socket: MessageSocket) -> Wire:
        streams = self.streams
        streams.opened += 1
        wire = Wire(
            streams.opened, socket, self.settings, self._keepalive, self._on_message, lambda: self.uses > 0
        )
        self._dial_scope = None
        streams.add(wire)
        self._step("it is open", lambda: self._machine.opened(trio.current_time()))
        try:
            await wire.serve()
        finally:
            self._ended(wire)
        return wire

    def _ended(self, wire: Wire) -> None:
        wire.stop("it was cancelled")  # unless it has ended
        assert wire.end is not None
        end = wire.end
        if self.streams.remove(wire) and self._machine.has_stream:
            self._service_error = wire.error
            now = trio.current_time()
            kind = self._step(str(end), lambda: self._machine.ended(end, now, was_used=wire.was_used))
            self._lost += kind not in ("wanted", "idle")
        lost = ConnectionLost(self.name, wire.number, str(end))
        for listener in self.lost_listeners:
            listener(wire.number, lost)
        self.notify()

    def _finish_all(self, why: str) -> None:
        """Let every stream end, and every dial."""
        if self._dial_scope is not None:
            self._dial_scope.cancel(reason=why)
        self.streams.finish(why)

    def _step(self, why: str, step: Callable[[], T]) -> T:
        """Tell the machine something, and everybody what came of it."""
        old = self.state
        result = step()
        new = self.state
        if new == "failed" and self.failure is None:
            assert self._machine.gave_up is not None
            error = self._service_error
            refused = self._machine.gave_up.because == "refused"
            self.failure = (
                error if error is not None and refused else failure_of(self.name, self._machine.gave_up)
            )
        if new != old:
            waits = new in ("backoff", "handover backoff")
            retry_in_s = max(0.0, self._machine.retry_at - trio.current_time()) if waits else None
            emit(ConnectionChanged(connection=self.name, old=old, new=new, why=why, retry_in_s=retry_in_s))
            _log.debug("%s: %s -> %s (%s)", self.name, old, new, why)
            self.notify()
        return result
