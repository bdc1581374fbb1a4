"""Running stages side by side, with one report for one failure.

``StageRun`` runs one stage and ends its ends.  ``run_together`` runs several in one nursery and raises what
failed: one failure as itself, several as one flat group.

A name that holds an exception is deleted before its frame is left (*no cycle* in the comments), because the
exception's traceback holds the frame.  The two would be garbage that only a collection finds, and among many
sessions that stops all of them for milliseconds, whenever one was cancelled.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Literal, TypeAlias, final

import attrs
import trio

from voicetrio.errors import ConfigError, LinkBroken, LinkStopped, StageInUse
from voicetrio.runtime.ends import FusedInlet, Outlet, SharedOutlet, close_now, link_of
from voicetrio.runtime.link_state import Link
from voicetrio.runtime.stages import Shape
from voicetrio.values import Value

__all__ = [
    "Job",
    "Once",
    "Report",
    "StageRun",
    "StageState",
    "StageStatistics",
    "make_unique",
    "run_together",
    "sort_ends",
]

StageState: TypeAlias = Literal["ready", "running", "ended", "stopped", "broken", "failed", "cancelled"]
"""``ended``: it returned.  ``stopped``: nobody read its outlet any more.  ``broken``: the stage before it
failed."""


@attrs.frozen(eq=False, repr=False)
class StageStatistics(Value):
    """Counts of one stage."""

    name: str
    state: StageState
    frames_in: int | None
    """Frames taken from its inlet; None where it has none, or where the inlet is a foreign channel."""
    frames_out: int | None
    """Frames sent, after the transforms that are fused to its outlet; None as for ``frames_in``."""
    transforms: tuple[str, ...]
    """The transforms that run in its task, in order."""
    inner: Any = None
    """The ``statistics()`` of a stage that has stages inside."""


@final
class Report:
    """What failed among stages that run together."""

    def __init__(self) -> None:
        self.failures: list[BaseException] = []
        self.consequences: list[BaseException] = []
        """What only says that a neighbour failed: reported if nothing else is."""

    @property
    def cause(self) -> BaseException | None:
        """What failed first, if anything did."""
        return next(iter(self.failures or self.consequences), None)

    def add(self, exc: BaseException, is_consequence: Callable[[BaseException], bool]) -> None:
        """Note what failed in one of them."""
        echo, failed = _split(exc, is_consequence)
        if echo is not None:
            self.consequences.append(echo)
        if failed is not None:
            self.failures.append(failed)


@final
@attrs.define(eq=False)
class StageRun:
    """One run of one stage."""

    name: str
    stage: Callable[..., Awaitable[None]]
    shape: Shape
    owner: str
    """For notes on exceptions: ``pipeline p``."""
    report: Report
    """Of those that run beside it."""
    transforms: tuple[str, ...] = ()
    inlet: trio.abc.ReceiveChannel[Any] | None = None
    outlet: Outlet | None = None
    state: StageState = "ready"

    async def run(self) -> None:  # noqa: ASYNC910  # it checkpoints as the stage does
        """Run the stage, then end both of its ends.

        A normal return ends the outlet, after what fused transforms still hold; an exception aborts it.
        LinkStopped of the stage's own outlet is how a stage is stopped, and no failure.
        """
        self.state = "running"
        ends = [end for end in (self.inlet, self.outlet) if end is not None]
        try:
            await self.stage(*ends)
            if isinstance(self.inlet, FusedInlet) and self.inlet.failure is not None:
                raise self.inlet.failure  # the stage hid it
            if self.outlet is not None:
                await self.outlet.aclose()
            self.state = "ended"
        except BaseException as exc:  # noqa: ASYNC103  # only a stop of this very stage is absorbed
            failed = _split(exc, self._is_own_stop)[1]
            try:
                if failed is None:
                    self.state = "stopped"
                    assert self.outlet is not None  # or there were nothing to be stopped by
                    self.outlet.abort(exc)
                    return  # noqa: ASYNC104, ASYNC910
                self._fail(failed)
                if failed is exc:
                    raise
                raise failed from None  # noqa: ASYNC104  # a Cancelled is part of it
            finally:
                del failed  # no cycle
        finally:
            if self.inlet is not None:
                close_now(self.inlet)

    def _fail(self, exc: BaseException) -> None:
        cancelled = _split(exc, _is_cancelled)[1] is None
        if self.outlet is not None:
            # Those further down learn of what failed first.
            cause = self.report.cause if cancelled else exc
            self.outlet.abort((cause.cause if isinstance(cause, LinkBroken) else cause) or exc)
        if cancelled:
            self.state = "cancelled"
        elif _split(exc, self.is_consequence)[1] is None:
            self.state = "broken"
        else:
            self.state = "failed"
            if not self._came_through_an_end(exc):
                exc.add_note(f"in stage {self.name} of {self.owner}")

    def _came_through_an_end(self, exc: BaseException) -> bool:
        """Whether a transform fused to an end raised ``exc``: a note names the transform already."""
        return any(getattr(end, "failure", None) is exc for end in (self.inlet, self.outlet))

    def _is_own_stop(self, exc: BaseException) -> bool:
        return isinstance(exc, LinkStopped) and self.outlet is not None and exc.link is self.outlet.link

    def is_consequence(self, exc: BaseException) -> bool:
        """Whether ``exc`` only says that the stage before this one failed."""
        return isinstance(exc, LinkBroken) and self.inlet is not None and exc.link is link_of(self.inlet)

    def statistics(self) -> StageStatistics:
        """Return the counts so far."""
        inner = getattr(self.stage, "statistics", None)
        return StageStatistics(
            name=self.name,
            state=self.state,
            frames_in=_frames_in(self.inlet),
            frames_out=_frames_out(self.outlet),
            transforms=self.transforms,
            inner=inner() if callable(inner) else None,
        )


def _frames_in(inlet: object) -> int | None:
    link = link_of(inlet)
    return link.statistics().received if isinstance(link, Link) else None


def _frames_out(outlet: object) -> int | None:
    if isinstance(outlet, SharedOutlet):
        return outlet.sent
    link = link_of(outlet)
    return link.statistics().sent if isinstance(link, Link) else None


def make_unique(runs: Iterable[StageRun]) -> None:
    """Number the runs that have the same name: ``gate``, ``gate-2``."""
    seen: dict[str, int] = {}
    for run in runs:
        seen[run.name] = seen.get(run.name, 0) + 1
        if seen[run.name] > 1:
            run.name = f"{run.name}-{seen[run.name]}"


# --- for stages that have stages inside ----------------------------------------------------------


@final
class Once:
    """Lets its owner run once."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._begun = False

    def begin(self) -> None:
        """Raise StageInUse the second time."""
        if self._begun:
            raise StageInUse(self._owner, "its first run", "another run")
        self._begun = True


