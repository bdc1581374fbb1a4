"""An ASGI application behind HTTP/1.1 and WebSocket, on trio: hypercorn's protocol, connections of our own.

Hypercorn parses, and calls the application.  What it leaves open is here:

1. Every write has a deadline.  A client that stops reading is dropped after ``stall_s``, because a write that
   is shielded and has no end would hold the request, its model and the whole server for ever.
2. A connection that fails ends alone, and is logged.
3. Cancelling closes every socket at once, also under a write.  ``close()`` accepts nobody any more, lets the
   requests in hand finish within ``drain_s``, and drops what is left.
4. More than ``max_connections`` are answered with 503 at once.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, TypeAlias, final

import attrs
import trio

from voicetrio.errors import ConfigError, MissingExtra
from voicetrio.runtime.failures import contained
from voicetrio.server.listening import Listening, open_listeners, refuse_unheard

__all__ = ["AsgiApp", "HttpServer", "HttpStatistics", "serve_http"]

_log = logging.getLogger("voicetrio.http")

AsgiApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
"""An application as ASGI 3.0 has it; it gets no lifespan events."""

WRITE_AT_ONCE: Final = 1 << 16
"""Bytes under one write deadline: a slow but living client gets them through."""
RETRY_AFTER_S: Final = 1
"""What a client over the limit is told to wait."""


@attrs.frozen
class HttpStatistics:
    """Counts of one server."""

    open_connections: int
    accepted: int
    refused: int
    """Connections over the limit."""
    stalled: int
    """Connections dropped because the client did not read."""
    failed: int
    """Connections that ended with an error of ours."""


@final
class _GuardedStream:
    """A socket as hypercorn wants it, whose writes have a deadline."""

    def __init__(self, stream: trio.SocketStream, stall_s: float) -> None:
        self._stream = stream
        self._stall_s = stall_s
        self.socket = stream.socket
        self.has_stalled = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        try:
            return await self._stream.receive_some(max_bytes)
        except trio.BrokenResourceError:
            await trio.lowlevel.checkpoint()
            return b""  # reset by the client: for HTTP the same as an end

    async def send_all(self, data: bytes) -> None:
        view = memoryview(data)
        for start in range(0, len(view), WRITE_AT_ONCE):
            with trio.move_on_after(self._stall_s) as scope:
                await self._stream.send_all(view[start : start + WRITE_AT_ONCE])
            if scope.cancelled_caught:
                self.has_stalled = True
                self.abort()
                raise trio.BrokenResourceError("the client does not read")
        await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        with suppress(OSError):
            await self._stream.send_eof()
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await self._stream.aclose()

    def abort(self) -> None:
        """Close the socket now; a read or a write that waits on it fails."""
        self.socket.close()


@final
class HttpServer(Listening):
    """A running server; made by ``serve_http`` only."""

    def __init__(
        self,
        app: AsgiApp,
        listeners: list[trio.SocketListener],
        *,
        stall_s: float,
        max_connections: int,
        keep_alive_s: float,
    ) -> None:
        try:
            from hypercorn.app_wrappers import ASGIWrapper
            from hypercorn.config import Config
            from hypercorn.trio.worker_context import WorkerContext
        except ImportError as error:
            raise MissingExtra("server", "the HTTP server") from error
        super().__init__(listeners, "http")
        self._app = ASGIWrapper(app)
        self._config = Config()
        self._config.errorlog = _log
        self._config.accesslog = None
        self._config.include_server_header = False
        self._config.keep_alive_timeout = keep_alive_s
        self._config.websocket_max_message_size = 1 << 20
        self._context = WorkerContext(None)
        self._listeners = listeners
        self._stall_s = stall_s
        self._max_connections = max_connections
        self._accepting = trio.CancelScope()
        self._serving = trio.CancelScope()
        self._open = self._accepted = self._refused = self._stalled = self._failed = 0

    @property
    def is_closing(self) -> bool:
        """True once ``close`` was called."""
        return self._accepting.cancel_called

    def close(self, drain_s: float = 30.0) -> None:
        """Accept nobody any more; ``serve_http`` returns after the last request, or after ``drain_s``."""
        self._accepting.cancel("the server is closed")
        self._serving.deadline = min(self._serving.deadline, trio.current_time() + drain_s)

    def statistics(self) -> HttpStatistics:
        """Return the counts so far."""
        return HttpStatistics(self._open, self._accepted, self._refused, self._stalled, self._failed)

    # --- the tasks ---

    async def _serve(self) -> None:
        with self._serving:
            async with trio.open_nursery() as nursery:
                with self._accepting:
                    await trio.serve_listeners(
                        self._serve_connection, self._listeners, handler_nursery=nursery
                    )
                # Connections without a request in hand close themselves on this.
                await self._context.terminated.set()

    async def _serve_connection(self, stream: trio.SocketStream) -> None:
        from hypercorn.trio.tcp_server import TCPServer

        await trio.lowlevel.checkpoint()
        self._accepted += 1
        if self._open >= self._max_connections:
            self._refused += 1
            await refuse_unheard(stream, RETRY_AFTER_S)
            return
        self._open += 1
        guarded = _GuardedStream(stream, self._stall_s)
        try:
            with contained(self._note_failed):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_abort_when_cancelled, guarded)
                    await TCPServer(self._app, self._config, self._context, {}, guarded)  # type: ignore[arg-type]
                    nursery.cancel_scope.cancel("the connection is over")
        finally:
            guarded.abort()
            self._open -= 1
            self._stalled += guarded.has_stalled

    def _note_failed(self, error: Exception) -> None:
        self._failed += 1
        _log.error("a connection failed", exc_info=error)


async def _abort_when_cancelled(guarded: _GuardedStream) -> None:
    try:
        await trio.sleep_forever()
    finally:
        guarded.abort()


async def serve_http(
    app: AsgiApp,
    port: int,
    host: str = "127.0.0.1",
    *,
    stall_s: float = 20.0,
    keep_alive_s: float = 15.0,
    max_connections: int = 1024,
    task_status: trio.TaskStatus[HttpServer] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve ``app`` until ``server.close()`` and the end of the last request, or until cancelled.

    ``server = await nursery.start(serve_http, app, port)`` returns when it listens; ``port`` 0 takes a free
    one.

    An application that returns without having finished its response, or raises, has its connection cut: the
    client sees a body that is not complete.

    Args:
        stall_s: seconds that a client may take to read 64 KiB.
        keep_alive_s: seconds that a connection may be without a request, and may take to send its headers.
        max_connections: open at once; more are answered with 503.

    Raises ConfigError, naming host and port, when it cannot listen there, and MissingExtra.
    """
    if math.isnan(stall_s) or stall_s <= 0:
        raise ConfigError(f"stall_s must be above 0, not {stall_s}")
    server = HttpServer(
        app,
        await open_listeners(host, port),
        stall_s=stall_s,
        max_connections=max_connections,
        keep_alive_s=keep_alive_s,
    )
    task_status.started(server)
    await server._serve()
