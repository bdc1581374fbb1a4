"""``Parallel``: several stages beside each other, on one inlet and one outlet."""

from __future__ import annotations

import functools
from typing import Any, final

import attrs
import trio

from voicetrio.errors import ConfigError, LinkStopped
from voicetrio.runtime.ends import SharedOutlet, adapt_outlet
from voicetrio.runtime.links import LinkSender, LinkStatistics, open_link
from voicetrio.runtime.pipeline import PipelinePart, as_stage
from voicetrio.runtime.running import (
    Job,
    Once,
    Report,
    StageRun,
    StageStatistics,
    make_unique,
    run_together,
    sort_ends,
)
from voicetrio.runtime.stages import Shape, adopt, name_of, shape_of

__all__ = ["Parallel", "ParallelStatistics"]


@attrs.frozen
class ParallelStatistics:
    """Counts of one Parallel."""

    name: str
    branches: tuple[StageStatistics, ...]
    links: tuple[LinkStatistics, ...]
    """The links to the branches that take an inlet, in their order."""


@final
class Parallel:
    """A stage that gives each frame to each of its branches, and merges what they send in order of arrival.

    A branch may be a stage, a sink, a source or a transform.  The slowest branch sets the pace: each has a
    link of its own, bounded like a pipeline's.  When a branch returns early, the others go on; when all have
    returned, it returns.  A branch that fails fails the whole.  It runs once.

    Raises ConfigError for what is no stage, StageInUse for a branch that has an owner.
    """

    def __init__(
        self,
        *branches: PipelinePart,
        name: str | None = None,
        link_s: float | None = None,
        link_items: float = 1,
    ) -> None:
        if not branches:
            raise ConfigError("Parallel needs at least one branch")
        shapes = [shape_of(branch) for branch in branches]
        stages = [as_stage(branch) for branch in branches]
        self.name = name or f"Parallel({', '.join(map(name_of, stages))})"
        """For tasks, statistics and notes."""
        self._owner = f"parallel stage {self.name}"
        self.takes_inlet = any(shape.takes_inlet for shape in shapes)
        """Whether a branch reads from an inlet."""
        self.gives_outlet = any(shape.gives_outlet for shape in shapes)
        """Whether a branch sends to an outlet."""
        self._link_options: dict[str, Any] = {"max_items": link_items, "max_s": link_s}
        open_link(**self._link_options)  # so that a bad bound is an error here, not in the run
        adopt(stages, self._owner)
        self._report = Report()
        self._runs = tuple(
            StageRun(name_of(stage), stage, shape, self._owner, self._report)
            for stage, shape in zip(stages, shapes, strict=True)
        )
        make_unique(self._runs)
        self._feeds: list[LinkSender[Any]] = []
        self._feeding = trio.CancelScope()
        self._once = Once(self._owner)

    def __repr__(self) -> str:
        return f"<{self._owner}>"

    async def __call__(self, *ends: Any) -> None:
        """Run the branches, with the ends that it has: inlet, outlet.

        Raises what a branch raises; an ExceptionGroup if several failed.  Cancelling cancels every branch.
        """
        inlet, outlet = sort_ends(self._owner, Shape(self.takes_inlet, self.gives_outlet), ends)
        self._once.begin()
        jobs = []
        for run in self._runs:
            if run.shape.takes_inlet:
                feed, run.inlet = open_link(name=f"{self.name}/{run.name}", **self._link_options)
                self._feeds.append(feed)
            if run.shape.gives_outlet:
                run.outlet = SharedOutlet(adapt_outlet(outlet))
            job = functools.partial(self._run_branch, run)
            jobs.append(Job(f"{self.name}/{run.name}", job, run.is_consequence))
        if self._feeds:
            jobs.append(Job(f"{self.name}/feed", functools.partial(self._feed, inlet)))
        await run_together(self._owner, jobs, self._report)

    def statistics(self) -> ParallelStatistics:
        """Return the counts so far."""
        return ParallelStatistics(
            self.name,
            tuple(run.statistics() for run in self._runs),
            tuple(feed.statistics() for feed in self._feeds),
        )

    async def _run_branch(self, run: StageRun) -> None:
        try:
            await run.run()
        finally:
            fed = [each for each in self._runs if each.shape.takes_inlet]
            if all(each.state not in ("ready", "running") for each in fed):
                # Nobody is left to feed: do not wait for a frame only to find that out.
                self._feeding.cancel("every branch has returned")

    async def _feed(self, inlet: trio.abc.ReceiveChannel[Any]) -> None:
        """Give each frame to each branch that still takes it."""
        feeds = list(self._feeds)
        try:
            with self._feeding:
                async for frame in inlet:
                    await _give(frame, feeds)
        except BaseException as exc:
            for feed in self._feeds:
                feed.abort(exc)
            raise
        for feed in self._feeds:
            feed.close()


async def _give(frame: Any, feeds: list[LinkSender[Any]]) -> None:  # noqa: ASYNC910  # the receive does
    """Send ``frame`` into each of ``feeds``; take those out that have no reader any more."""
    full = []
    for feed in tuple(feeds):
        try:
            feed.send_nowait(frame)
        except trio.WouldBlock:
            full.append(feed)  # those that have room need not wait for those that have none
        except LinkStopped:
            feeds.remove(feed)
    for feed in full:
        try:
            await feed.send(frame)
        except LinkStopped:
            feeds.remove(feed)