def sort_ends(owner: str, shape: Shape, ends: Sequence[Any]) -> tuple[Any, Any]:
    """Return ``(inlet, outlet)`` from the ends that a stage of this shape was called with, None for none."""
    wanted = [name for name, has in (("inlet", shape.takes_inlet), ("outlet", shape.gives_outlet)) if has]
    if len(ends) != len(wanted):
        raise ConfigError(f"{owner} is called with ({', '.join(wanted)}): it was given {len(ends)} ends")
    given = dict(zip(wanted, ends, strict=True))
    return given.get("inlet"), given.get("outlet")


# --- several at once ---------------------------------------------------------------------------


def _never(_exc: BaseException) -> bool:
    return False


@final
@attrs.frozen(eq=False, repr=False)
class Job(Value):
    """One of the things that ``run_together`` runs."""

    name: str
    """The task's name."""
    run: Callable[[], Awaitable[None]]
    is_consequence: Callable[[BaseException], bool] = _never
    """Tells what only says that a neighbour failed: reported if nothing else is."""


async def run_together(what: str, jobs: Iterable[Job], report: Report) -> None:  # noqa: ASYNC910  # as the jobs do
    """Run ``jobs`` in one nursery until all have returned; the first failure cancels the others.

    Raises what failed: one exception as it is, several as one flat ExceptionGroup that names ``what``.
    """

    async def supervise(job: Job) -> None:  # noqa: ASYNC910  # it checkpoints as the job does
        try:
            await job.run()
        except BaseException as exc:  # noqa: ASYNC103  # what is not raised here is raised below
            cancelled, rest = _split(exc, _is_cancelled)
            try:
                if rest is None:
                    raise
                report.add(rest, job.is_consequence)
                nursery.cancel_scope.cancel(f"{job.name} failed: {rest!r}")
                if cancelled is not None:
                    raise cancelled from None  # noqa: ASYNC104
            finally:
                del cancelled, rest  # no cycle

    try:
        async with trio.open_nursery() as nursery:
            for job in jobs:
                nursery.start_soon(supervise, job, name=job.name)
    except BaseException as exc:  # noqa: ASYNC103  # a failure is worth more than a Cancelled beside it
        rest = _split(exc, _is_cancelled)[1]
        try:
            if rest is not None:  # Ctrl-C can arrive in the nursery itself
                report.failures.extend(_leaves(rest))
            elif not report.failures:
                raise
        finally:
            del rest  # no cycle
    failures = report.failures or report.consequences[:1]
    # A pipeline may be kept for its statistics; what failed in it, and all its frames, should not be.
    report.failures, report.consequences = [], []
    _raise(what, failures)


def _raise(what: str, failures: list[BaseException]) -> None:
    """Raise one exception as it is, several as one group without groups inside."""
    if not failures:
        return
    if len(failures) == 1:
        raise failures.pop()
    leaves = [leaf for failure in failures for leaf in _leaves(failure)]
    raise BaseExceptionGroup(f"{len(leaves)} failures in {what}", leaves)


def _leaves(exc: BaseException, notes: tuple[str, ...] = ()) -> list[BaseException]:
    """Return what is in a plain group, with the group's notes.  A group of another type is one failure."""
    if type(exc) not in (ExceptionGroup, BaseExceptionGroup):
        for note in notes:
            exc.add_note(note)
        return [exc]
    assert isinstance(exc, BaseExceptionGroup)
    notes = (*getattr(exc, "__notes__", ()), *notes)
    return [leaf for inner in exc.exceptions for leaf in _leaves(inner, notes)]


def _split(
    exc: BaseException, matches: Callable[[BaseException], bool]
) -> tuple[BaseException | None, BaseException | None]:
    """Return the part of ``exc`` that ``matches``, and the rest.

    What is not a group goes to one side as it is; a group is split by its leaves.
    """
    if not isinstance(exc, BaseExceptionGroup):
        return (exc, None) if matches(exc) else (None, exc)
    matching, rest = exc.split(lambda leaf: not isinstance(leaf, BaseExceptionGroup) and matches(leaf))
    # Splitting makes new groups, also where there is nothing to take away.
    if rest is None:
        return exc, None
    return (None, exc) if matching is None else (matching, rest)


def _is_cancelled(exc: BaseException) -> bool:
    return isinstance(exc, trio.Cancelled)
