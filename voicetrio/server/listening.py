"""Where a server listens: addresses, buffers of the kernel, TLS, and who may be let in unasked."""

from __future__ import annotations

import errno
import ipaddress
import ssl
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import trio

from voicetrio.errors import ConfigError

__all__ = [
    "Listening",
    "is_loopback",
    "open_listeners",
    "open_tls",
    "refuse_unheard",
    "remote_of",
    "shape_buffers",
]

SEND_BUFFER_BYTES = 65536
"""Of the kernel, for each socket: about a second of audio, so that a peer that stops reading is noticed."""
RECEIVE_BUFFER_BYTES = 131072
_UNHEARD = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: %d\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


class Listening:
    """What every running server tells of where it listens."""

    def __init__(self, listeners: Sequence[trio.SocketListener], scheme: str) -> None:
        self._scheme = scheme
        self.addresses: tuple[tuple[str, int], ...] = tuple(
            listener.socket.getsockname()[:2] for listener in listeners
        )
        """Host and port of each socket that listens."""

    @property
    def port(self) -> int:
        """The port of the first address."""
        return self.addresses[0][1]

    @property
    def url(self) -> str:
        """Where a client on this machine finds the server."""
        host, port = self.addresses[0]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"{self._scheme}://[{host}]:{port}" if ":" in host else f"{self._scheme}://{host}:{port}"


async def open_listeners(host: str, port: int) -> list[trio.SocketListener]:
    """Listen on ``host`` and ``port`` (0 takes a free one).  Raises ConfigError that says what to do."""
    if not 0 <= port <= 65535:
        raise ConfigError(f"the port must be from 0 to 65535, not {port}")
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        cause = error.__cause__ if error.errno is None and isinstance(error.__cause__, OSError) else error
        why = {
            errno.EADDRINUSE: "the port is in use: stop what uses it, or choose another port",
            errno.EACCES: "not allowed: choose a port from 1024 on",
            errno.EADDRNOTAVAIL: "this machine has no such address",
        }.get(cause.errno or 0, str(cause))
        raise ConfigError(f"cannot listen on {host}:{port}: {why}") from error
    for listener in listeners:
        # Before accepting, so that a client's first window is already the small one.
        listener.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    return listeners


def shape_buffers(stream: trio.SocketStream) -> None:
    """Give an accepted socket its small send buffer."""
    with suppress(OSError):  # it may have left already: the handshake notices
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, SEND_BUFFER_BYTES)


async def refuse_unheard(stream: trio.SocketStream, retry_after_s: int) -> None:
    """Answer 503 to a client that was not listened to; a second at most."""
    with trio.move_on_after(1.0), suppress(trio.BrokenResourceError):
        await stream.send_all(_UNHEARD % retry_after_s)
    await trio.aclose_forcefully(stream)


def remote_of(stream: trio.SocketStream) -> str:
    """Return the peer's address and port, for logs."""
    try:
        host, port = stream.socket.getpeername()[:2]
    except OSError:
        return "a peer that has left"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Tell whether ``host`` (a name, or an address, also one in brackets) is this machine for sure."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(name).is_loopback
    return False


def open_tls(certificate: Path, key: Path | None = None) -> ssl.SSLContext:
    """Read a server's certificate chain and key (PEM; the key may stand in the same file).

    TLS 1.2 and later.  Raises ConfigError when they cannot be used.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:
        names = f"{certificate}" if key is None else f"{certificate} and {key}"
        # Of an ssl.SSLError only the library's authors can read the text.
        why = "they do not fit, or are not PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(f"TLS cannot use {names}: {why}") from error
    return context
