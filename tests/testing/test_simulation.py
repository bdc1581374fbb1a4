"""The same seed gives the same trace, and what goes wrong is told with the way to see it again."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading

import numpy as np
import pytest
import trio

from voicetrio.errors import ConfigError
from voicetrio.events import Failure
from voicetrio.frames import AudioFrame
from voicetrio.runtime.behaviour import SessionContext
from voicetrio.runtime.emit import emit
from voicetrio.runtime.reporting import Reporter
from voicetrio.testing import _scheduler
from voicetrio.testing.leaks import LeakError
from voicetrio.testing.simulation import Simulation, SimulationFailed, SimulationStuck, simulate
from voicetrio.testing.trace import describe
from voicetrio.testing.watch import InvariantBroken
from voicetrio.transports.memory import memory_peer


async def speak_half_a_second(context: SessionContext) -> None:
    speech = context.playout.open_speech("reply")
    speech.release()
    for _ in range(5):
        await speech.send(AudioFrame.from_samples(np.full(2400, 1000, np.int16), 24000))
    speech.finish()
    async for _ in context.inlet:
        pass


async def conversation(sim: Simulation) -> None:
    peer, far_end = memory_peer()
    async with sim.open_session(peer, speak_half_a_second):
        for _ in range(10):
            await trio.sleep(sim.random.random() * 0.1)
            far_end.send_audio_nowait(np.zeros(320, np.int16))
    sim.record("heard", len(far_end.heard))


async def race(sim: Simulation) -> None:
    async def runner(name: str) -> None:
        for lap in range(3):
            await trio.lowlevel.checkpoint()
            sim.record(name, f"lap {lap}")

    async with trio.open_nursery() as nursery:
        for name in ("a", "b", "c"):
            nursery.start_soon(runner, name)


def test_the_same_seed_gives_the_same_trace() -> None:
    first, again = simulate(conversation, 7), simulate(conversation, 7)
    assert first.entries == again.entries
    assert first.digest() == again.digest()
    assert first.task_steps > 50


def test_another_seed_gives_another_schedule() -> None:
    assert len({simulate(race, seed).digest() for seed in range(20)}) > 10


def test_a_session_s_own_events_are_in_the_trace() -> None:
    trace = simulate(conversation, 7)
    events = [entry.event for entry in trace.entries]
    assert events.index("SessionStarted") < events.index("SessionEnding") < events.index("heard")
    assert "session-1/playout" in {entry.task for entry in trace.entries}
    assert trace.duration_s == trace.entries[-1].time > 0.4


def test_a_trace_prints_as_lines_and_its_tail_says_what_it_leaves_out() -> None:
    trace = simulate(race, 1)
    assert len(str(trace).splitlines()) == len(trace)
    assert trace.tail(3).splitlines()[0] == f"({len(trace) - 3} entries before)"


PROGRAM = """
from tests.testing.test_simulation import conversation, race
from voicetrio.testing.simulation import simulate
print(*(simulate(scenario, seed).digest() for seed in range(3) for scenario in (conversation, race)))
"""


def test_the_trace_does_not_depend_on_the_process_or_its_hash_seed() -> None:
    def run(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.getcwd()}
        return subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, check=True, capture_output=True, text=True
        ).stdout

    here = " ".join(
        simulate(scenario, seed).digest() for seed in range(3) for scenario in (conversation, race)
    )
    assert run("1").strip() == run("2").strip() == here


def test_the_global_random_follows_the_seed_and_is_put_back() -> None:
    async def draw(sim: Simulation) -> None:
        await trio.lowlevel.checkpoint()
        sim.record("drew", random.random())

    random.seed(0)
    expected = random.random()
    random.seed(0)
    assert simulate(draw, 3).digest() == simulate(draw, 3).digest()
    assert simulate(draw, 3).digest() != simulate(draw, 4).digest()
    assert random.random() == expected


def test_trio_s_scheduler_is_as_it_was_afterwards() -> None:
    before = _scheduler._run._r, _scheduler._run._ALLOW_DETERMINISTIC_SCHEDULING
    simulate(race, 3)
    assert (_scheduler._run._r, _scheduler._run._ALLOW_DETERMINISTIC_SCHEDULING) == before


def test_a_failure_tells_the_seed_the_replay_and_the_end_of_the_trace() -> None:
    async def scenario(sim: Simulation) -> None:
        await trio.sleep(1.5)
        sim.record("before", {"the": "end"})
        raise ValueError("it broke")

    with pytest.raises(SimulationFailed) as caught:
        simulate(scenario, 12, replay="run me again")
    failure = caught.value
    assert failure.seed == 12
    assert isinstance(failure.__cause__, ValueError)
    assert "seed 12: ValueError: it broke" in str(failure)
    assert "replay: run me again" in str(failure)
    assert "{'the': 'end'}" in failure.trace.tail()


def test_a_failure_inside_of_a_session_is_the_cause() -> None:
    async def broken(context: SessionContext) -> None:
        await trio.sleep(0.2)
        raise RuntimeError("the model is gone")

    async def scenario(sim: Simulation) -> None:
        async with sim.open_session(memory_peer()[0], broken):
            await trio.sleep_forever()

    with pytest.raises(SimulationFailed, match="failed") as caught:
        simulate(scenario, 0)
    assert isinstance(caught.value.__cause__, ExceptionGroup)


def test_what_never_ends_is_stopped_and_shown_with_its_tasks() -> None:
    async def waiter() -> None:
        await trio.sleep_forever()

    async def scenario(sim: Simulation) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waiter, name="the waiter")

    with pytest.raises(SimulationFailed, match="not over after 5 virtual seconds") as caught:
        simulate(scenario, 0, limit_s=5)
    assert isinstance(caught.value.__cause__, SimulationStuck)
    assert "the waiter  at " in str(caught.value)


def test_a_shield_without_a_deadline_cannot_keep_a_simulation() -> None:
    async def scenario(sim: Simulation) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()

    with pytest.raises(SimulationFailed, match="not over"):
        simulate(scenario, 0, limit_s=5)


def test_a_task_that_is_left_behind_fails_the_simulation() -> None:
    async def scenario(sim: Simulation) -> None:
        trio.lowlevel.spawn_system_task(trio.sleep, 10, name="left behind")
        await trio.lowlevel.checkpoint()

    with pytest.raises(SimulationFailed) as caught:
        simulate(scenario, 0)
    cause = caught.value.__cause__
    assert isinstance(cause, LeakError)
    assert cause.leaks.tasks[0].startswith("left behind at ")
    assert simulate(scenario, 0, leaks=False).duration_s < 10


def test_a_failure_that_is_told_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ValueError("twice")
    monkeypatch.setattr(Reporter, "screen", lambda _self, event: event)

    async def behaviour(context: SessionContext) -> None:
        for _ in range(2):
            emit(Failure(where="here", error=error))
        await context.wait_ending()

    async def scenario(sim: Simulation) -> None:
        async with sim.open_session(memory_peer()[0], behaviour):
            await trio.sleep(0.1)

    with pytest.raises(SimulationFailed, match="I5: session-1: ValueError was told twice") as caught:
        simulate(scenario, 0)
    assert isinstance(caught.value.__cause__, InvariantBroken)


def test_an_action_runs_before_the_step_that_it_was_given() -> None:
    whole = simulate(conversation, 7)
    assert whole.target_step is not None

    def end(sim: Simulation) -> None:
        sim.target.end(reason="at a step")

    cut = simulate(conversation, 7, at_steps={whole.target_step + 20: end})
    at = next(k for k, entry in enumerate(cut.entries) if "at a step" in entry.detail)
    # Until then nothing is different: the end itself starts the watch over the close, then tells.
    assert (cut.entries[at - 1].task, cut.entries[at - 1].event) == ("session-1/close watch", "spawned")
    assert cut.entries[: at - 1] == whole.entries[: at - 1]
    assert cut.entries != whole.entries


def test_an_action_that_raises_fails_the_simulation() -> None:
    def fail(sim: Simulation) -> None:
        raise KeyError("in the action")

    with pytest.raises(SimulationFailed, match="in the action"):
        simulate(race, 0, at_steps={3: fail})


def test_two_simulations_at_once_are_refused() -> None:
    found: list[BaseException] = []

    def another() -> None:
        try:
            simulate(race, 0)
        except ConfigError as exc:
            found.append(exc)

    async def scenario(sim: Simulation) -> None:
        await trio.lowlevel.checkpoint()
        thread = threading.Thread(target=another)
        thread.start()
        thread.join()

    simulate(scenario, 0)
    assert "one after the other" in str(found[0])


def test_a_trio_that_cannot_be_seeded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_scheduler, "CAN_SEED", False)
    with pytest.raises(ConfigError, match="use another version of trio"):
        simulate(race, 0)


def test_a_description_has_no_address_and_no_order_of_hashing() -> None:
    class Plain:
        pass

    assert " at 0x" not in describe(Plain())
    assert describe({"b", "a", "c"}) == "{'a', 'b', 'c'}"
    assert describe(b"1234").startswith("<4 bytes ")
    assert describe("x" * 1000).endswith("…'")
    assert describe([1, {"key": (None, ValueError("no"))}]) == "[1, {'key': [None, ValueError('no')]}]"
    assert (
        describe(AudioFrame.silence(10, 8000))
        == "AudioFrame(pcm=<20 bytes de47c9b2>, rate=8000, channels=1, position=0)"
    )
