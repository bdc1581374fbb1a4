"""Holding one session to what every session promises, whatever its peer and its behaviour are.

The promises are those that can be seen from outside of a behaviour; each finding says which one it breaks.
"""

from __future__ import annotations

from collections import Counter
from typing import final

import trio

from voicetrio.events import Event, Failure, SessionEnding, TaskStuck
from voicetrio.frames import AudioFrame
from voicetrio.runtime.close_watch import LAST_STEPS_S
from voicetrio.runtime.session import Session
from voicetrio.runtime.transport import Operation, SendAudio

__all__ = ["InvariantBroken", "SessionWatch"]

ROUNDING_S = 1e-6


class InvariantBroken(AssertionError):
    """A session did what no session may do; the text says which promise it broke, and how."""


@final
class SessionWatch:
    """Watches one session from its opening until its block is left.

    * A session that was cancelled, or whose grace is over, is over by ``close_by``; one that is not says who
      keeps it.
    * From the return of ``cancel`` on nothing is written, and the playout makes no tick.
    * Audio is written in the order of its positions, without a gap and without a repetition.
    * No more audio waits for the network than the session's bound.
    * One failure is told once.
    * After the block nothing of the session moves: no tick, no write, no event.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        """The session that it watches."""
        self.problems: list[str] = []
        """What was found so far."""
        self.cancelled_at: float | None = None
        """When it was cancelled, or failed, or its peer was gone; in virtual seconds."""
        self.over_at: float | None = None
        """When it was over: its result is complete from then on."""
        self.left_at: float | None = None
        """When its block was left; the application's body may have gone on after the session."""
        self._failures: Counter[int] = Counter()
        self._errors: list[BaseException] = []  # kept, so that their ids stay theirs
        self._stuck = False
        self._position: int | None = None
        self._over = False
        self._wrote_before = session._outbox.on_written
        session._outbox.on_written = self._written
        session.playout._taps.append(self._ticked)
        session.hub._callbacks.append(self._told)
        self._close_hub = session.hub.close
        session.hub.close = self._session_over  # type: ignore[method-assign]

    def check(self) -> None:
        """Raise InvariantBroken if anything was found."""
        if self.problems:
            raise InvariantBroken("; ".join(dict.fromkeys(self.problems)))

    def block_left(self) -> None:
        """Say that the session's block was left; ``simulate`` does this."""
        session = self.session
        self.left_at = trio.current_time()
        self._over = True
        if self.over_at is None:
            self._find("I1", "its block was left before it was over")
        statistics = session.statistics()
        if statistics.inlet.state == "open":
            self._find("I2", "the link from the peer is still open after the block")
        if statistics.state != "over":
            self._find("I2", f"the session is {statistics.state} after the block")
        frame_s = session.playout._frame_s
        if statistics.outbox.peak_s > session._settings.outbox_s + frame_s + ROUNDING_S:
            self._find("I4", f"{statistics.outbox.peak_s:.3f} s of audio waited for the network")

    def _session_over(self) -> None:
        self._close_hub()
        self.over_at = trio.current_time()
        late_s = self.over_at - self.session._deadlines.close_by - LAST_STEPS_S
        if late_s > ROUNDING_S and not self._stuck:
            self._find("I1", f"it was over {late_s:.3f} s after close_by, and did not say who kept it")

    def _find(self, invariant: str, what: str) -> None:
        self.problems.append(f"{invariant}: {self.session.name}: {what}")

    def _told(self, event: Event) -> None:
        if self._over:
            self._find("I2", f"a {type(event).__name__} was told after the block")
        match event:
            case SessionEnding(drain_by=None) if self.cancelled_at is None:
                self.cancelled_at = trio.current_time()
            case TaskStuck():
                self._stuck = True
            case Failure(error=error):
                self._errors.append(error)
                self._failures[id(error)] += 1
                if self._failures[id(error)] == 2:
                    self._find("I5", f"{type(error).__name__} was told twice")
            case _:
                pass

    def _ticked(self, frame: AudioFrame) -> None:
        if self._over:
            self._find("I2", "the playout made a tick after the block")
        elif self.cancelled_at is not None:
            self._find("I2", "the playout made a tick after the cancel")

    def _written(self, operation: Operation) -> None:
        kind = type(operation).__name__
        if self._over:
            self._find("I2", f"a {kind} was written after the block")
        elif self.cancelled_at is not None:
            self._find("I2", f"a {kind} was written after the cancel")
        if isinstance(operation, SendAudio):
            frame = operation.frame
            if self._position is not None and frame.position != self._position:
                self._find("I3", f"position {frame.position} was written, not {self._position}")
            self._position = frame.end
        self._wrote_before(operation)
