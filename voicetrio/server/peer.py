"""The peer that a handler is given: one client, over one connection or over several in a row.

1. The session runs it once.  Each connection has its own reader and writer; the wire's state (both clocks)
   goes on from one to the next.
2. A connection that ends without a close code was lost with the network.  Then the playout stands still, and
   the client is waited for; it comes back with its token, and hears what it has not heard.
3. A client that comes back before its loss was noticed takes over: the old connection is dropped.
4. A client that closes with any code has left.
5. What the server wants of a session (idle, too long, draining) it asks through here, as the session's owner
   would.
"""

from __future__ import annotations

import math
from typing import Any, Protocol, final

import attrs
import trio

from voicetrio.connection.websocket import MessageSocket, SocketStatistics, UpgradeRequest
from voicetrio.errors import PeerGone
from voicetrio.events import Event, PeerBack, PeerLost, SessionEnding, SessionExpiring
from voicetrio.runtime.transport import Inbound, Operation, OutboxReader, Traits
from voicetrio.server.authentication import ANONYMOUS, Credentials
from voicetrio.server.settings import ServerSettings
from voicetrio.transports.serializers.native import NativeWire
from voicetrio.transports.websocket import WebSocketPeer

__all__ = ["PeerObserver", "ServedPeer", "ServedPeerStatistics"]

INTERNAL_ERROR = 1011
FAILED = frozenset({"failed", "the body raised"})
"""Reasons for which a session ends that are the application's."""


class PeerObserver(Protocol):
    """Who counts what becomes of a server's sessions; called synchronously."""

    def observe(self, peer: ServedPeer, event: Event) -> None:
        """The session of ``peer`` told ``event``."""
        ...

    def session_over(self, peer: ServedPeer, session: Any) -> None:
        """The session of ``peer`` is over."""
        ...


@attrs.frozen(kw_only=True)
class ServedPeerStatistics:
    """Counts of one peer."""

    connections: int
    """That it came on, one after the other."""
    malformed: int
    """Messages that could not be understood, of the connection in use."""
    socket: SocketStatistics
    """Of the connection in use."""


