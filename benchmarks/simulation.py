"""What does a simulation cost beside bare trio under the same clock?

    python benchmarks/simulation.py [--effort E] [--json]

*Simulated* is ``simulate`` with the scenario of four whole sessions: a seeded schedule, a trace, every
promise checked.  *Unseeded* is the same scenario in ``trio.run`` under the same mock clock, without any of
it.  *Bare trio* is as many callers, each of them six tasks that do nothing but sleep until the next 20 ms, or
pass an item on through memory channels: a task step in which nothing is done.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import trio
import trio.testing
from harness.question import Figure, Question, Side, Target

sys.path.insert(0, str(Path(__file__).parent / "scenarios"))

from four_sessions import four_sessions

from voicetrio.testing.simulation import Simulation, simulate

SEEDS = 5
CALLS = 4
CALL_S = 5.4
TICK_S = 0.02


class Steps(trio.abc.Instrument):
    """Counts task steps."""

    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, task) -> None:
        self.count += 1


def simulated() -> dict[str, float]:
    """Return task steps and simulations a second of CPU."""
    steps, began = 0, time.process_time()
    for seed in range(SEEDS):
        steps += simulate(four_sessions, seed).task_steps
    return _speed(steps, began)


def unseeded() -> dict[str, float]:
    """The same scenario in a plain run."""
    counter, began = Steps(), time.process_time()
    for seed in range(SEEDS):
        clock = trio.testing.MockClock(autojump_threshold=0)
        trio.run(four_sessions, Simulation(seed, clock), clock=clock, instruments=[counter])
    return _speed(counter.count, began)


def bare() -> dict[str, float]:
    """As many tasks that only sleep and pass items on."""
    counter, began = Steps(), time.process_time()
    for _ in range(SEEDS):
        clock = trio.testing.MockClock(autojump_threshold=0)
        trio.run(_bare_calls, clock=clock, instruments=[counter])
    return _speed(counter.count, began)


async def _bare_calls() -> None:
    async def microphone(outlet, phase_s) -> None:
        await trio.sleep(phase_s)
        async with outlet:
            due = trio.current_time()
            for number in range(round(CALL_S / TICK_S)):
                await outlet.send(number)
                due += TICK_S
                await trio.sleep_until(due)

    async def stage(inlet, outlet) -> None:
        async with inlet, outlet:
            async for item in inlet:
                await outlet.send(item)

    async def sink(inlet) -> None:
        async with inlet:
            async for _ in inlet:
                pass

    async with trio.open_nursery() as nursery:
        for call in range(CALLS):
            ends = [trio.open_memory_channel(1) for _ in range(5)]
            nursery.start_soon(microphone, ends[0][0], TICK_S * call / CALLS)
            for index in range(4):
                nursery.start_soon(stage, ends[index][1], ends[index + 1][0])
            nursery.start_soon(sink, ends[4][1])


def _speed(steps: int, began: float) -> dict[str, float]:
    spent_s = time.process_time() - began
    return {"steps_per_s": steps / spent_s, "runs_per_s": SEEDS / spent_s, "steps": steps / SEEDS}


def question() -> Question:
    """Return the question for the harness."""
    sides = ("simulated", "unseeded", "bare trio")
    functions = ("simulated", "unseeded", "bare")
    figures = [
        Figure(f"{side}: {name}", unit, lambda r, s=side, k=key: r[s][k])
        for side in sides
        for name, key, unit in (
            ("task steps a second", "steps_per_s", "/s"),
            ("runs a second", "runs_per_s", "/s"),
        )
    ]
    for other, target in (("unseeded", Target(at_least=0.5)), ("bare trio", None)):
        figures.append(
            Figure(
                f"task steps a second, simulated / {other}",
                "x",
                lambda r, o=other: r["simulated"]["steps_per_s"] / r[o]["steps_per_s"],
                target,
            )
        )
    return Question(
        name="simulation",
        asks="what does a simulation cost beside bare trio under the same clock?",
        sides=tuple(Side(side, __file__, function) for side, function in zip(sides, functions, strict=True)),
        figures=tuple(figures),
        does_not_say=(
            "how long a simulation of your agent takes: that is what its own task steps cost.  A step of "
            "bare trio here does nothing, one of a session hears, mixes or decides."
        ),
        rounds=7,
        round_s=3.8,
    )


if __name__ == "__main__":
    from harness.run import run_alone

    sys.exit(run_alone(question()))
