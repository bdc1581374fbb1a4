"""A client connection that stays usable: one stream at a time, and the next one when it is lost.

The connection lives in its own block, and so do its tasks::

    the block's nursery
     ├─ manager      does what the reconnect machine says: dials, waits, gives up
     └─ a stream     opens a socket, and closes it; inside it
         ├─ reader   gives each message away at once, and never waits on anybody
         └─ writer   writes what is queued, and the service's keepalive when nothing is

1. A socket is fully gone before the next is dialled.  The one exception is a peer that said it would go
   (``going_away``): the next one is opened beside it, and the old one finishes the work it has.
2. Before a dial the session's gate is tested, with no checkpoint in between: a session that was cancelled
   dials no more.
3. What was queued on a stream that is lost is not written on the next one: only whoever queued it knows what
   it means there.  They are told, and ``recovery`` helps them.
4. Every wait has a bound, see ``ConnectionSettings``.

Leaving the block writes what is queued, says goodbye and closes, within bounds.  Left by an exception or
cancelled, it drops the socket.
"""

from __future__ import annotations

import logging
import math
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Self, TypeAlias, TypeVar, final

import trio

from voicetrio.connection.faults import ConnectionLost, end_of_dial, failure_of
from voicetrio.connection.settings import ConnectionSettings, ConnectionStatistics, Keepalive
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
from voicetrio.machines.reconnect import ConnectionState, ReconnectMachine, ReconnectSettings
from voicetrio.machines.stream_end import Classifier, StreamEnd
from voicetrio.runtime.emit import emit
from voicetrio.runtime.outbox import dialling_allowed

__all__ = ["Connect", "Connection", "Prepare", "open_connection"]

T = TypeVar("T")
_log = logging.getLogger("voicetrio.connection")

Connect: TypeAlias = Callable[[SocketLimits], AbstractAsyncContextManager[MessageSocket]]
"""Opens a socket for as long as its block lasts: ``websocket_dialler`` makes one, and anything that gives a
MessageSocket will do, ``adopt_trio_websocket`` among them."""
Prepare: TypeAlias = Callable[[MessageSocket], Awaitable[None]]
"""Says and hears on a new socket what must come first; it alone uses the socket until it returns.
A ServiceError that is not transient ends the tries."""


