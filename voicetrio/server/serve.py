"""Accepting peers over WebSocket and giving each one a session.

The tasks, all in one nursery::

    serve_sessions ── accept loop(s)
     ├─ socket task    handshake, then the connection's reader until the socket is dropped
     └─ session task   the application's handler, once a session; holds a slot

A socket task hands its peer to a *slot*; the slot's session task is another child of the server, so the two
end separately.  Whatever a peer does or a handler raises ends that session only.
"""

from __future__ import annotations

import errno
import itertools
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TypeAlias, final

import attrs
import trio

from voicetrio.connection.websocket import (
    AnsweredPlainly,
    HandshakeFailed,
    PlainAnswer,
    Refusal,
    SocketLimits,
    StreamSocket,
    UpgradeRequest,
    accept_websocket,
)
from voicetrio.errors import ConfigError
from voicetrio.runtime.deadlines import cleanup
from voicetrio.transports.serializers.native import NativeWire
from voicetrio.transports.websocket import WebSocketPeer

__all__ = ["Handler", "PlainAnswers", "ServerStatistics", "SessionServer", "serve_sessions"]

_log = logging.getLogger("voicetrio.server")

Handler: TypeAlias = Callable[[WebSocketPeer], Awaitable[object]]
"""Called once a session with the accepted peer; opens the session that it wants."""

PlainAnswers: TypeAlias = Callable[[UpgradeRequest], PlainAnswer | None]
"""Answers GETs that ask for no WebSocket, such as a browser's for a page; None for what it does not know."""

SEND_BUFFER_BYTES = 65536
"""Of the kernel, for each socket: about a second of audio, so that a peer that stops reading is noticed."""
RECEIVE_BUFFER_BYTES = 131072
GOING_AWAY = 1001
INTERNAL_ERROR = 1011


@attrs.frozen(kw_only=True)
class ServerStatistics:
    """Counts of one server."""

    open_sockets: int
    """Connections, those in the opening handshake included."""
    open_sessions: int
    accepted: int
    """Peers that were given to a handler, in all."""
    answered: int
    """Plain requests that were given a page."""
    refused: int
    """Connections that did not become a WebSocket: refused, malformed, or too slow."""
    failed: int
    """Handlers that raised."""


@final
class _Slot:
    """What a session holds on to: the peer that a socket task attached, and the time it is let go."""

    def __init__(self, peer: WebSocketPeer) -> None:
        self.peer = peer
        self.released = trio.Event()


@final
class SessionServer:
    """A running server; made by ``serve_sessions`` only."""

    def __init__(
        self,
        handler: Handler,
        listeners: list[trio.SocketListener],
        limits: SocketLimits,
        lead_s: float,
        plain: PlainAnswers | None,
    ) -> None:
        self._handler = handler
        self._listeners = listeners
        self._limits = limits
        self._lead_s = lead_s
        self._plain = plain
        self._accepting = trio.CancelScope()
        self._numbers = itertools.count(1)
        self._sockets = self._sessions = self._accepted = self._answered = self._refused = self._failed = 0
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
        return f"ws://[{host}]:{port}" if ":" in host else f"ws://{host}:{port}"

    def close(self) -> None:
        """Accept nobody any more.  Sessions go on; ``serve_sessions`` returns after the last one."""
        self._accepting.cancel()

    def statistics(self) -> ServerStatistics:
        """Return the counts so far."""
        return ServerStatistics(
            open_sockets=self._sockets,
            open_sessions=self._sessions,
            accepted=self._accepted,
            answered=self._answered,
            refused=self._refused,
            failed=self._failed,
        )

    # --- the tasks ---

    async def _accept(self, nursery: trio.Nursery) -> None:
        with self._accepting:
            await trio.serve_listeners(
                partial(self._serve_socket, nursery), self._listeners, handler_nursery=nursery
            )
        await trio.lowlevel.checkpoint()

    async def _serve_socket(self, nursery: trio.Nursery, stream: trio.SocketStream) -> None:
        """One connection, from its first byte until its socket is dropped."""
        await trio.lowlevel.checkpoint()
        self._sockets += 1
        try:
            async with stream:
                await self._attach(nursery, stream)
        except AnsweredPlainly:
            self._answered += 1
        except HandshakeFailed as error:
            self._refused += 1
            _log.info("a connection from %s did not open: %s", _remote(stream), error)
        except Exception:
            _log.exception("a connection failed")
        finally:
            self._sockets -= 1

    async def _attach(self, nursery: trio.Nursery, stream: trio.SocketStream) -> None:
        with suppress(OSError):  # it may have left already: the handshake notices
            stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        remote = _remote(stream)
        driver, request = await accept_websocket(
            stream, self._limits, remote=remote, refuse=self._refuse, plain=self._plain
        )
        socket = StreamSocket(stream, driver, self._limits, remote=remote)
        wire = NativeWire.from_query(request.query, lead_s=self._lead_s)
        name = f"peer-{next(self._numbers)}"
        slot = _Slot(WebSocketPeer(socket, wire, name=name, request=request))
        self._accepted += 1
        # Counted here and not in the task, so that a count never misses a session that is about to begin.
        self._sessions += 1
        nursery.start_soon(self._serve_session, slot, name=f"{name}/handler")
        await socket.run(hold=slot.released)

    def _refuse(self, request: UpgradeRequest) -> Refusal | None:
        try:
            NativeWire.from_query(request.query)
        except ConfigError as error:
            return Refusal(400, f"{error}.\n")
        return None

    async def _serve_session(self, slot: _Slot) -> None:
        """One session: the application's handler, whatever becomes of it."""
        peer = slot.peer
        code, reason = GOING_AWAY, "the server stops"
        try:
            await self._handler(peer)
            code, reason = 1000, "" if peer.was_run else "no session"
        except Exception:
            self._failed += 1
            code, reason = INTERNAL_ERROR, "the session failed"
            _log.exception("%s: its handler failed", peer.name)
        finally:
            self._sessions -= 1
            try:
                with cleanup(within_s=self._limits.close_s):
                    # A session that used it has closed it.
                    await peer.dismiss(code, reason, wait_answer=code != GOING_AWAY)  # noqa: ASYNC102
            finally:
                slot.released.set()


def _remote(stream: trio.SocketStream) -> str:
    try:
        host, port = stream.socket.getpeername()[:2]
    except OSError:
        return "a peer that has left"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _listen(host: str, port: int) -> list[trio.SocketListener]:
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


async def serve_sessions(
    handler: Handler,
    port: int,
    host: str = "127.0.0.1",
    *,
    limits: SocketLimits | None = None,
    lead_s: float = 0.06,
    plain: PlainAnswers | None = None,
    task_status: trio.TaskStatus[SessionServer] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until ``server.close()`` and the end of the last session, or until cancelled.

    ``server = await nursery.start(serve_sessions, handler, port)`` returns when it listens; ``port`` 0 takes
    a free one.  ``handler(peer)`` runs once for each peer, in a task of its own, and opens the session:
    what it raises is logged and counted, and ends that session only.  A peer that it does not use
    is closed when it returns (code 1000; 1011 when it raised).

    ``lead_s`` is how far ahead of the client's ear audio is sent.  ``plain`` answers a browser's
    plain requests at the same port.  Messages are not compressed.
    Cancelling ends every session as ``session.cancel()`` does.

    Raises ConfigError, naming host and port, when it cannot listen there.
    """
    listeners = await _listen(host, port)
    server = SessionServer(handler, listeners, limits or SocketLimits(), lead_s, plain)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server._accept, nursery, name=f"accept {server.url}")
        task_status.started(server)
