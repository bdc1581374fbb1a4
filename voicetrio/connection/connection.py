"""A client connection that stays usable: one stream at a time, and the next one when it is lost.

The connection lives in its own block, and so do its tasks, see ``manager``.

1. What was queued on a stream that is lost is not written on the next one: only whoever queued it knows what
   it means there.  They are told, and ``recovery`` helps them.
2. Every wait has a bound, see ``ConnectionSettings``.

Leaving the block writes what is queued, says goodbye and closes, within bounds.  Left by an exception or
cancelled, it drops the socket.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Self, final

import trio

from voicetrio.connection.faults import ConnectionLost
from voicetrio.connection.manager import Connect, Manager, Prepare
from voicetrio.connection.settings import ConnectionSettings, ConnectionStatistics, Keepalive
from voicetrio.connection.websocket.socket import Message
from voicetrio.connection.wire import Wire
from voicetrio.errors import ServiceError
from voicetrio.machines.reconnect import ConnectionState, ReconnectMachine, ReconnectSettings
from voicetrio.machines.stream_end import Classifier
from voicetrio.runtime.attendants import open_attendants

__all__ = ["Connect", "Connection", "Prepare", "open_connection"]


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
        self._manager = Manager(
            connect, name, settings, machine, keepalive, prepare, on_message or self._to_inbox
        )
        self._has_inbox = on_message is None
        self._inbox: deque[Message | ConnectionLost] = deque()
        self._inbox_bytes = 0
        if self._has_inbox:
            self.on_lost(self._lost_to_inbox)

    def __repr__(self) -> str:
        return f"<connection {self.name}: {self.state}>"

    @property
    def state(self) -> ConnectionState:
        """Where it stands; see ``machines.reconnect``."""
        return self._manager.state

    @property
    def is_usable(self) -> bool:
        """True when there is an open stream."""
        return self._manager.streams.number > 0

    @property
    def stream(self) -> int:
        """The number of the open stream, counted from 1; 0 when there is none."""
        return self._manager.streams.number

    # --- needing it ---

    @contextmanager
    def using(self) -> Iterator[Self]:
        """Need the connection inside this block: it is opened if it is not, and a clean close is a loss."""
        manager = self._manager
        manager.uses += 1
        if manager.streams.present is not None:
            manager.streams.present.was_used = True
        manager.want()
        try:
            yield self
        finally:
            manager.uses -= 1

    async def wait_usable(self) -> int:
        """Open the connection if it is not open, wait until it is, and return the stream's number.

        Bound it with a scope of your own: waits and tries may last as long as the budgets allow.  Raises
        ServiceError when the connection gave up, trio.ClosedResourceError when its block was left.
        """
        await trio.lowlevel.checkpoint()
        while not self.is_usable:
            self._manager.want()
            self._manager.check()
            await self._manager.wait_changed()
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
            self._manager.want()
            self._manager.check()
            raise trio.WouldBlock
        wire.outbound.put_nowait(message)
        wire.was_used = True

    def send_audio(self, message: Message, seconds: float) -> bool:
        """Queue ``seconds`` of audio, which may be dropped when it is too old; False if there is no stream.

        Never waits.  Raises what ended the connection, if it gave up.
        """
        wire = self._manager.streams.present
        if wire is None or not wire.is_open:
            self._manager.want()
            self._manager.check()
            return False
        wire.was_used = True
        wire.outbound.put_audio(message, seconds)
        return True

    def _find(self, number: int | None) -> Wire | None:
        """Return the open stream ``number``, or the current one; None if there is no current one."""
        wire = self._manager.streams.find(number)
        if wire is None and number is not None:
            self._manager.check()
            raise self._manager.lost(number)
        return wire

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
            if self._manager.failure is not None:
                raise self._manager.failure
            if self.state == "closed":
                raise trio.EndOfChannel
            await self._manager.wait_changed()
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
        self._manager.notify()

    def _lost_to_inbox(self, _number: int, lost: ConnectionLost) -> None:
        if self.state != "closed":
            self._inbox.append(lost)

    def on_lost(self, listener: Callable[[int, ConnectionLost], None]) -> None:
        """Call ``listener`` with the number of each stream that ends, and why, at once; it must not wait."""
        self._manager.lost_listeners.append(listener)

    # --- what the service says ---

    def going_away(self, why: str) -> bool:
        """Replace the stream before the peer ends it: it said that it will.

        Returns False when no successor will be opened before that (none is open, or no try is left).
        """
        return self._manager.going_away(why)

    def recycle(self, why: str) -> None:
        """End the stream on purpose; the next one is opened when somebody needs it."""
        if self._manager.streams.present is not None:
            self._manager.streams.present.stop(why)

    def refuse(self, error: ServiceError) -> None:
        """End the stream because of what the service said in it.

        An error that is not transient is the end of the connection too; ``error`` is what it raises then.
        """
        if self._manager.streams.present is not None:
            self._manager.streams.present.refuse(error)

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
        return self._manager.statistics()


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
    async with open_attendants(wait=True) as nursery:
        nursery.start_soon(connection._manager.run, nursery, name=f"{name} manager")
        if dial_now:
            connection._manager.want()
        try:
            yield connection
        finally:
            connection._manager.close()
