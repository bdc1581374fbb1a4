"""Cutting a scenario short before every one of its task steps.

A task step is what trio runs between two checkpoints, so "before step k" for every k is every instant at
which anything can happen.  The scenario runs once to count its steps; the same seed then leads to the same
k-th step each time.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import attrs
import trio

from voicetrio.errors import ConfigError, SessionEnded
from voicetrio.testing.simulation import (
    LIMIT_S,
    Scenario,
    Simulation,
    StepAction,
    find_command,
    name_of_scenario,
    simulate,
)
from voicetrio.testing.trace import Trace

__all__ = [
    "EveryStepReport",
    "cancel_at_every_step",
    "cut_short",
    "end_at_every_step",
    "end_then_cancel_at_every_step",
]

MOST_RUNS: Final = 400
_CUT_SHORT: Final = (SessionEnded, trio.BrokenResourceError)

Via: TypeAlias = Literal["target", "scope"]
"""What is cancelled: the scenario's target, or a cancel scope around the whole scenario."""


@attrs.frozen
class EveryStepReport:
    """What was tried."""

    steps: int
    """Task steps of the scenario while it could be cut short."""
    runs: int
    stride: int
    """Every so many steps one was tried; 1 is every step."""


def cancel_at_every_step(
    scenario: Scenario,
    *,
    seed: int = 0,
    via: Via = "target",
    most_runs: int = MOST_RUNS,
    only: int | None = None,
    limit_s: float = LIMIT_S,
) -> EveryStepReport:
    """Run ``scenario`` again and again, cancelled before its step 0, 1, 2, ….

    Args:
        scenario: sets ``sim.target`` to what has a ``cancel()`` (``sim.open_session`` does this).  It may
            raise SessionEnded or trio.BrokenResourceError when it is cut short; whatever else it raises is a
            failure.
        seed: for the schedule.
        via: ``target``, or ``scope`` for a cancel scope around the scenario: then the steps of opening
            count, too.
        most_runs: with more steps than this, only every so many is tried.
        only: try this one step, as a failure names it.
        limit_s: virtual seconds after which one run counts as stuck.

    Raises:
        SimulationFailed: as ``simulate``; the text says how to run that step again.
        ConfigError: the scenario never set a target.
    """
    tried = _in_scope(scenario) if via == "scope" else scenario
    call = f"cancel_at_every_step({name_of_scenario(scenario)}, seed={seed}, via={via!r}, only={{step}})"
    command = f"{find_command(scenario, seed)} --cancel-at {{step}}" if via == "target" else ""
    return _try_all(tried, seed, (most_runs, only), limit_s, _plan_cancel, command or call)


def end_at_every_step(
    scenario: Scenario,
    *,
    seed: int = 0,
    most_runs: int = MOST_RUNS,
    only: int | None = None,
    limit_s: float = LIMIT_S,
) -> EveryStepReport:
    """Run ``scenario`` again and again, with ``sim.target.end()`` before its step 0, 1, 2, …; see above."""
    replay = f"{find_command(scenario, seed)} --end-at {{step}}"
    return _try_all(scenario, seed, (most_runs, only), limit_s, _plan_end, replay)


def end_then_cancel_at_every_step(
    scenario: Scenario,
    *,
    seed: int = 0,
    most_runs: int = MOST_RUNS,
    only: int | None = None,
    limit_s: float = LIMIT_S,
) -> EveryStepReport:
    """As ``end_at_every_step``, and cancel at a later step of each run: how much later, the seed decides."""

    def plan(step: int, last: int) -> dict[int, StepAction]:
        later = random.Random(f"{seed} {step}").randint(1, max(1, last - step))
        return {step: _end, step + later: _cancel}

    replay = f"end_then_cancel_at_every_step({name_of_scenario(scenario)}, seed={seed}, only={{step}})"
    return _try_all(scenario, seed, (most_runs, only), limit_s, plan, replay)


def cut_short(
    scenario: Scenario, seed: int, *, cancel_at: int | None = None, end_at: int | None = None
) -> Trace:
    """Run ``scenario`` once, cancelled or ended before the given steps; for the command's replay."""
    plan: dict[int, StepAction] = {}
    if end_at is not None:
        plan[end_at] = _end
    if cancel_at is not None:
        plan[cancel_at] = _cancel
    return simulate(_forgiving(scenario), seed, replay=find_command(scenario, seed), at_steps=plan)


def _plan_cancel(step: int, _last: int) -> dict[int, StepAction]:
    return {step: _cancel}


def _plan_end(step: int, _last: int) -> dict[int, StepAction]:
    return {step: _end}


def _try_all(
    scenario: Scenario,
    seed: int,
    which: tuple[int, int | None],
    limit_s: float,
    plan: Callable[[int, int], dict[int, StepAction]],
    replay: str,
) -> EveryStepReport:
    first, last = _count(scenario, seed, limit_s)
    most_runs, only = which
    stride = max(1, -(-(last - first) // most_runs))
    steps = range(first, last, stride) if only is None else range(only, only + 1)
    for step in steps:
        again = replay.format(step=step)
        simulate(_forgiving(scenario), seed, limit_s=limit_s, replay=again, at_steps=plan(step, last))
    return EveryStepReport(last - first, len(steps), stride)


def _count(scenario: Scenario, seed: int, limit_s: float) -> tuple[int, int]:
    """Return the first step at which there is a target, and the number of steps."""
    trace = simulate(scenario, seed, limit_s=limit_s)
    if trace.target_step is None:
        raise ConfigError(
            "the scenario has nothing to cut short: let it use sim.open_session, or set sim.target"
        )
    return trace.target_step, trace.task_steps


def _forgiving(scenario: Scenario) -> Scenario:
    """Let ``scenario`` find that its session has ended, or its peer is gone: it was cut short, after all."""

    async def forgiving(sim: Simulation) -> None:  # noqa: ASYNC910  # it checkpoints as the scenario does
        try:
            await scenario(sim)
        except (SessionEnded, trio.BrokenResourceError) as exc:
            if type(exc) not in _CUT_SHORT:
                raise
            sim.record("cut short", exc)

    return forgiving


def _in_scope(scenario: Scenario) -> Scenario:
    """Make the target a cancel scope around ``scenario``."""

    async def in_scope(sim: Simulation) -> None:
        with trio.CancelScope() as sim.target:
            await scenario(sim)

    return in_scope


def _cancel(sim: Simulation) -> None:
    if sim.target is not None:
        sim.target.cancel()


def _end(sim: Simulation) -> None:
    if sim.target is not None:
        sim.target.end()
