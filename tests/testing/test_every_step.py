"""Cutting a scenario short at every step finds what only one instant shows."""

from __future__ import annotations

import pytest
import trio

from tests.testing.test_simulation import conversation, race
from voicetrio.cli import main
from voicetrio.errors import ConfigError
from voicetrio.runtime.behaviour import SessionContext
from voicetrio.testing.every_step import (
    cancel_at_every_step,
    end_at_every_step,
    end_then_cancel_at_every_step,
)
from voicetrio.testing.simulation import Simulation, SimulationFailed, simulate
from voicetrio.transports.memory import memory_peer


def test_a_session_keeps_its_promises_wherever_it_is_cancelled() -> None:
    report = cancel_at_every_step(conversation, seed=3)
    assert report.runs == report.steps > 50


def test_a_session_keeps_its_promises_wherever_it_is_cancelled_from_outside() -> None:
    inside, outside = cancel_at_every_step(conversation), cancel_at_every_step(conversation, via="scope")
    assert outside.steps > inside.steps  # the steps of opening count as well


def test_a_session_keeps_its_promises_wherever_it_is_ended() -> None:
    assert end_at_every_step(conversation, seed=4).stride == 1
    assert end_then_cancel_at_every_step(conversation, seed=4).stride == 1


def test_a_long_scenario_is_tried_in_strides() -> None:
    report = cancel_at_every_step(conversation, most_runs=10)
    assert report.runs <= 10 < report.steps
    assert report.stride == -(-report.steps // 10)


def test_a_scenario_with_nothing_to_cut_short_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"sim\.target"):
        cancel_at_every_step(race)


async def one_bad_instant(sim: Simulation) -> None:
    """Whoever cancels it between its two checkpoints finds it half-done."""
    accounts = {"one": 10, "other": 0}
    with trio.CancelScope() as sim.target:
        await trio.sleep(1)
        accounts["one"] -= 10
        await trio.lowlevel.checkpoint()
        accounts["other"] += 10
        await trio.sleep(1)
    assert sum(accounts.values()) == 10


def test_one_bad_instant_is_found_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    simulate(one_bad_instant, 0)
    with pytest.raises(SimulationFailed) as caught:
        cancel_at_every_step(one_bad_instant)
    words = caught.value.replay.split()
    where = "tests/testing/test_every_step.py:one_bad_instant"
    assert words[:-1] == ["voicetrio", "simulate", where, "--seed", "0", "--cancel-at"]
    assert main(words[1:]) == 1
    assert main([*words[1:-1], "0"]) == 0
    with pytest.raises(SimulationFailed):
        cancel_at_every_step(one_bad_instant, only=int(words[-1]))


def test_what_a_scenario_raises_by_itself_is_not_excused() -> None:
    async def scenario(sim: Simulation) -> None:
        async with sim.open_session(memory_peer()[0], SessionContext.wait_ending) as session:
            await trio.sleep(1)
            assert not session.ending, "it was cut short"

    with pytest.raises(SimulationFailed, match="it was cut short") as caught:
        end_at_every_step(scenario)
    assert " --end-at " in caught.value.replay