@final
class Connection:
    """A connection that comes back; made by ``open_connection`` only."""

    def __init__(
        self,
        connect: Connect,
        name: str,
        settings: ConnectionSettings,
        machine: ReconnectMachine,
        keepalive: Keepalive,
        prepare: Prepare | None,
        on_message: Callable[[Message], None] | None,
    ) -> None:
        self.name = name
        """For events and errors."""
        self.settings = settings
        self._connect = connect
        self._machine = machine
        self._keepalive = keepalive
        self._prepare = prepare
        self._on_message = on_message or self._to_inbox
        self._has_inbox = on_message is None
        self._inbox: deque[Message | ConnectionLost] = deque()
        self._inbox_bytes = 0
        self._lost_listeners: list[Callable[[int, ConnectionLost], None]] = []
        self._changed = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._wire: Wire | None = None
        self._retired: list[Wire] = []
        self._sockets = 0
        self._dial_scope: trio.CancelScope | None = None
        self._failure: ServiceError | None = None
        self._service_error: ServiceError | None = None
        self._uses = 0
        self._dials = self._streams = self._lost = 0
        self._sent = self._received = 0
        self._dropped_s = 0.0
        self._round_trip_s: float | None = None

    def __repr__(self) -> str:
        return f"<connection {self.name}: {self.state}>"

    @property
    def state(self) -> ConnectionState:
        """Where it stands; see ``machines.reconnect``."""
        return self._machine.state

    @property
    def is_usable(self) -> bool:
        """True when there is an open stream."""
        return self._wire is not None and self._wire.is_open

    @property
    def stream(self) -> int:
        """The number of the open stream, counted from 1; 0 when there is none."""
        return self._wire.number if self._wire is not None and self._wire.is_open else 0

    # --- needing it ---

    @contextmanager
    def using(self) -> Iterator[Self]:
        """Need the connection inside this block: it is opened if it is not, and a clean close is a loss."""
        self._uses += 1
        if self._wire is not None:
            self._wire.was_used = True
        self._want()
        try:
            yield self
        finally:
            self._uses -= 1

    async def wait_usable(self) -> int:
        """Open the connection if it is not open, wait until it is, and return the stream's number.

        Bound it with a scope of your own: waits and tries may last as long as the budgets allow.  Raises
        ServiceError when the connection gave up, trio.ClosedResourceError when its block was left.
        """
        await trio.lowlevel.checkpoint()
        while not self.is_usable:
            self._want()
            self._check()
            await self._changed.wait()
        return self.stream

    # --- sending ---

    async def send(self, message: Message, *, stream: int | None = None) -> None:
        """Queue a message that must not be left out; wait for a stream, and for room.

        ``stream`` is the number of the stream that it belongs to: on no other will it be written.  Raises
        ConnectionLost when that stream is over, and what ``wait_usable`` raises.  Cancelled, it was not
        queued.
        """
        while True:
            if stream is None:
                await self.wait_usable()
            else:
                await trio.lowlevel.checkpoint()
            wire = self._find(stream)
            if wire is None:
                continue
            try:
                await wire.outbound.put(message)
            except trio.BrokenResourceError:
                if stream is None:
                    continue
                self._find(stream)
            else:
                wire.was_used = True
                return

    def send_nowait(self, message: Message, *, stream: int | None = None) -> None:
        """Queue a message if there is a stream and room.

        Raises trio.WouldBlock if there is not, ConnectionLost if ``stream`` is over.
        """
        wire = self._find(stream)
        if wire is None:
            self._want()
            self._check()
            raise trio.WouldBlock
        wire.outbound.put_nowait(message)
        wire.was_used = True

    def send_audio(self, message: Message, seconds: float) -> bool:
        """Queue ``seconds`` of audio, which may be dropped when it is too old; False if there is no stream.

        Never waits.  Raises what ended the connection, if it gave up.
        """
        if self._wire is None or not self._wire.is_open:
            self._want()
            self._check()
            return False
        self._wire.was_used = True
        self._wire.outbound.put_audio(message, seconds)
        return True

    def _find(self, number: int | None) -> Wire | None:
        """Return the open stream ``number``, or the current one; None if there is no current one."""
        for wire in (self._wire, *self._retired):
            if wire is not None and wire.is_open and number in (None, wire.number):
                return wire
        if number is not None:
            self._check()
            end = self._machine.last_end
            raise ConnectionLost(self.name, number, "its stream is over" if end is None else str(end))
        return None

    # --- receiving ---

    async def receive(self) -> Message:
        """Return the next message, from whichever stream it came.

        Raises ConnectionLost once after the last message of each stream: what follows comes from the next
        one.  Raises ServiceError when the connection gave up, trio.EndOfChannel when its block was left.
        Cancelling loses nothing.
        """
        if not self._has_inbox:
            raise RuntimeError(f"{self.name} gives its messages to on_message: there is nothing to receive")
        await trio.lowlevel.checkpoint()
        while not self._inbox:
            if self._failure is not None:
                raise self._failure
            if self.state == "closed":
                raise trio.EndOfChannel
            await self._changed.wait()
        item = self._inbox.popleft()
        if isinstance(item, ConnectionLost):
            raise item
        self._inbox_bytes -= len(item)
        return item

    def _to_inbox(self, message: Message) -> None:
        if self._inbox_bytes + len(message) > self.settings.max_inbox_bytes:
            raise ServiceError(
                "messages come faster than they are received",
                service=self.name,
                fault="ours",
                transient=True,
            )
        self._inbox.append(message)
        self._inbox_bytes += len(message)
        self._notify()

    def on_lost(self, listener: Callable[[int, ConnectionLost], None]) -> None:
        """Call ``listener`` with the number of each stream that ends, and why, at once; it must not wait."""
        self._lost_listeners.append(listener)

    # --- what the service says ---

    def going_away(self, why: str) -> bool:
        """Replace the stream before the peer ends it: it said that it will.

        Returns False when no successor will be opened before that (none is open, or no try is left).
        """
        return self._step(why, lambda: self._machine.notice(trio.current_time()))

    def recycle(self, why: str) -> None:
        """End the stream on purpose; the next one is opened when somebody needs it."""
        if self._wire is not None:
            self._wire.finish(StreamEnd(was_open=True, by="us", reason=why, was_asked=True))

    def refuse(self, error: ServiceError) -> None:
        """End the stream because of what the service said in it.

        An error that is not transient is the end of the connection too; ``error`` is what it raises then.
        """
        if self._wire is not None:
            self._wire.refuse(error)

    # --- leases of streams (contexts) ---

    def _lease(self) -> Wire | None:
        """Note that work began on the current stream; None if there is none."""
        wire = self._find(None)
        if wire is not None:
            wire.lease()
        return wire

    # --- statistics ---

    def statistics(self) -> ConnectionStatistics:
        """Return the counts so far."""
        wire = self._wire
        counts = None if wire is None else wire.socket.statistics()
        end = self._machine.last_end
        return ConnectionStatistics(
            name=self.name,
            state=self.state,
            dials=self._dials,
            tries=self._machine.tries,
            streams=self._streams,
            lost=self._lost,
            messages_sent=self._sent + (counts.messages_sent if counts else 0),
            messages_received=self._received + (wire.received if wire else 0),
            dropped_audio_s=self._dropped_s + (wire.outbound.dropped_s if wire else 0.0),
            queued_items=len(wire.outbound) if wire else 0,
            round_trip_s=counts.round_trip_s if counts else self._round_trip_s,
            last_end="" if end is None else str(end),
        )

    # --- the manager ---

    async def _manage(self) -> None:  # noqa: ASYNC910  # it waits until it is closed
        machine = self._machine
        while machine.state != "closed":
            changed = self._changed
            deadline = math.inf
            if machine.state in ("connecting", "handover"):
                self._dial_if_allowed()
            elif machine.state in ("backoff", "handover backoff"):
                deadline = machine.retry_at
                if trio.current_time() >= deadline:
                    self._step("the wait is over", lambda: machine.due(trio.current_time()))
                    continue
            elif machine.state == "failed":
                self._finish_all("the connection gave up")
            with trio.CancelScope(deadline=deadline):
                await changed.wait()

    def _dial_if_allowed(self) -> None:
        if self._dial_scope is not None:
            return
        if self.state == "connecting":
            for wire in self._retired:
                wire.finish(StreamEnd(was_open=True, by="us", reason="its successor is lost", was_asked=True))
        if self._sockets > (self.state == "handover"):
            return  # an old socket is not gone yet
        assert self._nursery is not None
        self._dial_scope = trio.CancelScope(deadline=trio.current_time() + self.settings.connect_s)
        self._sockets += 1
        self._nursery.start_soon(self._serve, self._dial_scope, name=f"{self.name} stream")

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
            self._notify()

    async def _open_and_run(self, scope: trio.CancelScope) -> Wire | None:
        if not dialling_allowed():
            self._close()
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
        self._streams += 1
        wire = Wire(self._streams, socket, self.settings, self._keepalive, self._on_message, self._is_used)
        self._opened(wire)
        try:
            await wire.serve()
        finally:
            self._ended(wire)
        return wire

    def _opened(self, wire: Wire) -> None:
        self._dial_scope = None
        old, self._wire = self._wire, wire
        self._step("it is open", lambda: self._machine.opened(trio.current_time()))
        if old is not None:
            self._retired.append(old)
            old.retire()

    def _ended(self, wire: Wire) -> None:
        if wire.end is None:
            wire.finish(StreamEnd(was_open=True, by="us", reason="it was cancelled", was_asked=True))
        assert wire.end is not None
        end = wire.end
        self._sent += wire.socket.statistics().messages_sent
        self._received += wire.received
        self._dropped_s += wire.outbound.dropped_s
        self._round_trip_s = wire.socket.statistics().round_trip_s
        if wire is not self._wire:
            self._retired.remove(wire)
        else:
            self._wire = None
            if self._machine.has_stream:
                self._service_error = wire.error
                now = trio.current_time()
                kind = self._step(str(end), lambda: self._machine.ended(end, now, was_used=wire.was_used))
                self._lost += kind not in ("wanted", "idle")
        lost = ConnectionLost(self.name, wire.number, str(end))
        if self._has_inbox and self.state != "closed":
            self._inbox.append(lost)
        for listener in self._lost_listeners:
            listener(wire.number, lost)
        self._notify()

    def _finish_all(self, why: str) -> None:
        """Let every stream end, and every dial."""
        if self._dial_scope is not None:
            self._dial_scope.cancel(reason=why)
        for wire in (self._wire, *self._retired):
            if wire is not None:
                wire.finish(StreamEnd(was_open=True, by="us", reason=why, was_asked=True))

    def _close(self) -> None:
        if self.state != "closed":
            self._step("its block was left", self._machine.close)
        self._finish_all("its block was left")

    # --- small things ---

    def _is_used(self) -> bool:
        return self._uses > 0

    def _want(self) -> None:
        if self.state == "idle":
            self._step("it is needed", lambda: self._machine.use(trio.current_time()))

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self.state == "closed":
            raise trio.ClosedResourceError(f"the block of {self.name} was left")

    def _step(self, why: str, step: Callable[[], T]) -> T:
        """Tell the machine something, and everybody what came of it."""
        old = self.state
        result = step()
        new = self.state
        if new == "failed" and self._failure is None:
            assert self._machine.gave_up is not None
            error = self._service_error
            refused = self._machine.gave_up.because == "refused"
            self._failure = (
                error if error is not None and refused else failure_of(self.name, self._machine.gave_up)
            )
        if new != old:
            waits = new in ("backoff", "handover backoff")
            retry_in_s = max(0.0, self._machine.retry_at - trio.current_time()) if waits else None
            emit(ConnectionChanged(connection=self.name, old=old, new=new, why=why, retry_in_s=retry_in_s))
            _log.debug("%s: %s -> %s (%s)", self.name, old, new, why)
            self._notify()
        return result

    def _notify(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()


@asynccontextmanager
async def open_connection(
    connect: Connect,
    *,
    name: str = "connection",
    settings: ConnectionSettings | None = None,
    reconnect: ReconnectSettings | None = None,
    keepalive: Keepalive | None = None,
    prepare: Prepare | None = None,
    on_message: Callable[[Message], None] | None = None,
    classifier: Classifier | None = None,
    dial_now: bool = True,
    chance: random.Random | None = None,
) -> AsyncIterator[Connection]:
    """Keep a connection usable for as long as the block lasts.

    Args:
        connect: opens a socket, see ``websocket_dialler``.
        name: the service, for events and errors.
        settings: the bounds.
        reconnect: waits and budgets of the tries.
        keepalive: what the service wants to hear when nothing is said; the protocol's pings go anyway.
        prepare: what must come first on each new socket.
        on_message: is given each message at once by the reader, and must not wait; a ServiceError that it
            raises ends the stream, one that is not transient the connection.  Without it, messages wait for
            ``Connection.receive``.
        classifier: what the service's own close codes mean.
        dial_now: open it at once; False waits for the first use.
        chance: where the jitter comes from; default is seeded from ``random``.

    Does not wait until it is open: ``wait_usable`` does.  A connection that gave up does not end the block:
    it raises in whoever uses it.
    """
    machine = ReconnectMachine(
        reconnect or ReconnectSettings(), chance or random.Random(random.getrandbits(64)), classifier
    )
    connection = Connection(
        connect,
        name,
        settings or ConnectionSettings(),
        machine,
        keepalive or Keepalive.none(),
        prepare,
        on_message,
    )
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        connection._nursery = nursery
        nursery.start_soon(connection._manage, name=f"{name} manager")
        if dial_now:
            connection._want()
        try:
            yield connection
        except Exception as error:
            failure = error
            nursery.cancel_scope.cancel(reason="the block raised")
        finally:
            connection._close()
    if failure is not None:
        raise failure
