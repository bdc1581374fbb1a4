"""Saying no in time: slots that are counted in the step that accepts, and a signal of load.

Nothing here waits, and no model is touched: who asks is told in the same step of the event loop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import final

import attrs

from voicetrio.connection.websocket import Refusal

__all__ = ["Admission", "AdmissionStatistics", "Ticket"]


@attrs.frozen(kw_only=True)
class AdmissionStatistics:
    """Counts of one server's admission."""

    max_sessions: int
    taken: int
    """Slots that sessions hold."""
    admitted: int
    """Sessions that were let in, in all."""
    refused: dict[str, int]
    """By reason: ``full``, ``lag``, ``pools``, ``draining``, and those that the server itself names."""
    draining: bool


@final
class Ticket:
    """A slot; ``release`` gives it back, once."""

    def __init__(self, admission: Admission) -> None:
        self._admission: Admission | None = admission

    def release(self) -> None:
        """Give the slot back.  Idempotent."""
        if self._admission is not None:
            admission, self._admission = self._admission, None
            admission._taken -= 1


@final
class Admission:
    """Decides who may open a session.

    Args:
        max_sessions: slots.
        retry_after_s: what who is refused is told to wait, in seconds.
        overload: returns why the process has too much to do, or None.
    """

    def __init__(self, *, max_sessions: int, retry_after_s: int, overload: Callable[[], str | None]) -> None:
        self._max_sessions = max_sessions
        self._retry_after_s = retry_after_s
        self._overload = overload
        self._taken = self._admitted = 0
        self._refused: Counter[str] = Counter()
        self.is_draining = False
        """Nobody new is let in."""

    def admit(self) -> Ticket | Refusal:
        """Take a slot, or say why not."""
        why = self.why_not()
        if why is not None:
            self.count_refused(why)
            return self.refusal(why)
        self._taken += 1
        self._admitted += 1
        return Ticket(self)

    def why_not(self) -> str | None:
        """Return why nobody would be let in now: ``draining``, ``full``, ``lag`` or ``pools``; else None."""
        if self.is_draining:
            return "draining"
        if self._taken >= self._max_sessions:
            return "full"
        return self._overload()

    def refusal(self, why: str) -> Refusal:
        """Return the answer for who is refused because of ``why``."""
        text = {
            "draining": "The server is being stopped: try another, or later.\n",
            "full": "Every line is busy: try again later.\n",
        }.get(why, "The server has too much to do: try again later.\n")
        return Refusal(503, text, {"Retry-After": str(self._retry_after_s)})

    def count_refused(self, why: str) -> None:
        """Count somebody who was refused for another reason."""
        self._refused[why] += 1

    def statistics(self) -> AdmissionStatistics:
        """Return the counts so far."""
        return AdmissionStatistics(
            max_sessions=self._max_sessions,
            taken=self._taken,
            admitted=self._admitted,
            refused=dict(self._refused),
            draining=self.is_draining,
        )
