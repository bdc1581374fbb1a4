"""``Switch``: a stage with reserves, which take over when it fails.

A branch is made by a factory when it is needed, since what has failed cannot be run again.  The next branch
goes on with the rest of the inlet.  It is first offered the last frame that the failed branch had taken and
was still at work on (it had not asked for another one): that frame may then have results from both.  A frame
is offered again once at most; if the second branch fails on it too, it is skipped.

With ``attempt_s``, a branch that neither gives anything nor asks for more for so long has failed.  With a
``BranchHealth``, a branch that failed too often is not the first to be tried, until a probe, or a run, finds
it well again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, final

import attrs
import trio
from trio.lowlevel import cancel_shielded_checkpoint, checkpoint, checkpoint_if_cancelled

from voicetrio.errors import ConfigError, ServiceError
from voicetrio.events import Failure
from voicetrio.runtime.branch_health import BranchHealth
from voicetrio.runtime.emit import emit
from voicetrio.runtime.ends import Outlet, SharedOutlet, adapt_outlet, link_of
from voicetrio.runtime.pipeline import PipelinePart, as_stage
from voicetrio.runtime.running import Once, Report, StageRun, StageStatistics
from voicetrio.runtime.stages import adopt, is_async, name_of, shape_of
from voicetrio.runtime.transforms import Transform

__all__ = ["StageFactory", "Switch", "SwitchStatistics"]

StageFactory = Callable[[], PipelinePart]
"""Makes a new branch."""

_NOTHING: Final[Any] = object()


@attrs.frozen
class SwitchStatistics:
    """Counts of one Switch."""

    name: str
    branches: tuple[StageStatistics, ...]
    """The branches that were made, in their order; the last one is in use."""
    failovers: int
    """How often a reserve took over."""
    reoffered_frames: int
    skipped_frames: int
    """Frames on which two branches failed."""


@final
class Switch:
    """Runs the stage that ``primary`` makes; when it fails, the one that the next of ``reserves`` makes.

    A failure is an Exception that a branch raises, or its factory.  It is told as a Failure event when a
    reserve takes over; without a reserve left, all of them are raised as one ExceptionGroup.  What is not
    the branch's fault is no reason to switch, and passes: the inlet is broken, nobody reads the outlet any
    more, a transform next to the Switch fails.

    Its branches take an inlet and give an outlet.  It runs once.

    Args:
        primary: makes the first branch.
        reserves: make the others.
        name: for events, statistics and notes.
        attempt_s: a branch that neither gives anything nor asks for more within so many seconds has failed;
            waiting for the inlet, or for the outlet's reader, does not count.
        health: shared by all Switches over the same services; it has a place for each branch, and decides
            which comes first.
    """

    takes_inlet = True
    gives_outlet = True

    def __init__(
        self,
        primary: StageFactory,
        *reserves: StageFactory,
        name: str = "switch",
        attempt_s: float = math.inf,
        health: BranchHealth | None = None,
    ) -> None:
        self.name = name
        """For events, statistics and notes."""
        self._owner = f"switch {name}"
        self._factories = (primary, *reserves)
        for factory in self._factories:
            if not callable(factory) or is_async(factory) or isinstance(factory, Transform):
                raise ConfigError(
                    f"{name_of(factory)} makes no stages: give {self._owner} functions that return new ones"
                )
        if not attempt_s > 0:
            raise ConfigError(f"attempt_s must be above 0, not {attempt_s!r}")
        if health is not None and len(health) != len(self._factories):
            raise ConfigError(f"{self._owner} has {len(self._factories)} branches, its health {len(health)}")
        self._attempt_s = attempt_s
        self._health = health
        self._once = Once(self._owner)
        self._runs: list[StageRun] = []
        self._failovers = 0
        self._reoffered = 0
        self._skipped = 0

    def __repr__(self) -> str:
        return f"<{self._owner}: {len(self._factories)} branches>"

    async def __call__(self, inlet: trio.abc.ReceiveChannel[Any], outlet: trio.abc.SendChannel[Any]) -> None:
        """Run the branches, one after the other, until one returns.

        Raises ConfigError if a factory makes something that does not fit, StageInUse if it is not new.
        """
        self._once.begin()
        failures: list[Exception] = []
        again: Any = _NOTHING
        for index in range(len(self._factories)) if self._health is None else self._health.order():
            if failures:
                self._failovers += 1
                self._reoffered += again is not _NOTHING
                emit(Failure(where=self._where(), error=failures[-1], position=_position(again)))
            patience = _Patience(self._attempt_s)
            offer = _Offer(inlet, again, patience)
            failure = await self._attempt(index, offer, _TimedOutlet(adapt_outlet(outlet), patience))
            if failure is None:
                return
            failures.append(failure)
            again = offer.left_over()
            self._skipped += offer.failed_twice
        raise ExceptionGroup(f"every branch of {self._owner} failed", failures)

    def statistics(self) -> SwitchStatistics:
        """Return the counts so far."""
        branches = tuple(run.statistics() for run in self._runs)
        return SwitchStatistics(self.name, branches, self._failovers, self._reoffered, self._skipped)

    async def _attempt(  # noqa: ASYNC910  # it checkpoints as the branch does
        self, index: int, offer: _Offer, outlet: _TimedOutlet
    ) -> Exception | None:
        """Make a branch and run it; return its failure, or None if it returned."""
        failure = await self._run_branch(index, offer, outlet)
        if self._health is not None:
            if failure is None:
                self._health.succeeded(index)
            else:
                self._health.failed(index, failure)
        return failure

    async def _run_branch(  # noqa: ASYNC910  # it checkpoints as the branch does
        self, index: int, offer: _Offer, outlet: _TimedOutlet
    ) -> Exception | None:
        try:
            stage = self._factories[index]()
        except Exception as exc:
            await checkpoint()
            return exc  # noqa: ASYNC910
        run = self._adopt(stage, index)
        run.inlet, run.outlet = offer, outlet
        scope = outlet.patience.scope
        try:
            with scope:
                await run.run()
        except Exception as exc:
            if _comes_from(exc, offer.failure) or _comes_from(exc, outlet.failure):
                raise
            return exc  # noqa: ASYNC910
        if scope.cancelled_caught:
            text = f"it gave nothing and asked for nothing for {self._attempt_s:g} s"
            return ServiceError(text, service=run.name, transient=True)
        return None

    def _adopt(self, part: PipelinePart, index: int) -> StageRun:
        shape = shape_of(part)
        if not (shape.takes_inlet and shape.gives_outlet):
            raise ConfigError(f"{name_of(part)} cannot be a branch of {self._owner}: it needs both ends")
        stage = as_stage(part)
        adopt([stage], self._owner)
        run = StageRun(name_of(stage), stage, shape, self._owner, Report())
        self._runs.append(run)
        return run

    def _where(self) -> str:
        return f"{self.name}/{self._runs[-1].name}" if self._runs else self.name


@final
class _Patience:
    """How long a branch may neither give anything nor ask for more."""

    __slots__ = ("_attempt_s", "_waits", "scope")

    def __init__(self, attempt_s: float) -> None:
        self._attempt_s = attempt_s
        self._waits = 0
        self.scope = trio.CancelScope(deadline=trio.current_time() + attempt_s)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """It waits for others in this block: the time does not count.  Its tasks may do so at once."""
        self._waits += 1
        self.scope.deadline = math.inf
        try:
            yield
        finally:
            self._waits -= 1
            if not self._waits:
                self.scope.deadline = trio.current_time() + self._attempt_s


@final
class _TimedOutlet(SharedOutlet):
    """The branch's way into the outlet; waiting for the reader is not the branch's fault."""

    __slots__ = ("patience",)

    def __init__(self, outlet: Outlet, patience: _Patience) -> None:
        super().__init__(outlet)
        self.patience = patience

    async def send(self, value: Any) -> None:
        """Send into the outlet that is shared."""
        with self.patience.waiting():
            await super().send(value)


@final
class _Offer(trio.abc.ReceiveChannel[Any]):
    """The inlet as one branch sees it: remembers the frame in hand, and may begin with one from before."""

    __slots__ = ("_again", "_closed", "_in_hand", "_inlet", "_patience", "_second", "failure")

    def __init__(self, inlet: trio.abc.ReceiveChannel[Any], again: Any, patience: _Patience) -> None:
        self._inlet = inlet
        self._patience = patience
        self._again = again
        self._in_hand: Any = _NOTHING
        self._second = False
        self._closed = False
        self.failure: BaseException | None = None
        """What the inlet itself raised, if it did: not the branch's fault."""

    @property
    def link(self) -> object:
        """The link of the inlet."""
        return link_of(self._inlet)

    async def receive(self) -> Any:
        """Return the next frame; whoever asks for it is done with the one before."""
        if self._closed:
            raise trio.ClosedResourceError
        with self._patience.waiting():
            return await self._receive()

    async def _receive(self) -> Any:
        self._in_hand = _NOTHING
        self._second = False
        if self._again is not _NOTHING:
            await checkpoint_if_cancelled()
            self._in_hand, self._again, self._second = self._again, _NOTHING, True
            await cancel_shielded_checkpoint()
            return self._in_hand
        try:
            self._in_hand = await self._inlet.receive()
        except trio.EndOfChannel:
            raise
        except Exception as exc:
            self.failure = exc
            raise
        return self._in_hand

    def left_over(self) -> Any:
        """Return the frame to offer to the next branch, or ``_NOTHING``."""
        if self._again is not _NOTHING:
            return self._again  # the branch failed before it took it
        return _NOTHING if self._second else self._in_hand

    @property
    def failed_twice(self) -> bool:
        """Whether the frame in hand was in another branch's hand before."""
        return self._second

    def close(self) -> None:
        """Take nothing more; the inlet stays open for the next branch."""
        self._closed = True

    async def aclose(self) -> None:
        """Take nothing more."""
        self._closed = True
        await checkpoint()


def _comes_from(exc: BaseException, origin: BaseException | None) -> bool:
    """Whether ``origin`` is ``exc``, is in it, or led to it."""
    if origin is None:
        return False
    seen: set[int] = set()
    todo = [exc]
    while todo:
        each = todo.pop()
        if each is origin:
            return True
        if id(each) not in seen:
            seen.add(id(each))
            todo += [before for before in (each.__cause__, each.__context__) if before is not None]
            todo += each.exceptions if isinstance(each, BaseExceptionGroup) else ()
    return False


def _position(frame: object) -> int | None:
    position = getattr(frame, "position", None)
    return position if isinstance(position, int) else None
