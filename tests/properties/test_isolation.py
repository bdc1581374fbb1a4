"""I7: sessions do not share state: beside others, each gets the result that it gets alone."""

from __future__ import annotations

import random
from contextlib import nullcontext
from typing import Any

import attrs
import pytest
import trio

from voicetrio.runtime.hosts import open_host
from voicetrio.testing.behaviours import Converse, Talk
from voicetrio.testing.graphs import draw_graph
from voicetrio.testing.operations import End, Operation, Wait, draw_operations
from voicetrio.testing.plans import Outcome, SessionPlan, draw_plan, run_session
from voicetrio.testing.simulation import Simulation, simulate


def untied(operations: tuple[Operation, ...], offset_s: float) -> tuple[Operation, ...]:
    """Put an odd moment between the operations: what happens at one instant has no order of its own."""
    later = (End(0.3) if operation == End(0.0) else operation for operation in operations)
    return (*(step for operation in later for step in (Wait(offset_s), operation)), Wait(offset_s))


def draw(draws: random.Random) -> SessionPlan:
    behaviour = (
        Converse(with_tool=draws.random() < 0.5)
        if draws.random() < 0.25
        else Talk(draws.randint(1, 3), draws.choice((0.5, 1.2)), 0.1, graph=draw_graph(draws))
    )
    # Neither a peer that tells at each 0.1 s what it has played: that is an instant of many things, too.
    peer = attrs.evolve(draw_plan(draws).peer, confirms=False, vanishes_after_s=None, breaks_after_s=None)
    return SessionPlan(behaviour, peer, untied(draw_operations(draws), 0.0031 + draws.random() / 1000))


def what_came_of_it(outcome: Outcome) -> Any:
    """Return all that a peer and an application can see of how a session went."""
    result = outcome.result
    return (
        [(round(heard.time, 9), repr(heard.operation)) for heard in outcome.far_end.heard],
        [bytes(frame.pcm) for frame in outcome.far_end.audio],
        result.reason,
        result.late,
        repr(getattr(result.error, "exceptions", result.error)),
        attrs.evolve(result.counters, events_told=0),  # two changes at one instant may be told as one
        outcome.account.tool_runs,
    )


def run_all(plans: list[SessionPlan], seed: int, *, one_clock: bool = False) -> list[Any]:
    """Run ``plans`` side by side; with ``one_clock`` one task keeps the time of all, as in a server."""
    results: list[Any] = [None] * len(plans)

    async def scenario(sim: Simulation) -> None:
        async def run_one(index: int) -> None:
            results[index] = what_came_of_it(await run_session(sim, plans[index]))

        async with open_host() if one_clock else nullcontext(), trio.open_nursery() as nursery:
            for index in range(len(plans)):
                nursery.start_soon(run_one, index)

    simulate(scenario, seed)
    return results


@pytest.mark.parametrize("seed", range(40))
def test_a_session_goes_beside_others_as_it_goes_alone(seed: int) -> None:
    draws = random.Random(seed)
    plans = [draw(draws) for _ in range(draws.randint(2, 5))]
    together = run_all(plans, seed, one_clock=seed % 2 == 1)
    for plan, beside in zip(plans, together, strict=True):
        (alone,) = run_all([plan], seed + 1)
        assert beside == alone, plan
