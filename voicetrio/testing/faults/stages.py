"""Stages that misbehave, each in one way; they pass on what they are given otherwise.

Each is used once, in one pipeline, as every stage that has state.  Their texts (``repr``) are what a failing
test prints.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias, final

import attrs
import trio

from voicetrio.runtime.deadlines import cleanup
from voicetrio.runtime.workers import WorkerPool, check_cancelled

__all__ = [
    "BlockingStage",
    "BurstStage",
    "FailingCleanupStage",
    "FailingStage",
    "ImpatientStage",
    "NeverEndingStage",
    "PassingStage",
    "ShieldingStage",
    "SilentStage",
    "SlowCleanupStage",
    "SlowStage",
    "StageFault",
    "SwallowingStage",
    "cooperative",
]

Inlet: TypeAlias = trio.abc.ReceiveChannel[Any]
Outlet: TypeAlias = trio.abc.SendChannel[Any]


class StageFault(Exception):
    """What a stage of this module raises when it is to fail."""


@final
@attrs.define(eq=False)
class PassingStage:
    """Does nothing wrong: what other stages are compared with."""

    async def __call__(self, inlet: Inlet, outlet: Outlet) -> None:
        """Pass every frame on."""
        async for frame in inlet:
            await outlet.send(frame)


@final
@attrs.define(eq=False)
class SlowStage:
    """Takes its time for every frame."""

    delay_s: float = 0.1

    async def __call__(self, inlet: Inlet, outlet: Outlet) -> None:
        """Pass every frame on, ``delay_s`` seconds after it was taken."""
        async for frame in inlet:
            await trio.sleep(self.delay_s)
            await outlet.send(frame)


@final
@attrs.define(eq=False)
class SwallowingStage:
    """Swallows the first ``count`` cancellations, as an ``except BaseException: pass`` does, and goes on."""

    count: int = 1
    swallowed: int = attrs.field(default=0, init=False, repr=False)
    """How many it has swallowed so far."""

    async def __call__(self, inlet: Inlet, outlet: Outlet) -> None:
        """Pass every frame on."""
        while True:  # noqa: ASYNC913
            try:
                await outlet.send(await inlet.receive())
            except trio.EndOfChannel:
                return  # noqa: ASYNC910
            except trio.Cancelled:  # noqa: ASYNC103  # this is the fault
                if self.swallowed >= self.count:
                    raise
                self.swallowed += 1


@final
@attrs.define(eq=False)
class ShieldingStage:
    """Sleeps in a shield of its own when it is cancelled: with a deadline, or without."""

    sleep_s: float = float("inf")
    deadline_s: float | None = None
    """The shield's deadline, in seconds from the cancellation; None for none."""

    async def __call__(self, inlet: Inlet, outlet: Outlet) -> None:
        """Pass every frame on; then, if cancelled, sleep."""
        try:
            async for frame in inlet:
                await outlet.send(frame)
        except trio.Cancelled:
            deadline = float("inf") if self.deadline_s is None else trio.current_time() + self.deadline_s
            with trio.CancelScope(shield=True, deadline=deadline):
                await trio.sleep(self.sleep_s)
            raise


@final
@attrs.define(eq=False)
class SlowCleanupStage:
    """Cleans up as it should, in ``cleanup()``'s scope, but slowly."""

    sleep_s: float = 0.5
    within_s: float = 5.0
    """What it asks ``cleanup()`` for."""

    async def __call__(self, inlet: Inlet, outlet: Outlet) -> None:
        """Pass every frame on, then clean up."""
        try:
            async for frame in inlet:
                await outlet.send(frame)
        finally:
            with cleanup(self.within_s):
                await trio.sleep(self.sleep_s)  # noqa: ASYNC102  # cleanup() is a shield with a deadline


@final
@attrs.define(eq=False)
class FailingStage:
    """Raises StageFault instead of passing on frame number ``at_frame``, counted from 0."""

    at_frame: int = 0

    async def __call__(self, inlet: Inlet, outlet: Outlet) -> None:
        """Pass frames on until then."""
        count = 0
        async for frame in inlet:
            if count == self.at_frame:
                raise StageFault(f"at frame {count}")
            count += 1
            await outlet.send(frame)


@final
@attrs.define(eq=False)
class FailingCleanupStage:
    """Raises StageFault in its ``finally``, however it ends."""

    async def __call__(self, inlet: Inlet, outlet: Outlet) -> None:
        """Pass every frame on, then raise."""
        try:
            async for frame in inlet:
                await outlet.send(frame)
        finally:
            raise StageFault("in cleanup")


@final
@attrs.define(eq=False)
class ImpatientStage:
    """Returns after ``frames`` frames, though its inlet goes on."""

    frames: int = 1

    async def __call__(self, inlet: Inlet, outlet: Outlet) -> None:
        """Pass so many frames on."""
        for _ in range(self.frames):
            try:
                frame = await inlet.receive()
            except trio.EndOfChannel:
                return  # noqa: ASYNC910
            await outlet.send(frame)
        await trio.lowlevel.checkpoint()


@final
@attrs.define(eq=False)
class NeverEndingStage:
    """Does not return when its inlet has ended: it waits for ever."""

    async def __call__(self, inlet: Inlet, outlet: Outlet) -> None:
        """Pass every frame on, then wait."""
        async for frame in inlet:
            await outlet.send(frame)
        await trio.sleep_forever()


@final
@attrs.define(eq=False)
class BlockingStage:
    """Blocks a worker for every frame.

    ``block`` is called in the worker: a plain call that takes its time cannot be cancelled; made by
    ``cooperative`` it can.  Under virtual time the pool needs an ``InlineRunner``, which has the duration,
    and ``block`` must return at once.
    """

    pool: WorkerPool = attrs.field(repr=False)
    block: Callable[[], object] = attrs.field(repr=False)

    async def __call__(self, inlet: Inlet, outlet: Outlet) -> None:
        """Pass every frame on, after the worker is done."""
        async for frame in inlet:
            await self.pool.run(self.block, name="blocking stage")
            await outlet.send(frame)


def cooperative(step: Callable[[], object], steps: int) -> Callable[[], None]:
    """Return a call that makes ``steps`` calls of ``step``, and stops between two when it was cancelled."""

    def block() -> None:
        for _ in range(steps):
            check_cancelled()
            step()

    return block


@final
@attrs.define(eq=False)
class BurstStage:
    """Holds frames back and passes them on ``size`` at a time."""

    size: int = 10

    async def __call__(self, inlet: Inlet, outlet: Outlet) -> None:
        """Pass every frame on, the last ones when the inlet ends."""
        held: deque[Any] = deque()
        async for frame in inlet:
            held.append(frame)
            if len(held) >= self.size:
                await self._let_go(held, outlet)
        await self._let_go(held, outlet)

    @staticmethod
    async def _let_go(held: deque[Any], outlet: Outlet) -> None:
        while held:
            await outlet.send(held.popleft())
        await trio.lowlevel.checkpoint()


@final
@attrs.define(eq=False)
class SilentStage:
    """Takes every frame and passes none on."""

    async def __call__(self, inlet: Inlet, outlet: Outlet) -> None:
        """Read until the inlet ends."""
        async for _ in inlet:
            pass
