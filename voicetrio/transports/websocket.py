"""A peer at the other end of a WebSocket: a MessageSocket joined to a wire format.

``run`` has two tasks: one reads the socket and gives what it reads to the session without ever waiting
for it; the other takes operations from the outbox and is the only one that writes messages.  What the reader
has to say (that a message was malformed) is queued at the socket and written by the socket's own task.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import final

import attrs
import trio
import trio_websocket

from voicetrio.connection.websocket import (
    MessageSocket,
    SocketClosed,
    SocketLimits,
    SocketStatistics,
    UpgradeRequest,
    adopt_trio_websocket,
)
from voicetrio.errors import PeerGone
from voicetrio.events import Dtmf, Event, MessageReceived
from voicetrio.frames import AudioFrame
from voicetrio.runtime.deadlines import cleanup
from voicetrio.runtime.transport import HangUp, Inbound, Operation, OutboxReader, SendMessage, Traits
from voicetrio.transports.serializers import Hello, Leaving, Malformed, Played, Received, Serializer
from voicetrio.transports.serializers.event_json import is_told
from voicetrio.transports.serializers.native import NativeWire

__all__ = ["WebSocketPeer", "WebSocketPeerStatistics", "open_adopted_peer"]

MAX_MALFORMED = 20
"""Malformed messages that one connection is forgiven."""
GOING_AWAY = 1001
INTERNAL_ERROR = 1011


@attrs.frozen(kw_only=True)
class WebSocketPeerStatistics:
    """Counts of one peer."""

    malformed: int
    """Messages that could not be understood."""
    socket: SocketStatistics


@final
class WebSocketPeer:
    """A Transport over a MessageSocket."""

    def __init__(
        self,
        socket: MessageSocket,
        wire: Serializer,
        *,
        name: str,
        request: UpgradeRequest | None = None,
    ) -> None:
        self._socket = socket
        self._wire = wire
        self._name = name
        self.request = request or UpgradeRequest("/", {}, {}, socket.remote)
        """Path, query, headers and address that the client came with."""
        self.client = ""
        """What the client calls itself, once it said so."""
        self._inbound: Inbound | None = None
        self._is_leaving = False
        self._malformed = 0
        self._close_code = GOING_AWAY
        self._gone: PeerGone | None = None
        self._was_run = False
        self.goodbye_code: int | None = None
        """What the connection is closed with instead of 1000 or 1001, when we close it."""
        self.heard_from_at = trio.current_time()
        """When the client's last message came, in seconds."""

    @property
    def name(self) -> str:
        """The peer's name, for logs; the client is told it as the session's."""
        return self._name

    @property
    def traits(self) -> Traits:
        """What the peer can do."""
        return self._wire.traits

    @property
    def was_run(self) -> bool:
        """True once a session uses it."""
        return self._was_run

    def operation_for(self, event: Event) -> Operation | None:
        """Return what tells the client of ``event``; None for an event that clients are not told."""
        return SendMessage(event) if is_told(event) else None

    def send_last_notice(self, event: Event) -> None:
        """Queue ``event`` beside the outbox, for the socket to write before it closes, if it still can."""
        for message in self._wire.encode(SendMessage(event)):
            if isinstance(message, str):
                self._socket.send_nowait(message)

    async def run(self, inbound: Inbound, outbox: OutboxReader) -> None:
        """Read and write until the outbox says HangUp; see Transport.

        Cancelled, it sends a close frame (1001) and drops the socket without awaiting the answer; a frame
        that was half written is followed by nothing.
        """
        self._was_run = True
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(
                    self._read, inbound, nursery.cancel_scope, name=f"{self._name}/websocket reader"
                )
                await self._write(outbox)
                nursery.cancel_scope.cancel()
        except Exception:
            self._close_code = INTERNAL_ERROR
            raise
        finally:
            with cleanup(within_s=self._socket.limits.close_s):
                code = self._close_code
                if code == GOING_AWAY and self.goodbye_code is not None:
                    code = self.goodbye_code
                await self._socket.close(code, wait_answer=False)  # noqa: ASYNC102
        if self._gone is not None:
            raise self._gone

    def drop(self) -> None:
        """Drop the connection without a goodbye: ``run`` raises PeerGone."""
        self._socket.abort()

    async def dismiss(self, code: int = 1000, reason: str = "", *, wait_answer: bool = True) -> None:
        """Close the connection of a peer that no session took; does nothing when it is closed."""
        await self._socket.close(code, reason, wait_answer=wait_answer)

    def statistics(self) -> WebSocketPeerStatistics:
        """Return the counts so far."""
        return WebSocketPeerStatistics(malformed=self._malformed, socket=self._socket.statistics())

    # --- the writer ---

    async def _write(self, outbox: OutboxReader) -> None:
        try:
            for greeting in self._wire.greet(self._name):
                await self._socket.send(greeting)
            while True:
                operation = await outbox.next(self._write_at_once)
                for message in self._wire.encode(operation):
                    await self._socket.send(message)
                outbox.written(operation)
                if isinstance(operation, HangUp):
                    self._is_leaving = True
                    await self._socket.close(self.goodbye_code or operation.code, operation.reason)
                    return
        except trio.BrokenResourceError:
            # The reader is told why; it ends this task.
            await trio.sleep_forever()

    def _write_at_once(self, operation: Operation) -> bool:
        """Write ``operation`` in the step that made it, if nothing is in the way; see OutboxReader."""
        if isinstance(operation, HangUp):
            return False
        try:
            return self._socket.try_send(partial(self._wire.encode, operation))
        except Exception:
            # It is this task's to tell: it meets the same again.
            return False

    # --- the reader ---

    async def _read(  # noqa: ASYNC910  # it ends by an exception of ``listen``, which has awaited
        self, inbound: Inbound, scope: trio.CancelScope
    ) -> None:
        current_time = trio.lowlevel.current_clock().current_time
        decode, give_audio = self._wire.decode, inbound.send_nowait

        def take(message: bytes | str) -> None:
            if self._gone is not None:
                return
            self.heard_from_at = current_time()
            received = decode(message)
            if isinstance(received, AudioFrame):
                give_audio(received)
            elif isinstance(received, Malformed):
                self._forgive(received, scope)
            elif received is not None:
                self._give(inbound, received)

        try:
            await self._socket.listen(take)
        except SocketClosed as closed:
            # Nobody is gone who leaves because we do.
            if not self._is_leaving:
                self._gone = PeerGone(closed.reason or str(closed), code=closed.code)
                scope.cancel()

    def _give(self, inbound: Inbound, received: Received) -> None:
        match received:
            case Played(epoch=epoch, position=position):
                inbound.confirm(epoch, position)
            case Dtmf() | MessageReceived():
                inbound.tell(received)
            case Hello(client=client):
                self.client = client
            case Leaving():
                inbound.source_ended()

    def _forgive(self, malformed: Malformed, scope: trio.CancelScope) -> None:
        self._malformed += 1
        self._socket.send_nowait(self._wire.complain(malformed))
        if self._malformed > MAX_MALFORMED:
            self._close_code = malformed.close_code
            self._gone = PeerGone(
                f"sent {self._malformed} messages that cannot be understood, the last: {malformed.message}",
                code=malformed.close_code,
            )
            scope.cancel()


@asynccontextmanager
async def open_adopted_peer(
    connection: trio_websocket.WebSocketConnection,
    wire: Serializer | None = None,
    *,
    name: str = "adopted",
    headers: Iterable[tuple[bytes, bytes]] = (),
    limits: SocketLimits | None = None,
) -> AsyncIterator[WebSocketPeer]:
    """Make a peer of a connection that an application's own trio-websocket server accepted.

    Use it around ``open_session``.  ``wire`` defaults to our own, with the rates that the connection's
    address asks for.  The session closes the connection at its end; the server that accepted it is not
    touched.  ``headers`` are those of the application's ``WebSocketRequest``, for ``peer.request``, since the
    connection does not keep them.  Raises ConfigError when the address asks for what the wire does not have.
    """
    async with adopt_trio_websocket(connection, limits) as socket:
        request = UpgradeRequest.from_target(
            connection.path or "/",
            [(key.decode("latin-1"), value.decode("latin-1")) for key, value in headers],
            socket.remote,
        )
        yield WebSocketPeer(socket, wire or NativeWire.from_query(request.query), name=name, request=request)
