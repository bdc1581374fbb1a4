"""A small HTTP/1.1 server for stand-ins: requests whole, answers streamed, WebSockets on the same port.

A client that leaves cancels whatever was answering it, so the count of open connections tells what clients
hold.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeAlias, final
from urllib.parse import parse_qsl, urlsplit

import attrs
import h11
import trio

from voicetrio.connection.websocket import (
    HandshakeFailed,
    Refusal,
    SocketLimits,
    StreamSocket,
    UpgradeRequest,
    accept_websocket,
    open_stream_socket,
)

__all__ = ["Exchange", "HttpRequest", "HttpServer", "open_http_server"]

MAX_REQUEST_BYTES = 1 << 26
RECEIVE_BYTES = 65536


@attrs.frozen
class HttpRequest:
    """One request, read to its end."""

    method: str
    path: str
    """Without the query."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = attrs.field(repr=lambda body: f"<{len(body)} bytes>")

    def json(self) -> Any:
        """Return the body as JSON; raises ValueError when it is none."""
        return json.loads(self.body)


class _Torn(Exception):
    """The handler wants the connection dropped."""


EXPECTED = (_Torn, trio.BrokenResourceError, trio.ClosedResourceError, h11.ProtocolError, HandshakeFailed)
"""What ends one connection and nothing else."""


@final
class Exchange:
    """One request and the answer to it; a handler is given one."""

    def __init__(self, request: HttpRequest, connection: h11.Connection, stream: trio.abc.Stream) -> None:
        self.request = request
        self._connection = connection
        self._stream = stream

    async def respond(
        self,
        status: int,
        body: bytes | str = b"",
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Give the whole answer."""
        data = body.encode() if isinstance(body, str) else body
        await self._begin(status, content_type, {**(headers or {}), "Content-Length": str(len(data))})
        await self.write(data)

    async def begin(
        self, status: int = 200, *, content_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """Begin an answer in chunks; ``write`` gives them, and the handler's return ends it."""
        await self._begin(status, content_type, {**(headers or {}), "Transfer-Encoding": "chunked"})

    async def write(self, data: bytes) -> None:
        """Give more of the body."""
        if data:
            await self._send(h11.Data(data=data))
        else:
            await trio.lowlevel.checkpoint()

    def tear(self) -> None:
        """Drop the connection, wherever the answer stands."""
        raise _Torn

    async def _begin(self, status: int, content_type: str, headers: Mapping[str, str]) -> None:
        own = [("Content-Type", content_type), *headers.items()]
        await self._send(h11.Response(status_code=status, headers=own))

    async def _finish(self) -> None:
        if self._connection.our_state is h11.SEND_RESPONSE:
            await self.respond(500, b"the handler gave no answer", content_type="text/plain")
        await self._send(h11.EndOfMessage())

    async def _send(self, event: h11.Response | h11.Data | h11.EndOfMessage) -> None:
        data = self._connection.send(event)
        await self._stream.send_all(data or b"")


Handler: TypeAlias = Callable[[Exchange], Awaitable[None]]
OnWebSocket: TypeAlias = Callable[[StreamSocket, UpgradeRequest], Awaitable[None]]
Refuse: TypeAlias = Callable[[UpgradeRequest], Refusal | None]


@final
class HttpServer:
    """A running server; made by ``open_http_server`` only."""

    def __init__(
        self,
        handler: Handler,
        on_websocket: OnWebSocket | None,
        refuse: Refuse | None,
        limits: SocketLimits,
        port: int,
    ) -> None:
        self._handler = handler
        self._on_websocket = on_websocket
        self._refuse = refuse
        self._limits = limits
        self.port = port
        """Where it listens on loopback."""
        self.open_connections = 0
        """Connections that are open now."""
        self.connections = 0
        """Connections that were opened so far."""

    async def _serve(self, stream: trio.SocketStream) -> None:
        """One connection, to its end."""
        self.connections += 1
        self.open_connections += 1
        try:
            await self._converse(stream)
        except EXPECTED:
            pass  # the client left or broke the protocol, or shall find that we did
        finally:
            await trio.aclose_forcefully(stream)
            self.open_connections -= 1

    async def _converse(self, stream: trio.SocketStream) -> None:
        first = await stream.receive_some(RECEIVE_BYTES)
        head = bytes(first)
        while b"\r\n\r\n" not in head and first:
            first = await stream.receive_some(RECEIVE_BYTES)
            head += bytes(first)
        if self._on_websocket is not None and b"upgrade: websocket" in head.lower():
            await self._serve_websocket(_Replayed(stream, head), self._on_websocket)
            return
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 18)
        connection.receive_data(head)
        while True:
            request = await _read_request(connection, stream)
            if request is None:
                return
            await self._answer(Exchange(request, connection, stream), connection, stream)
            if connection.states != {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
                return
            connection.start_next_cycle()

    async def _answer(self, exchange: Exchange, connection: h11.Connection, stream: trio.abc.Stream) -> None:
        failures: list[Exception] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch_client, connection, stream, nursery.cancel_scope)
            try:
                await self._handler(exchange)
                await exchange._finish()
            except Exception as error:
                # Raised below, outside of the nursery, which would wrap it in a group.
                failures.append(error)
            nursery.cancel_scope.cancel()
        if failures:
            raise failures[0]

    async def _serve_websocket(self, stream: trio.abc.Stream, on_websocket: OnWebSocket) -> None:
        driver, request = await accept_websocket(stream, self._limits, refuse=self._refuse)
        async with open_stream_socket(stream, driver, self._limits, remote="client") as socket:
            await on_websocket(socket, request)


