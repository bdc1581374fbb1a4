"""The outbox: what waits to be written to the peer.

One ordered list of operations with an urgent lane, one reader.  It is bounded in seconds of media; a
playout that finds it full keeps its audio and tries again.  A gate that the session shuts on cancel is
tested at every entry and at every exit, with no checkpoint between the test and the write.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import final

import attrs
import trio

from voicetrio.frames import AudioFrame
from voicetrio.runtime.queues import note_queue
from voicetrio.runtime.transport import Clear, Mark, Operation, SendAudio

__all__ = ["Gate", "Outbox", "OutboxStatistics", "dialling_allowed", "using_gate"]

_current_gate: ContextVar[Gate | None] = ContextVar("voicetrio_gate", default=None)


@final
class Gate:
    """Open until the session is cancelled; then shut for ever."""

    __slots__ = ("is_open",)

    def __init__(self) -> None:
        self.is_open = True

    def shut(self) -> None:
        """Let nothing through any more."""
        self.is_open = False


@contextmanager
def using_gate(gate: Gate) -> Iterator[None]:
    """Let ``dialling_allowed`` in this task, and in tasks started from here, obey ``gate``."""
    token = _current_gate.set(gate)
    try:
        yield
    finally:
        _current_gate.reset(token)


def dialling_allowed() -> bool:
    """Tell whether a connection may be tried now: not in a session that was cancelled.

    Whoever dials asks this with no checkpoint between the answer and the dial.
    """
    gate = _current_gate.get()
    return gate is None or gate.is_open


@attrs.frozen
class OutboxStatistics:
    """Counts of one outbox."""

    queued_items: int
    queued_s: float
    """Seconds of audio that wait."""
    peak_s: float
    written_items: int
    dropped_items: int
    """Audio that a clear or a cancel took back before it was written."""
    full_since: float | None
    """``trio.current_time()`` when it became full, while it is."""


@final
class Outbox:
    """Operations on their way to the transport.

    Bounds: ``max_s`` seconds of audio, and ``max_items`` operations of any kind.
    """

    def __init__(self, gate: Gate, *, max_s: float = 0.5, max_items: int = 256) -> None:
        self._gate = gate
        self.max_s = max_s
        """So many seconds of audio may wait."""
        self._max_items = max_items
        self._urgent: deque[Operation] = deque()
        self._ordered: deque[Operation] = deque()
        self._queued_s = 0.0
        self._peak_s = 0.0
        self._written = 0
        self._dropped = 0
        self._full_since: float | None = None
        self._reader: trio.lowlevel.Task | None = None
        self._at_once: Callable[[Operation], bool] | None = None
        self._in_hand: Operation | None = None
        self._in_hand_since: float | None = None
        self.on_written: Callable[[Operation], None] = _ignore
        self.name = "outbox"
        """For statistics."""
        note_queue(self)

    # --- the runtime's end ---

    def waiting(self) -> tuple[int, float]:
        """Return how many operations wait, and how many seconds of audio they are; see ``Queue``."""
        return len(self._urgent) + len(self._ordered), self._queued_s

    def has_room(self, duration_s: float) -> bool:
        """Tell whether audio of ``duration_s`` seconds would be taken now."""
        if self._queued_s + duration_s > self.max_s + 1e-9 or len(self._ordered) >= self._max_items:
            if self._full_since is None:
                self._full_since = trio.current_time()
            return False
        self._full_since = None
        return True

    def offer(self, frame: AudioFrame) -> bool:
        """Queue audio; return False, and count it as dropped, if there is no room, or the gate is shut."""
        duration_s = frame.duration_s
        if not self._gate.is_open or not self.has_room(duration_s):
            self._dropped += 1
            return False
        operation = SendAudio(frame)
        if not self._write_at_once(operation):
            self._queued_s += duration_s
            self._peak_s = max(self._peak_s, self._queued_s)
            self._ordered.append(operation)
            self._wake()
        return True

    def put(self, operation: Operation, *, urgent: bool = False) -> bool:
        """Queue what is not audio; ``urgent`` goes before everything that waits.

        Returns False if the gate is shut or the bound on items is reached.
        """
        lane = self._urgent if urgent else self._ordered
        if not self._gate.is_open or len(lane) >= self._max_items:
            return False
        if not self._write_at_once(operation):
            lane.append(operation)
            self._wake()
        return True

    def take_back_audio(self) -> int | None:
        """Drop the audio that is not written yet; return the position of the first dropped sample, if any."""
        kept: deque[Operation] = deque()
        first: int | None = None
        for operation in self._ordered:
            if isinstance(operation, SendAudio):
                self._dropped += 1
                if first is None:
                    first = operation.frame.position
            else:
                kept.append(operation)
        self._ordered = kept
        self._queued_s = 0.0
        self._full_since = None
        return first

    def begin_again(self) -> None:
        """The peer was lost and may come back: forget what only the lost connection would have needed.

        That is the operation in hand (nobody knows whether it arrived), and every clear and mark.
        """
        self._in_hand = None
        self._in_hand_since = self._full_since = None
        for lane in (self._urgent, self._ordered):
            kept = [operation for operation in lane if not isinstance(operation, Clear | Mark)]
            lane.clear()
            lane.extend(kept)

    def discard(self) -> None:
        """Drop everything (the session was cancelled)."""
        self._dropped += len(self._ordered) + len(self._urgent)
        self._ordered.clear()
        self._urgent.clear()
        self._queued_s = 0.0

    @property
    def stuck_since(self) -> float | None:
        """When it became full, or since when one write is under way; None if neither is."""
        times = [time for time in (self._full_since, self._in_hand_since) if time is not None]
        return min(times) if times else None

    def statistics(self) -> OutboxStatistics:
        """Return the counts so far."""
        return OutboxStatistics(
            queued_items=len(self._ordered) + len(self._urgent),
            queued_s=self._queued_s,
            peak_s=self._peak_s,
            written_items=self._written,
            dropped_items=self._dropped,
            full_since=self._full_since,
        )

    # --- the transport's end ---

    async def next(self, at_once: Callable[[Operation], bool] | None = None) -> Operation:
        """Wait for the next operation to write; see OutboxReader."""
        if self._urgent or self._ordered:
            await trio.lowlevel.checkpoint()
        else:
            await trio.lowlevel.checkpoint_if_cancelled()  # the wait below is the checkpoint
        while not self._gate.is_open or not (self._urgent or self._ordered):
            if self._reader is not None:
                raise trio.BusyResourceError("an outbox has one reader")
            self._reader = trio.lowlevel.current_task()
            self._at_once = at_once
            await trio.lowlevel.wait_task_rescheduled(self._give_up)
        if self._urgent:
            operation = self._urgent.popleft()
        else:
            operation = self._ordered.popleft()
            if isinstance(operation, SendAudio):
                self._queued_s = max(0.0, self._queued_s - operation.frame.duration_s)
                self._full_since = None
        self._in_hand = operation
        self._in_hand_since = trio.current_time()
        return operation

    def written(self, operation: Operation) -> None:
        """Count ``operation`` as handed to the network."""
        self._written += 1
        self._in_hand = None
        self._in_hand_since = None
        self.on_written(operation)

    def _write_at_once(self, operation: Operation) -> bool:
        """Let the reader that waits, for want of anything, write ``operation`` without being woken."""
        if self._reader is None or self._at_once is None or self._ordered or self._urgent:
            return False
        if not self._at_once(operation):
            return False
        self._written += 1
        self.on_written(operation)
        return True

    def _wake(self) -> None:
        if self._reader is not None:
            reader, self._reader = self._reader, None
            trio.lowlevel.reschedule(reader)

    def _give_up(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._reader = None
        return trio.lowlevel.Abort.SUCCEEDED


def _ignore(_operation: Operation) -> None:
    """Do nothing."""
