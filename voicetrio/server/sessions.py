"""The sessions of one server: each has its handler, its place, and the sockets that its client came on.

A session outlives its sockets, because a client whose network was lost comes back on another one; and a
socket outlives its session by a goodbye.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias, final

import trio

from voicetrio.connection.websocket import StreamSocket, UpgradeRequest
from voicetrio.runtime.deadlines import cleanup
from voicetrio.runtime.failures import contained
from voicetrio.server.admission import Ticket
from voicetrio.server.entrance import RESUME_PURPOSE, Newcomer, Returning
from voicetrio.server.peer import PeerObserver, ServedPeer
from voicetrio.server.settings import ServerSettings
from voicetrio.server.tokens import TokenSigner

__all__ = ["Handler", "Sessions", "Slot"]

_log = logging.getLogger("voicetrio.server")

Handler: TypeAlias = Callable[[ServedPeer], Awaitable[object]]
"""Called once a session with the accepted peer; opens the session that it wants."""

GOING_AWAY = 1001
INTERNAL_ERROR = 1011


@final
class Slot:
    """A session: its peer, its place, and the time at which its sockets are let go."""

    def __init__(self, peer: ServedPeer, ticket: Ticket) -> None:
        self.peer = peer
        """Who it is held with."""
        self.ticket = ticket
        """Its place."""
        self.scope = trio.CancelScope()
        """Its handler's."""
        self.released = trio.Event()
        """Its sockets are let go."""


@final
class Sessions:
    """Opens the sessions of one server, runs their handlers, and brings lost clients back to them.

    Args:
        on_over: called when one is over.
    """

    def __init__(
        self,
        handler: Handler,
        settings: ServerSettings,
        *,
        signer: TokenSigner,
        observer: PeerObserver,
        on_over: Callable[[], object],
    ) -> None:
        self._handler = handler
        self._settings = settings
        self._signer = signer
        self._observer = observer
        self._on_over = on_over
        self._numbers = itertools.count(1)
        self.slots: dict[str, Slot] = {}
        """Those that are open, by the names of their peers."""
        self.peers: dict[str, ServedPeer] = {}
        """Their peers, by name."""
        self.accepted = 0
        """Peers that were given to the handler, in all."""
        self.resumed = 0
        """Connections that brought a lost client back."""
        self.failed = 0
        """Handlers that raised."""

    def open(self, newcomer: Newcomer, socket: StreamSocket, request: UpgradeRequest) -> Slot:
        """Count the session here and not in its task, so that no count misses one that is about to begin."""
        name = f"peer-{next(self._numbers)}"
        settings = self._settings
        if settings.resume_s > 0:
            lasts_s = min(settings.max_session_s, 86400.0) + settings.resume_s
            token = self._signer.sign(RESUME_PURPOSE, name, ttl_s=lasts_s)
            newcomer.wire.offer_resume(token, settings.resume_s)
        peer = ServedPeer(
            socket,
            newcomer.wire,
            name=name,
            request=request,
            settings=settings,
            observer=self._observer,
            credentials=newcomer.credentials,
        )
        slot = Slot(peer, newcomer.ticket)
        self.accepted += 1
        self.slots[name] = slot
        self.peers[name] = peer
        return slot

    async def serve(self, slot: Slot) -> None:
        """Run one session: the application's handler, whatever becomes of it."""
        peer = slot.peer
        code, reason = GOING_AWAY, "the server stops"

        def note_failed(error: Exception) -> None:
            nonlocal code, reason
            self.failed += 1
            code, reason = INTERNAL_ERROR, "the session failed"
            _log.error("%s: its handler failed", peer.name, exc_info=error)

        try:
            with contained(note_failed), slot.scope:
                await self._handler(peer)
                code, reason = 1000, "" if peer.was_run else "no session"
        finally:
            slot.ticket.release()
            del self.slots[peer.name], self.peers[peer.name]
            self._on_over()
            try:
                with cleanup(within_s=self._settings.limits.close_s):
                    # A session that used it has closed it.
                    await peer.dismiss(code, reason, wait_answer=code != GOING_AWAY)  # noqa: ASYNC102
            finally:
                slot.released.set()

    async def bring_back(self, returning: Returning, socket: StreamSocket) -> None:
        """Run ``socket`` for the session whose client has come back on it."""
        peer = returning.peer
        slot = self.slots.get(peer.name)
        if slot is None or not peer.can_return:  # it ended while the answer was being written
            async with trio.open_nursery() as nursery:
                nursery.start_soon(socket.run)
                await socket.close(GOING_AWAY, "the session is over")
            return
        self.resumed += 1
        peer.attach(socket, returning.reported)
        await socket.run(hold=slot.released)