@final
class ServedPeer:
    """A Transport over the connections of one client; made by the server."""

    def __init__(
        self,
        socket: MessageSocket,
        wire: NativeWire,
        *,
        name: str,
        request: UpgradeRequest,
        settings: ServerSettings,
        observer: PeerObserver,
        credentials: Credentials = ANONYMOUS,
    ) -> None:
        self._wire = wire
        self._name = name
        self._settings = settings
        self._observer = observer
        self.request = request
        """Path, query, headers and address that the client came with at first."""
        self.credentials = credentials
        """Who the client proved to be."""
        self._connection = WebSocketPeer(socket, wire, name=name, request=request)
        self._connections = 1
        self._replaced = trio.Event()
        self._reported: tuple[int, int] | None = None
        self._inbound: Inbound | None = None
        self._end_asked: tuple[str, float | None] | None = None
        self._goodbye_code: int | None = None
        self._was_run = self._is_running = self._is_lost = False

    # --- what a handler looks at ---

    @property
    def name(self) -> str:
        """The peer's name, for logs; the client is told it as the session's."""
        return self._name

    @property
    def traits(self) -> Traits:
        """What the peer can do."""
        return self._wire.traits

    @property
    def client(self) -> str:
        """What the client calls itself, once it said so."""
        return self._connection.client

    @property
    def was_run(self) -> bool:
        """True once a session uses it."""
        return self._was_run

    @property
    def can_return(self) -> bool:
        """Whether a client that comes back now finds its session."""
        return self._is_running and self._settings.resume_s > 0

    @property
    def is_lost(self) -> bool:
        """True while the client is waited for."""
        return self._is_lost

    def statistics(self) -> ServedPeerStatistics:
        """Return the counts so far."""
        now = self._connection.statistics()
        return ServedPeerStatistics(connections=self._connections, malformed=now.malformed, socket=now.socket)

    # --- what its session calls ---

    def operation_for(self, event: Event) -> Operation | None:
        """Return what tells the client of ``event``; None for an event that clients are not told."""
        return self._connection.operation_for(event)

    def send_last_notice(self, event: Event) -> None:
        """Queue ``event`` beside the outbox, for the socket to write before it closes, if it still can."""
        self._connection.send_last_notice(event)

    def observe(self, event: Event) -> None:
        """Count ``event``; see Observant."""
        if isinstance(event, SessionEnding) and event.reason in FAILED:
            self._set_goodbye_code(INTERNAL_ERROR)
        self._observer.observe(self, event)

    def session_over(self, session: Any) -> None:
        """Count how it ended; see Observant."""
        self._observer.session_over(self, session)

    def take_for_lost(self, why: str) -> bool:
        """Drop a connection that takes nothing, if its client may come back; see Observant."""
        if not self.can_return:
            return False
        self._connection.drop()
        return True

    async def run(self, inbound: Inbound, outbox: OutboxReader) -> None:
        """Read and write until the outbox says HangUp; see Transport.

        A client that is lost and does not come back is PeerGone after ``resume_s``.
        """
        self._was_run = self._is_running = True
        self._inbound = inbound
        if self._end_asked is not None:
            inbound.end(*self._end_asked)
        gone: PeerGone | None = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_limits, inbound, name=f"{self._name}/limits")
                gone = await self._run_connections(inbound, outbox)
                nursery.cancel_scope.cancel()
        finally:
            self._is_running = False
        if gone is not None:
            raise gone

    # --- what the server calls ---

    def attach(self, socket: MessageSocket, reported: tuple[int, int] | None) -> None:
        """The client is back on ``socket``; ``reported``: the epoch and position it has played up to."""
        old, self._connection = (
            self._connection,
            WebSocketPeer(socket, self._wire, name=self._name, request=self.request),
        )
        self._connection.client = old.client
        self._connection.goodbye_code = self._goodbye_code
        self._connections += 1
        self._reported = reported
        self._replaced.set()
        old.drop()

    def end(self, reason: str, grace: float | None = None, *, code: int | None = None) -> None:
        """End its session gracefully, now or when it begins; close the connection with ``code``."""
        if code is not None:
            self._set_goodbye_code(code)
        self._end_asked = (reason, grace)
        if self._inbound is not None:
            self._inbound.end(reason, grace)

    def warn(self, reason: str, left_s: float) -> None:
        """Tell its session that it has ``left_s`` seconds left."""
        if self._inbound is not None:
            self._inbound.tell(SessionExpiring(reason=reason, left_s=left_s))

    async def dismiss(self, code: int = 1000, reason: str = "", *, wait_answer: bool = True) -> None:
        """Close the connection of a peer that no session took; does nothing when it is closed."""
        await self._connection.dismiss(self._goodbye_code or code, reason, wait_answer=wait_answer)

    # --- inside ---

    def _set_goodbye_code(self, code: int) -> None:
        self._goodbye_code = self._connection.goodbye_code = code

    async def _run_connections(self, inbound: Inbound, outbox: OutboxReader) -> PeerGone | None:
        while True:
            connection = self._connection
            try:
                await connection.run(inbound, outbox)
                break
            except PeerGone as error:
                gone = error
            if gone.code is not None or self._settings.resume_s <= 0:
                return gone  # noqa: ASYNC910  # ``run`` has awaited
            lost_at = trio.current_time()
            inbound.lost()
            inbound.tell(PeerLost(why=gone.why, wait_s=self._settings.resume_s))
            self._is_lost = True
            with trio.move_on_after(self._settings.resume_s):
                await self._replaced.wait()
            self._is_lost = False
            if self._connection is connection:
                return PeerGone(f"{gone.why}, and did not come back within {self._settings.resume_s:g} s")
            self._replaced = trio.Event()
            epoch, position = inbound.back(self._reported)
            self._wire.came_back(epoch, position)
            inbound.tell(PeerBack(position=position, away_s=trio.current_time() - lost_at))
        return None

    async def _watch_limits(self, inbound: Inbound) -> None:
        ends_at = trio.current_time() + self._settings.max_session_s
        warn_at = ends_at - self._settings.warn_s
        while True:
            now = trio.current_time()
            # A client that is lost is not idle: it is waited for, and has its own bound.
            heard_at = now if self._is_lost else self._connection.heard_from_at
            idle_at = heard_at + self._settings.idle_s
            if now >= ends_at or now >= idle_at:
                inbound.end("max_duration" if now >= ends_at else "idle")
                break
            if now >= warn_at:
                warn_at = math.inf
                inbound.tell(SessionExpiring(reason="max_duration", left_s=ends_at - now))
            await trio.sleep_until(min(ends_at, warn_at, idle_at))
        await trio.lowlevel.checkpoint()
