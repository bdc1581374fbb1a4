"""The way through a proxy: CONNECT (RFC 9110, section 9.3.6), or SOCKS 4 and 5 (RFC 1928).

A proxy is taken from the environment (``https_proxy``, ``no_proxy`` and their kin) as the websockets package
reads them.  One for HTTP is reached by TLS itself if its address says so.  SOCKS is python-socks' work, which
the extra ``socks`` brings: with ``socks5h`` and ``socks4a`` the proxy resolves the server's name.
"""

from __future__ import annotations

import math
import ssl
from importlib.util import find_spec

import trio
from websockets.exceptions import InvalidHandshake, InvalidProxy
from websockets.http11 import Response
from websockets.proxy import Proxy, get_proxy, parse_proxy, prepare_connect_request
from websockets.streams import StreamReader
from websockets.uri import WebSocketURI

from voicetrio.connection.websocket.socket import HandshakeFailed
from voicetrio.errors import ConfigError, MissingExtra

__all__ = ["find_proxy", "open_tunnel", "secure_stream"]


def find_proxy(uri: WebSocketURI, proxy: str | None) -> Proxy | None:
    """Return the proxy on the way to ``uri``: the one at ``proxy``, or what the ``environment`` names.

    Raises ConfigError for a bad address, MissingExtra for a SOCKS proxy without the extra ``socks``.
    """
    address = get_proxy(uri) if proxy == "environment" else proxy
    if address is None:
        return None
    try:
        parsed = parse_proxy(address)
    except (InvalidProxy, ValueError) as error:
        # The address may hold a password.
        why = str(error).removeprefix(f"{address} isn't a valid proxy: ")
        raise ConfigError(f"the proxy's address cannot be used: {why}") from None
    if _is_socks(parsed) and find_spec("python_socks") is None:
        raise MissingExtra("socks", f"a {parsed.scheme} proxy")
    return parsed


async def open_tunnel(proxy: Proxy, uri: WebSocketURI) -> trio.abc.Stream:
    """Open TCP to the server of ``uri`` through ``proxy``.

    Raises HandshakeFailed when the proxy refuses, and what the network raised.
    """
    if _is_socks(proxy):
        return await _open_socks(proxy, uri)
    stream: trio.abc.Stream = await trio.open_tcp_stream(proxy.host, proxy.port)
    is_open = False
    try:
        if proxy.scheme == "https":
            stream = await secure_stream(stream, ssl.create_default_context(), proxy.host)
        await _ask(stream, proxy, uri)
        is_open = True
        return stream
    finally:
        if not is_open:
            await trio.aclose_forcefully(stream)


async def secure_stream(
    stream: trio.abc.Stream, context: ssl.SSLContext, host: str
) -> trio.SSLStream[trio.abc.Stream]:
    """Speak TLS over ``stream`` with ``host``, as a client."""
    secure = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
    await secure.do_handshake()
    return secure


def _is_socks(proxy: Proxy) -> bool:
    return proxy.scheme.startswith("socks")


def _name(proxy: Proxy) -> str:
    return f"the proxy {proxy.host}:{proxy.port}"


async def _open_socks(proxy: Proxy, uri: WebSocketURI) -> trio.SocketStream:
    from python_socks import ProxyError, ProxyType
    from python_socks.async_.trio import Proxy as SocksProxy

    kind = ProxyType.SOCKS5 if proxy.scheme.startswith("socks5") else ProxyType.SOCKS4
    socks = SocksProxy(
        kind,
        proxy.host,
        proxy.port,
        username=proxy.username,
        password=proxy.password,
        rdns=proxy.scheme in ("socks5h", "socks4a"),
    )
    try:
        # The caller's scope has the deadline.
        return trio.SocketStream(await socks.connect(uri.host, uri.port, timeout=math.inf))
    except ProxyError as error:
        said = str(error).removesuffix(".") or "it left"
        raise HandshakeFailed(f"{_name(proxy)} refuses to connect: {said}") from error


async def _ask(stream: trio.abc.Stream, proxy: Proxy, uri: WebSocketURI) -> None:
    await stream.send_all(prepare_connect_request(proxy, uri, None))
    reader = StreamReader()
    parser = Response.parse(reader.read_line, reader.read_exact, reader.read_to_eof, proxy=True)
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
            raise HandshakeFailed(f"{_name(proxy)} refuses to connect", status=status) from None
    except (EOFError, ValueError, NotImplementedError, InvalidHandshake) as error:
        raise HandshakeFailed(f"{_name(proxy)} does not speak HTTP") from error
