"""The way to a server: name, TCP, a proxy if there is one, TLS, and the WebSocket's handshake.

TLS is verified against the authorities of this machine unless the caller brings a context of its own.  A
proxy is taken from the environment (``https_proxy``, ``no_proxy`` and their kin, as the websockets package
reads them), asked with CONNECT (RFC 9110, section 9.3.6), and reached by TLS itself if its address says so.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

import trio
from websockets.exceptions import InvalidProxy
from websockets.http11 import Response
from websockets.proxy import Proxy, get_proxy, parse_proxy, prepare_connect_request
from websockets.streams import StreamReader
from websockets.uri import WebSocketURI

from voicetrio.connection.faults import explain_os_error
from voicetrio.connection.websocket.client import open_websocket_client
from voicetrio.connection.websocket.handshake import parse_url
from voicetrio.connection.websocket.socket import HandshakeFailed, MessageSocket, SocketLimits
from voicetrio.errors import ConfigError

__all__ = ["Headers", "hide", "open_secure_stream", "websocket_dialler"]

Headers: TypeAlias = Sequence[tuple[str, str]]
"""Names and values."""
MIN_SECRET = 8
"""Shorter values are not taken for secrets: hiding them would garble ordinary text."""


def websocket_dialler(
    url: str,
    *,
    headers: Headers | Callable[[], Headers] = (),
    secrets: Iterable[str] = (),
    ssl_context: ssl.SSLContext | None = None,
    proxy: str | None = "environment",
) -> Callable[[SocketLimits], AbstractAsyncContextManager[MessageSocket]]:
    """Return what opens a WebSocket to ``url``, for ``open_connection``.

    Args:
        url: ``wss://…``, or ``ws://…`` for a server on a trusted network.
        headers: of the opening request; a callable is asked at each dial, so that a key may be renewed.
        secrets: text that must not stand in any error; the values of the headers need not be named.
        ssl_context: instead of the default one, which verifies.
        proxy: an address (``http://`` or ``https://``), ``environment``, or None for none.

    Raises ConfigError for a bad address of the server or the proxy.  What it returns raises HandshakeFailed.
    """
    uri = parse_url(url)
    via = _find_proxy(uri, proxy)
    hidden = tuple(secrets)

    @asynccontextmanager
    async def connect(limits: SocketLimits) -> AsyncIterator[MessageSocket]:
        own = headers() if callable(headers) else headers
        is_open = False
        try:
            stream = await open_secure_stream(uri, via, ssl_context)
            async with open_websocket_client(url, headers=own, limits=limits, stream=stream) as socket:
                is_open = True
                yield socket
        except HandshakeFailed as error:
            if is_open:
                raise
            # A server may repeat the key that it refuses.
            text = hide(error.why, [*hidden, *(value for _name, value in own)])
            raise HandshakeFailed(
                text, status=error.status, retry_after=error.retry_after
            ) from error.__cause__

    return connect


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return ``text`` with dots for each of the secrets, also where one stands without its ``Bearer``.

    What stands there of a secret before the cut of a text that was too long is hidden too.
    """
    for secret in secrets:
        for part in (secret, secret.rpartition(" ")[2]):
            if len(part) >= MIN_SECRET:
                text = _hide_cut(text.replace(part, "…"), part)
    return text


def _hide_cut(text: str, secret: str) -> str:
    if not text.endswith("…"):
        return text
    lengths = (length for length in range(len(secret) - 1, 3, -1) if text.endswith(f"{secret[:length]}…"))
    return f"{text[: -next(lengths, 0) - 1]}…"


async def open_secure_stream(
    uri: WebSocketURI, proxy: Proxy | None, ssl_context: ssl.SSLContext | None
) -> trio.abc.Stream:
    """Open TCP to the server of ``uri``, through ``proxy`` if there is one, and TLS if the address says so.

    Raises HandshakeFailed, whose cause is what the network said.
    """
    place = f"{uri.host}:{uri.port}" if proxy is None else f"the proxy {proxy.host}:{proxy.port}"
    stream: trio.abc.Stream | None = None
    is_done = False
    try:
        if proxy is None:
            stream = await trio.open_tcp_stream(uri.host, uri.port)
        else:
            stream = await trio.open_tcp_stream(proxy.host, proxy.port)
            if proxy.scheme == "https":
                stream = await _secure(stream, ssl.create_default_context(), proxy.host)
            await _ask_proxy(stream, proxy, uri)
        if uri.secure:
            place = f"{uri.host}:{uri.port}"
            stream = await _secure(stream, ssl_context or ssl.create_default_context(), uri.host)
        is_done = True
        return stream
    except OSError as error:
        raise HandshakeFailed(f"{place} cannot be reached: {explain_os_error(error)}") from error
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        cause = error.__cause__
        if isinstance(cause, OSError):  # ssl.SSLError is one
            raise HandshakeFailed(f"{place}: {explain_os_error(cause)}") from cause
        raise HandshakeFailed(f"{place} closed the connection before it was secure") from error
    finally:
        if not is_done and stream is not None:
            await trio.aclose_forcefully(stream)


async def _secure(
    stream: trio.abc.Stream, context: ssl.SSLContext, host: str
) -> trio.SSLStream[trio.abc.Stream]:
    secure = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
    await secure.do_handshake()
    return secure


def _find_proxy(uri: WebSocketURI, proxy: str | None) -> Proxy | None:
    address = get_proxy(uri) if proxy == "environment" else proxy
    if address is None:
        return None
    try:
        parsed = parse_proxy(address)
    except InvalidProxy as error:
        raise ConfigError(f"the proxy's address cannot be used: {error}") from None
    if not parsed.scheme.startswith("http"):
        raise ConfigError(
            f"a {parsed.scheme} proxy cannot be used: name an http:// one, or None for a direct connection"
        )
    return parsed


async def _ask_proxy(stream: trio.abc.Stream, proxy: Proxy, uri: WebSocketURI) -> None:
    await stream.send_all(prepare_connect_request(proxy, uri, None))
    reader = StreamReader()
    parser = Response.parse(reader.read_line, reader.read_exact, reader.read_to_eof, proxy=True)
    name = f"the proxy {proxy.host}:{proxy.port}"
    try:
        while True:
            next(parser)
            data = bytes(await stream.receive_some(4096))
            if data:
                reader.feed_data(data)
            else:
                reader.feed_eof()
    except StopIteration as stop:
        status = stop.value.status_code
        if not 200 <= status < 300:
            raise HandshakeFailed(f"{name} refuses to connect", status=status) from None
    except (EOFError, ValueError) as error:
        raise HandshakeFailed(f"{name} does not speak HTTP") from error