@final
class _Replayed(trio.abc.HalfCloseableStream):
    """A stream whose first bytes were read already."""

    def __init__(self, stream: trio.SocketStream, head: bytes) -> None:
        self._stream = stream
        self._head = head

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if self._head:
            await trio.lowlevel.checkpoint()
            head, self._head = self._head, b""
            return head
        return await self._stream.receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _watch_client(connection: h11.Connection, stream: trio.abc.Stream, scope: trio.CancelScope) -> None:
    """Cancel the answer when the client leaves; what it sends meanwhile is its next request."""
    while True:
        await trio.lowlevel.checkpoint()
        try:
            data = await stream.receive_some(RECEIVE_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            data = b""
        if not data:
            scope.cancel(reason="the client left")
            return
        connection.receive_data(bytes(data))


async def _read_request(connection: h11.Connection, stream: trio.abc.Stream) -> HttpRequest | None:
    """Return the next request, or None when the client is done."""
    head: h11.Request | None = None
    body = bytearray()
    while True:
        await trio.lowlevel.checkpoint()
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(RECEIVE_BYTES)))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_REQUEST_BYTES:
                raise h11.RemoteProtocolError("the request is too long")
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            parts = urlsplit(head.target.decode())
            headers = {name.decode().lower(): value.decode() for name, value in head.headers}
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            return HttpRequest(head.method.decode(), parts.path, query, headers, bytes(body))
        else:
            return None


@asynccontextmanager
async def open_http_server(
    handler: Handler,
    *,
    on_websocket: OnWebSocket | None = None,
    refuse: Refuse | None = None,
    limits: SocketLimits | None = None,
    port: int = 0,
) -> AsyncIterator[HttpServer]:
    """Serve on loopback for as long as the block lasts; leaving it drops every connection.

    Args:
        handler: answers one request.
        on_websocket: is given each WebSocket; without it there is none to be had.
        refuse: looks at a request for a WebSocket first.
        limits: of the WebSockets.
        port: on 127.0.0.1; 0 takes a free one.
    """
    limits = limits or SocketLimits(max_message_bytes=1 << 24, max_inbox_bytes=1 << 26)
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        server = HttpServer(handler, on_websocket, refuse, limits, port)
        await nursery.start(partial(trio.serve_listeners, server._serve, listeners, handler_nursery=nursery))
        try:
            yield server
        finally:
            nursery.cancel_scope.cancel(reason="the stand-in is closed")
