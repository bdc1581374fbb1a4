"""Accepting peers over WebSocket and giving each one a session.

The tasks, all in one nursery::

    serve_sessions ── accept loop(s) · load watch · drain · host
     ├─ socket task    handshake, then the connection's reader until the socket is dropped
     └─ session task   the application's handler, once a session; holds a slot

A socket task hands its peer to a session task, which is another child of the server; so the two end
separately, and a client whose network was lost comes back on another socket.  Whatever a peer does or a
handler raises ends that session only.  The host calls the playouts of all sessions when they are due, and
reads all sockets (see ``runtime.hosts``).
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterable, Sequence
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
from voicetrio.runtime.failures import contained
from voicetrio.runtime.hosts import open_host
from voicetrio.runtime.queues import QueueStatistics, QueueWatch, watching_queues
from voicetrio.server.admission import Admission, AdmissionStatistics
from voicetrio.server.authentication import Authenticator
from voicetrio.server.draining import Drain
from voicetrio.server.entrance import Entrance, Newcomer, Returning
from voicetrio.server.listening import (
    Listening,
    is_loopback,
    open_listeners,
    refuse_unheard,
    remote_of,
    shape_buffers,
)
from voicetrio.server.load import LagStatistics, LoadWatch, PoolSource
from voicetrio.server.origins import OriginRule
from voicetrio.server.sessions import Handler, Sessions
from voicetrio.server.settings import ServerSettings
from voicetrio.server.steps import SlowStep, StepWatch, watching_steps
from voicetrio.server.tally import Tally
from voicetrio.server.tokens import TokenSigner
from voicetrio.transports.serializers.native import NativeWire

__all__ = ["Handler", "PlainAnswers", "ServerStatistics", "SessionServer", "serve_sessions"]

_log = logging.getLogger("voicetrio.server")

PlainAnswers: TypeAlias = Callable[[UpgradeRequest], PlainAnswer | None]
"""Answers GETs that ask for no WebSocket, such as a browser's for a page; None for what it does not know."""

_TEXT = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"}


@attrs.frozen(kw_only=True)
class ServerStatistics:
    """Counts of one server."""

    open_sockets: int
    """Connections, those in the opening handshake included."""
    open_sessions: int
    lost_peers: int
    """Sessions whose client is waited for."""
    accepted: int
    """Peers that were given to a handler, in all."""
    answered: int
    """Plain requests that were given a page."""
    refused: int
    """Connections that did not become a WebSocket: refused, malformed, or too slow."""
    resumed: int
    """Connections that brought a lost client back."""
    failed: int
    """Handlers that raised."""
    admission: AdmissionStatistics
    lag: LagStatistics
    slow_steps: tuple[SlowStep, ...]
    queues: tuple[QueueStatistics, ...]
    """What waits in the links, inboxes and outboxes of all sessions, by their names."""


