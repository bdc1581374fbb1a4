"""Stopping without cutting anybody off: the sessions that there are may finish, until a deadline.

1. From the first call on nobody new is let in; ``/readyz`` says so; the sessions are told how long they have.
2. Sessions end by themselves, as conversations do.
3. ``last_words_s`` before the deadline those that are left are ended gracefully.
4. ``CLEANUP_S`` before the deadline what is left is cancelled, so that at the deadline nothing is left.

A second call can only bring the deadline nearer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Protocol, final

import trio

from voicetrio.server.peer import ServedPeer

__all__ = ["Drain", "Served"]

CLEANUP_S = 1.0
"""What a cancelled session may take to clean up; less where the whole drain is short."""


class Served(Protocol):
    """A session that a drain can end."""

    @property
    def peer(self) -> ServedPeer:
        """Its peer."""
        ...

    @property
    def scope(self) -> trio.CancelScope:
        """Its handler's."""
        ...


@final
class Drain:
    """The drain of one server.

    Args:
        sessions: those that are open, at any moment.
    """

    def __init__(self, sessions: Callable[[], Collection[Served]]) -> None:
        self._sessions = sessions
        self._last_words_s = self._cleanup_s = 0.0
        self._changed = trio.Event()
        self._begun = trio.Event()
        self._code = 1012
        self.reason = ""
        """Why it drains."""
        self.deadline = math.inf
        """When nothing is left."""

    def begin(self, within_s: float, *, last_words_s: float, code: int, reason: str) -> None:
        """Drain within ``within_s`` seconds (infinite: wait for all); close what is left with ``code``."""
        deadline = trio.current_time() + within_s
        if deadline < self.deadline or not self._begun.is_set():
            self._begun.set()
            self.deadline = deadline
            self._last_words_s = max(self._last_words_s, last_words_s)
            self._cleanup_s = min(CLEANUP_S, within_s / 10)
            self._code, self.reason = code, self.reason or reason
            if math.isfinite(within_s):
                for served in tuple(self._sessions()):
                    served.peer.warn(self.reason, within_s)
            self.notify()

    def notify(self) -> None:
        """A session ended, or the deadline changed: look again."""
        self._changed.set()
        self._changed = trio.Event()

    async def run(self) -> None:
        """Wait for ``begin``, and end every session; return when there is none."""
        await self._begun.wait()
        await self._wait_empty(lambda: self._last_words_s)
        for served in tuple(self._sessions()):
            left_s = max(0.0, self.deadline - self._cleanup_s - trio.current_time())
            # The goodbye takes a moment, too: what is being said ends before the deadline.
            served.peer.end(self.reason, left_s * 0.8, code=self._code)
        await self._wait_empty(lambda: self._cleanup_s)
        while self._sessions():
            changed = self._changed
            for served in tuple(self._sessions()):
                served.scope.cancel()
            await changed.wait()
        await trio.lowlevel.checkpoint()

    async def _wait_empty(self, before_s: Callable[[], float]) -> None:
        """Wait until there is no session, or until ``before_s()`` seconds before the deadline."""
        while self._sessions():
            with trio.CancelScope(deadline=self.deadline - before_s()) as scope:
                await self._changed.wait()
            if scope.cancelled_caught:
                break
        await trio.lowlevel.checkpoint()
