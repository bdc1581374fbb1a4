"""Hosting trio-websocket so that a fault in one connection cannot reach another.

``trio_websocket.serve_websocket`` runs every connection, its reader and its handler in one nursery: a
handler that raises, a frame that is garbage, or a ping that arrives while we close ends all of them.  Here
each connection has a nursery of its own, and what comes out of it is logged and counted.  The opening
handshake has a deadline, and so has everything after the handler returned.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias, final

import attrs
import trio
import trio_websocket

from voicetrio.connection.websocket import SocketLimits
from voicetrio.runtime.failures import contained
from voicetrio.server.listening import Listening, open_listeners, remote_of, shape_buffers

__all__ = ["HostStatistics", "RequestHandler", "WebSocketHost", "serve_trio_websocket"]

_log = logging.getLogger("voicetrio.server")

RequestHandler: TypeAlias = Callable[[trio_websocket.WebSocketRequest], Awaitable[object]]
"""Accepts or rejects a request, and talks; as for ``trio_websocket.serve_websocket``."""

MESSAGE_QUEUE = 64
"""trio-websocket answers no ping while more messages than this wait to be received."""


@attrs.frozen(kw_only=True)
class HostStatistics:
    """Counts of one host."""

    open_connections: int
    served: int
    """Connections whose handler returned."""
    failed: int
    """Connections that ended with an error, of the handler or of the connection."""
    not_opened: int
    """Connections without an opening handshake in time."""


@final
class WebSocketHost(Listening):
    """A running host; made by ``serve_trio_websocket`` only."""

    def __init__(
        self, handler: RequestHandler, listeners: list[trio.SocketListener], limits: SocketLimits
    ) -> None:
        super().__init__(listeners, "ws")
        self._handler = handler
        self._listeners = listeners
        self._limits = limits
        self._open = self._served = self._failed = self._not_opened = 0

    def statistics(self) -> HostStatistics:
        """Return the counts so far."""
        return HostStatistics(
            open_connections=self._open,
            served=self._served,
            failed=self._failed,
            not_opened=self._not_opened,
        )

    async def _serve_connection(self, stream: trio.SocketStream) -> None:
        await trio.lowlevel.checkpoint()
        remote = remote_of(stream)
        shape_buffers(stream)
        self._open += 1
        try:
            with contained(partial(self._note_failed, remote)):
                async with trio.open_nursery() as nursery:
                    await self._shake_hands_and_handle(nursery, stream)
                    nursery.cancel_scope.cancel("the handler returned")
        finally:
            self._open -= 1  # the socket is closed by ``serve_listeners``

    def _note_failed(self, remote: str, error: Exception) -> None:
        self._failed += 1
        _log.error("the connection of %s failed", remote, exc_info=error)

    async def _shake_hands_and_handle(self, nursery: trio.Nursery, stream: trio.SocketStream) -> None:
        request: trio_websocket.WebSocketRequest | None = None
        with trio.move_on_after(self._limits.handshake_s):
            request = await trio_websocket.wrap_server_stream(
                nursery,
                stream,
                message_queue_size=MESSAGE_QUEUE,
                max_message_size=self._limits.max_message_bytes,
            )
        if request is None:
            self._not_opened += 1
            return
        await self._handler(request)
        self._served += 1


async def serve_trio_websocket(
    handler: RequestHandler,
    port: int,
    host: str = "127.0.0.1",
    *,
    limits: SocketLimits | None = None,
    task_status: trio.TaskStatus[WebSocketHost] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve ``handler(request)`` for each connection, contained, until cancelled.

    ``host = await nursery.start(serve_trio_websocket, handler, port)`` returns when it listens; ``port`` 0
    takes a free one.  Inside, ``open_adopted_peer(await request.accept(), headers=request.headers)`` makes
    the peer of a session.  Of ``limits`` the size of a message and the time of the handshake count here.

    Raises ConfigError, naming host and port, when it cannot listen there.
    """
    listeners = await open_listeners(host, port)
    running = WebSocketHost(handler, listeners, limits or SocketLimits())
    task_status.started(running)
    await trio.serve_listeners(running._serve_connection, listeners)
