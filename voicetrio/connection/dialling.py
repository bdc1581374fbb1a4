"""The way to a server: name, TCP, a proxy if there is one, TLS, and the WebSocket's handshake.

TLS is verified against the authorities of this machine unless the caller brings a context of its own.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

import trio
from websockets.proxy import Proxy
from websockets.uri import WebSocketURI

from voicetrio.connection.faults import explain_os_error
from voicetrio.connection.proxies import find_proxy, open_tunnel, secure_stream
from voicetrio.connection.websocket.client import open_websocket_client
from voicetrio.connection.websocket.handshake import parse_url
from voicetrio.connection.websocket.socket import HandshakeFailed, MessageSocket, SocketLimits

__all__ = ["Headers", "hide", "open_secure_stream", "stream_dialler", "websocket_dialler"]

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
        proxy: an address (``http:``, ``https:`` or ``socks5h:``), ``environment``, or None
            for none.

    Raises ConfigError for a bad address of the server or the proxy, MissingExtra for a SOCKS proxy without
    the extra ``socks``.  What it returns raises HandshakeFailed.
    """
    uri = parse_url(url)
    via = find_proxy(uri, proxy)
    return stream_dialler(
        url, lambda: open_secure_stream(uri, via, ssl_context), headers=headers, secrets=secrets
    )


def stream_dialler(
    url: str,
    open_stream: Callable[[], Awaitable[trio.abc.Stream]],
    *,
    headers: Headers | Callable[[], Headers] = (),
    secrets: Iterable[str] = (),
) -> Callable[[SocketLimits], AbstractAsyncContextManager[MessageSocket]]:
    """Return what opens a WebSocket to ``url`` over the stream that ``open_stream`` opens.

    Otherwise as ``websocket_dialler``.
    """
    hidden = tuple(secrets)

    @asynccontextmanager
    async def connect(limits: SocketLimits) -> AsyncIterator[MessageSocket]:
        own = headers() if callable(headers) else headers
        is_open = False
        try:
            stream = await open_stream()
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
            stream = await open_tunnel(proxy, uri)
        if uri.secure:
            place = f"{uri.host}:{uri.port}"
            stream = await secure_stream(stream, ssl_context or ssl.create_default_context(), uri.host)
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
