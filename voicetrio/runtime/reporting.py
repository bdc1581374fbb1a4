"""Reports of failures: each once to the application, a bounded number of lines to the log.

The reporter of a session stands before its event hub, so that nobody can pass it by.  It folds what is the
same (``machines.folding``), and writes each failure that is told as one structured line.

No report can cause another: the reporter only counts and logs; the client is told on a path of its own, whose
failure is the peer's being gone, and never a Failure.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, final

import attrs
import trio

from voicetrio.errors import ServiceError
from voicetrio.events import Event, Failure
from voicetrio.machines.folding import Folder
from voicetrio.values import Value

__all__ = ["Reporter", "ReporterStatistics", "send_last_notice"]

_log = logging.getLogger("voicetrio.failures")

MAX_LINES_PER_MINUTE: Final = 30
MAX_TEXT: Final = 500
"""Characters of an error's text that a line holds."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ReporterStatistics(Value):
    """Counts of one session's failures."""

    told: int
    folded: int
    """The same as one that was told: counted only."""
    unlogged: int
    """Told, but not logged: too many lines in a minute."""


@final
class Reporter:
    """The failures of one session."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._folder = Folder()
        self._lines: deque[float] = deque(maxlen=MAX_LINES_PER_MINUTE)
        self._told = 0
        self._unlogged = 0

    def screen(self, event: Event) -> Event | None:
        """Return ``event`` as it shall be told: a Failure with its count, or None for one that is folded."""
        if not isinstance(event, Failure):
            return event
        now = trio.current_time()
        repeated = self._folder.offer((type(event.error).__qualname__, str(event.error)), now)
        if repeated is None:
            return None
        self._told += 1
        self._write(event, repeated, now)
        return attrs.evolve(event, repeated=repeated) if repeated else event

    def statistics(self) -> ReporterStatistics:
        """Return the counts so far."""
        return ReporterStatistics(told=self._told, folded=self._folder.folded, unlogged=self._unlogged)

    def _write(self, event: Failure, repeated: int, now: float) -> None:
        if len(self._lines) == MAX_LINES_PER_MINUTE and now - self._lines[0] < 60.0:
            self._unlogged += 1
            return
        self._lines.append(now)
        error = event.error
        fields = {
            "session": self._session,
            "where": event.where,
            "kind": type(error).__qualname__,
            "repeated": repeated,
            "service": error.service if isinstance(error, ServiceError) else None,
            "fault": error.fault if isinstance(error, ServiceError) else None,
        }
        more = f" ({repeated} more of these)" if repeated else ""
        text = str(error)[:MAX_TEXT]
        _log.error(
            "%s: %s failed: %s: %s%s", self._session, event.where, fields["kind"], text, more, extra=fields
        )


def send_last_notice(peer: object, event: Event) -> None:
    """Let a peer whose session fails be told so, if its transport can: at once, without waiting, once.

    Nothing that goes wrong here is reported anywhere.
    """
    send: Callable[[Event], object] | None = getattr(peer, "send_last_notice", None)
    if send is not None:
        with suppress(Exception):
            send(event)
