"""Pipelines: stages in a row, each in a task of its own, with links between them.

How a pipeline ends: its source returns, each link ends after what it holds, each stage returns in turn.  A
stage that returns early stops those before it at their next send.  A stage that fails breaks the link after
it and cancels the others; the pipeline raises what failed.

Neighbouring transforms never have a task or a link of their own.  They are fused to the outlet of the stage
before them, or, where there is none, to the inlet of the stage after them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias, final

import attrs
import trio

from voicetrio.errors import ConfigError
from voicetrio.runtime.ends import FusedInlet, FusedOutlet, adapt_outlet, close_now
from voicetrio.runtime.links import LinkSender, LinkStatistics, open_link
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
from voicetrio.runtime.stages import AnyStage, Shape, adopt, name_of, shape_of
from voicetrio.runtime.transforms import Chain, Transform
from voicetrio.values import Value

__all__ = ["Pipeline", "PipelinePart", "PipelineStatistics", "as_stage", "pipeline"]

PipelinePart: TypeAlias = AnyStage | Transform[Any, Any]
"""What a pipeline is made of."""

# A foreign end whose close waits for something may hold up a cancelled pipeline for so long, not longer.
_FOREIGN_CLOSE_S: Final = 1.0


@attrs.frozen(eq=False, repr=False)
class PipelineStatistics(Value):
    """Counts of one pipeline."""

    name: str
    stages: tuple[StageStatistics, ...]
    """In their order; transforms are listed with the stage that runs them."""
    links: tuple[LinkStatistics, ...]
    """The links between the stages, in their order; none before the pipeline runs."""


def pipeline(
    *stages: PipelinePart, name: str | None = None, link_s: float | None = None, link_items: float = 1
) -> Pipeline:
    """Put ``stages`` in a row.

    The result is itself a stage, a source or a sink, whichever its two ends make it.  It owns those of its
    stages that have state, and it runs once.

    Args:
        stages: stages, transforms, pipelines.  Only the first may be a source, only the last a sink.
        name: for tasks, statistics and notes on exceptions; by default made of the two ends' names.
        link_s: the links' bound in seconds of media, if there is to be one.
        link_items: the links' bound in items.

    Raises:
        ConfigError: the stages do not fit together; says which.
        StageInUse: a stage has an owner already; names both.
    """
    return Pipeline(stages, name=name, link_s=link_s, link_items=link_items)


def as_stage(part: PipelinePart) -> AnyStage:
    """Return ``part`` as something that can be run: a transform becomes a pipeline of its own."""
    return pipeline(part) if isinstance(part, Transform) else part


@final
class Pipeline:
    """Stages in a row; made by ``pipeline``.

    Called as a stage, with the ends that its shape asks for, it closes them when it is done; its last stage's
    return is the end of the outlet, and a failure breaks the outlet.
    """

    def __init__(
        self, stages: Sequence[PipelinePart], *, name: str | None, link_s: float | None, link_items: float
    ) -> None:
        if not stages:
            raise ConfigError("a pipeline needs at least one stage")
        shapes = [shape_of(stage) for stage in stages]
        names = [name_of(stage) for stage in stages]
        self.name = name or (names[0] if len(names) == 1 else f"{names[0]}..{names[-1]}")
        """For tasks, statistics and notes."""
        self._owner = f"pipeline {self.name}"
        _check_joints(shapes, names, self._owner)
        self.takes_inlet = shapes[0].takes_inlet
        """Whether its first stage reads from an inlet."""
        self.gives_outlet = shapes[-1].gives_outlet
        """Whether its last stage sends to an outlet."""
        self._link_options: dict[str, Any] = {"max_items": link_items, "max_s": link_s}
        open_link(**self._link_options)  # so that a bad bound is an error here, not in the run
        adopt((_adoptable(stage) for stage in stages), self._owner)
        self._slots = _slots(stages)
        self._report = Report()
        self._runs = tuple(slot.stage_run(self._owner, self._report) for slot in self._slots)
        make_unique(self._runs)
        self._links: list[LinkSender[Any]] = []
        self._once = Once(self._owner)

    def __repr__(self) -> str:
        return f"<{self._owner}: {' > '.join(run.name for run in self._runs)}>"

    def lend_transforms(self) -> tuple[Transform[Any, Any], ...] | None:
        """Give its transforms to the pipeline around it, if it has nothing else; then it cannot run."""
        if self._slots[0].stage is not _forward:
            return None
        self._once.begin()
        return self._slots[0].after

    async def run(self) -> None:
        """Run it by itself: it must begin with a source and end with a sink.

        Raises:
            ConfigError: the source or the sink is missing.
            StageInUse: it was run before.
        """
        missing = []
        if self.takes_inlet:
            missing.append(f"a source before {self._runs[0].name}")
        if self.gives_outlet:
            missing.append(f"a sink after {self._runs[-1].name}")
        if missing:
            raise ConfigError(f"{self._owner} cannot run by itself: it needs {' and '.join(missing)}")
        await self()

    async def __call__(self, *ends: Any) -> None:
        """Run it once as a stage, with the ends that it has: inlet, outlet.

        Raises what a stage raises, with a note that names the stage; an ExceptionGroup if several failed.
        Cancelling cancels every stage; what was on its way is lost, and the outlet is broken.
        """
        shape = Shape(self.takes_inlet, self.gives_outlet)
        inlet, outlet = sort_ends(self._owner, shape, ends)
        self._once.begin()
        try:
            self._join(inlet, outlet)
            jobs = [self._job(index, run) for index, run in enumerate(self._runs)]
            await run_together(self._owner, jobs, self._report)
        except BaseException as exc:
            if outlet is not None:
                adapt_outlet(outlet).abort(exc)  # if it broke before the last stage could do so
            raise
        finally:
            for end in ends:
                await _let_go(end)  # noqa: ASYNC102  # waits only in a shield with a deadline

    def statistics(self) -> PipelineStatistics:
        """Return the counts so far."""
        return PipelineStatistics(
            self.name,
            tuple(run.statistics() for run in self._runs),
            tuple(link.statistics() for link in self._links),
        )

    def _join(self, inlet: trio.abc.ReceiveChannel[Any] | None, outlet: Any) -> None:
        """Give every stage its ends, with the transforms that are fused to them."""
        next_inlet = inlet
        last = len(self._runs) - 1
        for index, (slot, run) in enumerate(zip(self._slots, self._runs, strict=True)):
            run.inlet = next_inlet
            if index < last:
                link_name = f"{self.name}/{run.name}>{self._runs[index + 1].name}"
                run.outlet, next_inlet = open_link(name=link_name, **self._link_options)
                self._links.append(run.outlet)
            elif outlet is not None:
                run.outlet = adapt_outlet(outlet)
            slot.fuse(run, self._owner)

    def _job(self, index: int, run: StageRun) -> Job:
        name = f"{self.name}/{run.name}"
        # The first stage's inlet comes from outside: if it is broken, whoever broke it is not in here.
        return Job(name, run.run, run.is_consequence) if index else Job(name, run.run)


@attrs.frozen(eq=False, repr=False)
class _Slot(Value):
    """A stage, with the transforms that run in its task."""

    stage: Any
    before: tuple[Transform[Any, Any], ...]
    after: tuple[Transform[Any, Any], ...]

    def stage_run(self, owner: str, report: Report) -> StageRun:
        fused = tuple(each.name for each in (*self.before, *self.after))
        if self.stage is _forward:
            return StageRun("+".join(fused), self.stage, Shape(True, True), owner, report, fused)
        return StageRun(name_of(self.stage), self.stage, shape_of(self.stage), owner, report, fused)

    def fuse(self, run: StageRun, owner: str) -> None:
        if self.before and run.inlet is not None:
            chain = Chain(self.before, owner)
            chain.reset()
            run.inlet = FusedInlet(chain, run.inlet)
        if self.after and run.outlet is not None:
            chain = Chain(self.after, owner)
            chain.reset()
            run.outlet = FusedOutlet(chain, run.outlet)


async def _forward(inlet: trio.abc.ReceiveChannel[Any], outlet: trio.abc.SendChannel[Any]) -> None:
    """The stage of a pipeline that has only transforms."""
    async for frame in inlet:
        await outlet.send(frame)
    await trio.lowlevel.checkpoint()


def _slots(parts: Sequence[Any]) -> tuple[_Slot, ...]:
    """Fold the transforms into the stages beside them."""
    slots: list[_Slot] = []
    leading: list[Transform[Any, Any]] = []
    for part in parts:
        transforms = _transforms_of(part)
        if transforms is None:
            slots.append(_Slot(part, () if slots else tuple(leading), ()))
        elif slots:
            slots[-1] = attrs.evolve(slots[-1], after=slots[-1].after + transforms)
        else:
            leading.extend(transforms)
    return tuple(slots) or (_Slot(_forward, (), tuple(leading)),)


def _transforms_of(part: object) -> tuple[Transform[Any, Any], ...] | None:
    if isinstance(part, Transform):
        return (part,)
    return part.lend_transforms() if isinstance(part, Pipeline) else None


def _adoptable(stage: object) -> object:
    # The same function may be wrapped twice; what it wraps is what may have state.
    return stage.function if isinstance(stage, Transform) else stage


def _check_joints(shapes: Sequence[Shape], names: Sequence[str], owner: str) -> None:
    for index in range(1, len(shapes)):
        before, after = names[index - 1], names[index]
        if not shapes[index - 1].gives_outlet:
            raise ConfigError(f"{before} is a sink: {after} cannot follow it in {owner}")
        if not shapes[index].takes_inlet:
            raise ConfigError(f"{after} is a source: it cannot follow {before} in {owner}")


async def _let_go(end: trio.abc.AsyncResource) -> None:  # noqa: ASYNC910  # most ends close at once
    if not close_now(end):
        with trio.move_on_after(_FOREIGN_CLOSE_S, shield=True):
            await end.aclose()
