"""Opening a WebSocket to a server."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from voicetrio.connection.websocket.handshake import parse_url, request_websocket
from voicetrio.connection.websocket.socket import HandshakeFailed, SocketLimits
from voicetrio.connection.websocket.stream_socket import StreamSocket, open_stream_socket

__all__ = ["open_websocket_client"]


@asynccontextmanager
async def open_websocket_client(
    url: str,
    *,
    headers: Sequence[tuple[str, str]] = (),
    limits: SocketLimits | None = None,
    ssl_context: ssl.SSLContext | None = None,
    stream: trio.abc.Stream | None = None,
) -> AsyncIterator[StreamSocket]:
    """Connect to ``url`` (``ws://`` or ``wss://``) and give the connection for as long as the block lasts.

    ``stream`` replaces the TCP connection (and TLS).  Connecting and the handshake together take at most
    ``limits.handshake_s``.  Raises ConfigError for a bad address, HandshakeFailed when there is no WebSocket
    to be had.  For the block's end see ``open_stream_socket``.
    """
    uri = parse_url(url)
    limits = limits or SocketLimits()
    driver = None
    try:
        with trio.move_on_after(limits.handshake_s):
            if stream is None:
                stream = await _connect(uri.host, uri.port, ssl_context, secure=uri.secure)
            driver = await request_websocket(stream, uri, limits, headers=headers)
        if stream is None or driver is None:
            raise HandshakeFailed(f"{url} did not answer within {limits.handshake_s:g} s")
        async with open_stream_socket(stream, driver, limits, remote=f"{uri.host}:{uri.port}") as socket:
            yield socket
    finally:
        if stream is not None:
            await trio.aclose_forcefully(stream)


async def _connect(
    host: str, port: int, ssl_context: ssl.SSLContext | None, *, secure: bool
) -> trio.abc.Stream:
    try:
        stream = await trio.open_tcp_stream(host, port)
    except OSError as error:
        raise HandshakeFailed(f"cannot reach {host}:{port}: {error}") from error
    if not secure:
        return stream
    context = ssl_context or ssl.create_default_context()
    return trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
