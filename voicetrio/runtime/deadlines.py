"""The two absolute times of an ending, and the scopes that obey them.

``drain_by``: finish what was accepted.  ``close_by``: clean up.  Both belong to the session and reach every
part of it.  A part that must await while it is being cancelled does so inside ``cleanup()``: a shielded
scope with a deadline, registered with the session, so that a cancel tightens a scope that was entered
before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import final

import trio

__all__ = ["Deadlines", "cleanup", "using_deadlines"]

DEFAULT_CLEANUP_S = 1.0

_current: ContextVar[Deadlines | None] = ContextVar("voicetrio_deadlines", default=None)


@final
class Deadlines:
    """``drain_by`` and ``close_by`` of one session; they only ever come nearer."""

    def __init__(self) -> None:
        self.drain_by = math.inf
        self.close_by = math.inf
        self._scopes: set[trio.CancelScope] = set()

    def tighten(self, *, drain_by: float = math.inf, close_by: float = math.inf) -> None:
        """Bring the times nearer, and with them every cleanup scope that is open."""
        self.drain_by = min(self.drain_by, drain_by)
        self.close_by = min(self.close_by, close_by)
        for scope in self._scopes:
            scope.deadline = min(scope.deadline, self.close_by)

    @contextmanager
    def cleanup(self, within_s: float = DEFAULT_CLEANUP_S) -> Iterator[trio.CancelScope]:
        """Shield what is inside, for ``within_s`` seconds and until ``close_by`` at most."""
        deadline = min(trio.current_time() + within_s, self.close_by)
        with trio.CancelScope(deadline=deadline, shield=True) as scope:
            self._scopes.add(scope)
            try:
                yield scope
            finally:
                self._scopes.discard(scope)


@contextmanager
def using_deadlines(deadlines: Deadlines) -> Iterator[None]:
    """Let ``cleanup`` in this task, and in tasks started from here, obey ``deadlines``."""
    token = _current.set(deadlines)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def cleanup(within_s: float = DEFAULT_CLEANUP_S) -> Iterator[trio.CancelScope]:
    """Shield what is inside from cancellation, with a deadline that the session can bring nearer.

    Use it around every await that must happen although the task is being cancelled.  In a session the
    block is left by the session's ``close_by`` at the latest; outside of one, after ``within_s`` seconds.
    """
    deadlines = _current.get() or Deadlines()
    with deadlines.cleanup(within_s) as scope:
        yield scope
