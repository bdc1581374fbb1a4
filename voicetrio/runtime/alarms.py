"""Times at which something is to be done, kept by one task for all who share it.

``open_alarms`` runs the clock of a whole server.  Where none is open, whoever needs one keeps its own, in
its own task.  Alarms ring in the order of their times, never early; after a stall all that are due ring, one
after the other.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import final

import trio

from voicetrio.runtime.guests import STEP_S, Guest

__all__ = ["Alarm", "AlarmClock", "alarm_clock", "open_alarms"]

_shared: ContextVar[AlarmClock | None] = ContextVar("voicetrio_alarm_clock", default=None)


@final
class Alarm:
    """One alarm: it rings once each time it is set.  Made by ``AlarmClock.add``."""

    __slots__ = ("_clock", "at", "guest")

    def __init__(self, clock: AlarmClock, guest: Guest) -> None:
        self._clock = clock
        self.guest = guest
        """Who is called."""
        self.at = math.inf
        """When it rings (``trio.current_time()``); infinite while it is not set."""

    def set(self, at: float) -> None:
        """Let it ring at ``at``, and not when it was set to before; now, if that is over."""
        if at != self.at:
            self.at = at
            self._clock._enter(self)

    def close(self) -> None:
        """Let it ring no more."""
        self.at = math.inf
        self.guest.leave()

    async def attend(self) -> None:
        """Wait until it is closed; keep the time meanwhile if nobody else does.

        Raises what it calls raises.
        """
        await self._clock._attend(self)


@final
class AlarmClock:
    """The alarms of one server, or of one session alone."""

    def __init__(self, *, is_shared: bool = False) -> None:
        self._is_shared = is_shared
        self._numbers = itertools.count()
        self._alarms: list[tuple[float, int, Alarm]] = []
        self._scope = trio.CancelScope()

    def add(self, call: Callable[[], object]) -> Alarm:
        """Return an alarm that calls ``call``, for the current task."""
        return Alarm(self, Guest(call))

    async def run(self, until: Guest | None = None) -> None:
        """Ring, until cancelled, or until the guest ``until`` is over."""
        host = trio.lowlevel.current_task()
        own_name = host.name
        # Asked for with every guest: the way there by ``trio.current_time`` is twice as long.
        current_time = trio.lowlevel.current_clock().current_time
        while True:
            with trio.CancelScope(deadline=self._next()) as self._scope:
                await trio.sleep_forever()
            began = now = current_time()
            while self._next() <= now:
                _, _, alarm = heapq.heappop(self._alarms)
                alarm.at = math.inf
                alarm.guest.visit(host)
                now = current_time()
                if now - began >= STEP_S:
                    await trio.lowlevel.checkpoint()
                    began = now = current_time()
            host.name = own_name
            if until is not None and until.is_over:
                return

    def _enter(self, alarm: Alarm) -> None:
        heapq.heappush(self._alarms, (alarm.at, next(self._numbers), alarm))
        if alarm.at < self._scope.deadline:
            self._scope.deadline = alarm.at

    def _next(self) -> float:
        """When the next alarm rings; those that were set anew or closed are let go of."""
        while self._alarms and self._alarms[0][0] != self._alarms[0][2].at:
            heapq.heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else math.inf

    async def _attend(self, alarm: Alarm) -> None:
        if not self._is_shared:
            await self.run(alarm.guest)
        await alarm.guest.wait_over()


def alarm_clock() -> AlarmClock:
    """Return the clock that this task shares with others, or a new one that its user attends."""
    return _shared.get() or AlarmClock()


@asynccontextmanager
async def open_alarms() -> AsyncIterator[None]:
    """Keep one clock for all tasks that are started in this block.

    It goes on when the block is cancelled, until the block is left: who cleans up may still need it.
    """
    clock = AlarmClock(is_shared=True)
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope(shield=True)

        async def keep() -> None:
            with scope:
                await clock.run()

        nursery.start_soon(keep, name="alarm clock")
        token = _shared.set(clock)
        try:
            yield
        finally:
            _shared.reset(token)
            scope.cancel()