@final
class SessionServer(Listening):
    """A running server; made by ``serve_sessions`` only."""

    def __init__(
        self,
        handler: Handler,
        listeners: list[trio.SocketListener],
        settings: ServerSettings,
        *,
        plain: PlainAnswers | None,
        authenticate: Authenticator | None,
        origins: OriginRule,
        signer: TokenSigner,
        tls: ssl.SSLContext | None,
        pools: Sequence[PoolSource],
        steps: StepWatch,
        queues: QueueWatch,
    ) -> None:
        super().__init__(listeners, "ws" if tls is None else "wss")
        self.settings = settings
        """The parameters that it was given."""
        self.tally = Tally()
        """What became of its sessions."""
        self.load = LoadWatch(
            max_lag_s=settings.max_lag_s, max_pool_wait_s=settings.max_pool_wait_s, pools=pools
        )
        """How loaded the process is."""
        self._listeners = listeners
        self._plain = plain
        self._tls = tls
        self._steps = steps
        self._queues = queues
        self._sessions = Sessions(
            handler,
            settings,
            signer=signer,
            observer=self.tally,
            on_over=lambda: self._drain.notify(),
        )
        self._admission = Admission(
            max_sessions=settings.max_sessions,
            retry_after_s=settings.retry_after_s,
            overload=self.load.overload,
        )
        self._entrance = Entrance(
            admission=self._admission,
            origins=origins,
            authenticate=authenticate,
            signer=signer,
            peers=self._sessions.peers,
            make_wire=partial(NativeWire.from_query, lead_s=settings.lead_s, rewind_s=settings.rewind_s),
        )
        self._drain = Drain(self._sessions.slots.values)
        self._accepting = trio.CancelScope()
        self._over = trio.Event()
        self._sockets = self._handshakes = self._answered = self._refused = 0

    def close(self) -> None:
        """Accept nobody any more.  Sessions go on; ``serve_sessions`` returns after the last one."""
        self._accepting.cancel()

    async def wait_over(self) -> None:
        """Wait until it was closed or drained, and its last session is over."""
        await self._over.wait()

    def drain(
        self,
        within_s: float = 30.0,
        *,
        last_words_s: float | None = None,
        code: int = 1012,
        reason: str = "server_restart",
    ) -> None:
        """Stop without cutting anybody off; synchronous, and a second call can only shorten.

        From now on upgrades are refused with 503.  Sessions may finish; those that are left
        ``last_words_s`` (by default that of the settings) before the deadline are ended gracefully with
        ``reason``; what is left is cancelled in time for the deadline.  Their connections are closed with
        ``code``: 1012 (restart) or 1001 (going away). Then ``serve_sessions`` returns.
        """
        self._admission.is_draining = True
        last_words_s = self.settings.last_words_s if last_words_s is None else last_words_s
        self._drain.begin(within_s, last_words_s=last_words_s, code=code, reason=reason)

    def why_not_ready(self) -> str | None:
        """Return why nobody would be let in now: ``draining``, ``full``, ``lag`` or ``pools``; else None."""
        return self._admission.why_not()

    def statistics(self) -> ServerStatistics:
        """Return the counts so far."""
        sessions = self._sessions
        return ServerStatistics(
            open_sockets=self._sockets,
            open_sessions=len(sessions.slots),
            lost_peers=sum(slot.peer.is_lost for slot in sessions.slots.values()),
            accepted=sessions.accepted,
            answered=self._answered,
            refused=self._refused,
            resumed=sessions.resumed,
            failed=sessions.failed,
            admission=self._admission.statistics(),
            lag=self.load.statistics(),
            slow_steps=self._steps.statistics(),
            queues=self._queues.statistics(),
        )

    # --- the tasks ---

    async def _serve(self) -> None:
        """Run the server's tasks until it was closed or drained, and its last session is over."""
        try:
            async with open_host(), trio.open_nursery() as watches:
                watches.start_soon(self.load.run, name=f"load watch {self.url}")
                watches.start_soon(self._run_drain, name=f"drain {self.url}")
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._accept, nursery, name=f"accept {self.url}")
                watches.cancel_scope.cancel()
        finally:
            self._over.set()

    async def _accept(self, nursery: trio.Nursery) -> None:
        with self._accepting:
            await trio.serve_listeners(
                partial(self._serve_socket, nursery), self._listeners, handler_nursery=nursery
            )
        await trio.lowlevel.checkpoint()

    async def _run_drain(self) -> None:
        await self._drain.run()
        self.close()

    async def _serve_socket(self, nursery: trio.Nursery, stream: trio.SocketStream) -> None:
        """One connection, from its first byte until its socket is dropped."""
        await trio.lowlevel.checkpoint()
        remote = remote_of(stream)
        if self._handshakes >= self.settings.max_handshakes:
            self._admission.count_refused("handshakes")
            self._refused += 1
            await refuse_unheard(stream, self.settings.retry_after_s)
            return
        self._sockets += 1
        try:
            with contained(partial(self._note_failed, remote)):
                async with stream:
                    await self._attach(nursery, stream, remote)
        finally:
            self._sockets -= 1

    def _note_failed(self, remote: str, error: Exception) -> None:
        """A connection ended with ``error``, which may say that it did not become a WebSocket."""
        match error:
            case AnsweredPlainly():
                self._answered += 1
            case HandshakeFailed():
                self._refused += 1
                _log.info("a connection from %s did not open: %s", remote, error)
            case _:
                _log.error("a connection from %s failed", remote, exc_info=error)

    async def _attach(self, nursery: trio.Nursery, tcp: trio.SocketStream, remote: str) -> None:
        shape_buffers(tcp)
        limits = self.settings.limits
        stream: trio.abc.Stream = tcp
        if self._tls is not None:
            stream = trio.SSLStream(tcp, self._tls, server_side=True, https_compatible=True)
        let_in: list[Newcomer | Returning] = []

        def refuse(request: UpgradeRequest) -> Refusal | None:
            verdict = self._entrance.judge(request)
            if isinstance(verdict, Refusal):
                return verdict
            let_in.append(verdict)
            return None

        self._handshakes += 1
        try:
            driver, request = await accept_websocket(
                stream, limits, remote=remote, refuse=refuse, plain=self._answer
            )
        except BaseException:
            for verdict in let_in:
                if isinstance(verdict, Newcomer):
                    verdict.ticket.release()
            raise
        finally:
            self._handshakes -= 1
        socket = StreamSocket(stream, driver, limits, remote=remote)
        if isinstance(let_in[0], Newcomer):
            slot = self._sessions.open(let_in[0], socket, request)
            nursery.start_soon(self._sessions.serve, slot, name=f"{slot.peer.name}/handler")
            await socket.run(hold=slot.released)
        else:
            await self._sessions.bring_back(let_in[0], socket)

    def _answer(self, request: UpgradeRequest) -> PlainAnswer | None:
        if request.path == "/healthz":
            return PlainAnswer(200, b"ok\n", _TEXT)
        if request.path == "/readyz":
            why = self.why_not_ready()
            return PlainAnswer(200 if why is None else 503, f"{why or 'ready'}\n".encode(), _TEXT)
        return None if self._plain is None else self._plain(request)


