"""What can be done to a session from outside, as small values: drawn, printed, and performed in turn."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final, TypeAlias, final

import attrs
import numpy as np
import trio

from voicetrio.runtime.session import Session
from voicetrio.testing.simulation import Simulation
from voicetrio.transports.memory import FarEnd

__all__ = [
    "BargeIn",
    "Cancel",
    "Controls",
    "Disconnect",
    "End",
    "EndSource",
    "FailService",
    "Flush",
    "Operation",
    "Press",
    "ResumeReading",
    "Send",
    "StopReading",
    "Wait",
    "draw_operations",
    "perform",
]

FRAME_S: Final = 0.02
VOICE_LEVEL: Final = 8000


@final
class Controls:
    """What operations act on."""

    def __init__(self, sim: Simulation, far_end: FarEnd) -> None:
        self.sim = sim
        """Where it happens."""
        self.far_end = far_end
        """The peer."""
        self.session: Session
        """The session, once it is open."""
        self.service_fails = trio.Event()
        """Set by FailService; a behaviour that has a service waits for it."""
        self.flushes = 0
        """Counted by Flush; a behaviour that speaks flushes what it says when this grows."""
        self.asked_to_flush = trio.lowlevel.ParkingLot()


@final
@attrs.frozen
class Wait:
    """Let time pass."""

    seconds: float

    async def perform(self, on: Controls) -> None:
        """Sleep."""
        await trio.sleep(self.seconds)


@final
@attrs.frozen
class Send:
    """The peer's microphone is on for so long, with silence in it."""

    seconds: float

    async def perform(self, on: Controls) -> None:
        """Send audio at the pace of a clock."""
        await _send(on, self.seconds, 0)


@final
@attrs.frozen
class BargeIn:
    """The peer speaks for so long, and is silent afterwards for as long as its voice needs to end."""

    seconds: float = 0.6
    silence_s: float = 0.4

    async def perform(self, on: Controls) -> None:
        """Send voice, then silence, at the pace of a clock."""
        await _send(on, self.seconds, VOICE_LEVEL)
        await _send(on, self.silence_s, 0)


@final
@attrs.frozen
class Flush:
    """The reply that is being played is interrupted, as a conversation would do it."""

    async def perform(self, on: Controls) -> None:
        """Ask the behaviour."""
        on.flushes += 1
        on.asked_to_flush.unpark_all()
        await trio.lowlevel.checkpoint()


@final
@attrs.frozen
class End:
    """``session.end(grace)``."""

    grace: float | None = None

    async def perform(self, on: Controls) -> None:
        """End."""
        on.session.end(self.grace)
        await trio.lowlevel.checkpoint()


@final
@attrs.frozen
class Cancel:
    """``session.cancel()``."""

    async def perform(self, on: Controls) -> None:
        """Cancel."""
        on.session.cancel()
        await trio.lowlevel.checkpoint()


@final
@attrs.frozen
class Disconnect:
    """The peer is gone, without a goodbye or with a close code."""

    code: int | None = None

    async def perform(self, on: Controls) -> None:
        """Hang up."""
        on.far_end.hang_up(code=self.code)
        await trio.lowlevel.checkpoint()


@final
@attrs.frozen
class EndSource:
    """The peer will send no more audio."""

    async def perform(self, on: Controls) -> None:
        """Say so."""
        on.far_end.end_source()
        await trio.lowlevel.checkpoint()


@final
@attrs.frozen
class StopReading:
    """The peer takes nothing any more."""

    async def perform(self, on: Controls) -> None:
        """Stop."""
        on.far_end.stop_reading()
        await trio.lowlevel.checkpoint()


@final
@attrs.frozen
class ResumeReading:
    """The peer takes what waits."""

    async def perform(self, on: Controls) -> None:
        """Go on."""
        on.far_end.resume_reading()
        await trio.lowlevel.checkpoint()


@final
@attrs.frozen
class FailService:
    """A service of the behaviour fails."""

    async def perform(self, on: Controls) -> None:
        """Let it fail."""
        on.service_fails.set()
        await trio.lowlevel.checkpoint()


@final
@attrs.frozen
class Press:
    """The peer presses a key."""

    digit: str = "1"

    async def perform(self, on: Controls) -> None:
        """Press it."""
        on.far_end.dtmf(self.digit)
        await trio.lowlevel.checkpoint()


Operation: TypeAlias = (
    Wait
    | Send
    | BargeIn
    | Flush
    | End
    | Cancel
    | Disconnect
    | EndSource
    | StopReading
    | ResumeReading
    | FailService
    | Press
)
"""Any operation."""


async def perform(operations: Sequence[Operation], on: Controls) -> None:
    """Perform ``operations`` in turn; the rest is left out once the peer is gone or takes nothing more."""
    for operation in operations:
        on.sim.record("performs", repr(operation))
        try:
            await operation.perform(on)
        except (trio.BrokenResourceError, trio.WouldBlock) as exc:
            on.sim.record("the peer cannot", exc)
            break
    await trio.lowlevel.checkpoint()


async def _send(on: Controls, seconds: float, level: int) -> None:
    rate = on.far_end.traits.input_rate
    samples = np.full(round(rate * FRAME_S), level, np.int16)
    next_at = trio.current_time()
    for _ in range(max(1, round(seconds / FRAME_S))):
        on.far_end.send_audio_nowait(samples)
        next_at += FRAME_S
        await trio.sleep_until(next_at)
    await trio.lowlevel.checkpoint()


# --- drawing ---------------------------------------------------------------------------------------

_DURATIONS_S: Final = (0.013, 0.117, 0.431, 1.003)
_CHOICES: Final[tuple[Operation, ...]] = (
    *(Wait(seconds) for seconds in _DURATIONS_S),
    *(Wait(seconds) for seconds in _DURATIONS_S),
    Send(0.06),
    Send(0.3),
    BargeIn(),
    Flush(),
    Flush(),
    End(),
    End(0.0),
    End(0.3),
    Cancel(),
    Disconnect(),
    Disconnect(1008),
    EndSource(),
    StopReading(),
    ResumeReading(),
    FailService(),
    Press(),
)


def draw_operations(draws: random.Random, *, most: int = 6) -> tuple[Operation, ...]:
    """Return up to ``most`` operations."""
    return tuple(draws.choice(_CHOICES) for _ in range(draws.randint(0, most)))