def _keep_to_loopback(host: str) -> None:
    if not is_loopback(host):
        raise ConfigError(
            f"{host} can be reached from other machines: ask for credentials (authenticate=...),"
            " or say that everybody may talk to the agent (open_to_all=True)"
        )


def _replaced(settings: ServerSettings, limits: SocketLimits | None, lead_s: float | None) -> ServerSettings:
    lead_s = settings.lead_s if lead_s is None else lead_s
    return attrs.evolve(settings, limits=limits or settings.limits, lead_s=lead_s)


async def serve_sessions(
    handler: Handler,
    port: int,
    host: str = "127.0.0.1",
    *,
    settings: ServerSettings | None = None,
    limits: SocketLimits | None = None,
    lead_s: float | None = None,
    plain: PlainAnswers | None = None,
    authenticate: Authenticator | None = None,
    allowed_origins: Iterable[str] = (),
    open_to_all: bool = False,
    tls: ssl.SSLContext | None = None,
    signer: TokenSigner | None = None,
    pools: Sequence[PoolSource] = (),
    task_status: trio.TaskStatus[SessionServer] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until ``server.close()`` or ``drain()`` and the end of the last session, or until cancelled.

    ``server = await nursery.start(serve_sessions, handler, port)`` returns when it listens.  Cancelling ends
    every session as ``session.cancel()`` does.

    Args:
        handler: called once for each peer, in a task of its own; opens the session.  What it raises is logged
            and counted.  A peer that it does not use is closed when it returns (1000; 1011 when it raised).
        port: 0 takes a free one.
        host: where to listen; elsewhere than on loopback it needs ``authenticate``, or ``open_to_all``.
        settings: limits and times; ``limits`` and ``lead_s``, where given, replace those of the settings.
        plain: answers a browser's plain requests, beside ``/healthz`` and ``/readyz``.
        authenticate: says who a client is, before anything else is done for it.
        allowed_origins: of web pages that may connect, beside the server's own.
        open_to_all: serve strangers from other machines, on purpose.
        tls: a server-side context, for ``wss://`` (see ``open_tls``).
        signer: signs the tokens with which lost clients come back; by default one with a secret of its own.
        pools: of models: while calls wait in them for too long, nobody new is let in.

    Raises ConfigError, naming host and port, when it cannot listen there, or must not.
    """
    settings = _replaced(settings or ServerSettings(), limits, lead_s)
    if not (authenticate is not None or open_to_all):
        _keep_to_loopback(host)
    origins = OriginRule(allowed_origins, loopback_only=is_loopback(host))
    listeners = await open_listeners(host, port)
    with watching_steps(settings.slow_step_s) as steps, watching_queues() as queues:
        server = SessionServer(
            handler,
            listeners,
            settings,
            plain=plain,
            authenticate=authenticate,
            origins=origins,
            signer=signer or TokenSigner(),
            tls=tls,
            pools=pools,
            steps=steps,
            queues=queues,
        )
        task_status.started(server)
        await server._serve()
