"""I8: the same seed gives the same trace, event by event, in every process."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from contextlib import suppress

import trio

from voicetrio.runtime.behaviour import SessionContext
from voicetrio.testing.plans import draw_plan, run_plan
from voicetrio.testing.simulation import Simulation, simulate
from voicetrio.transports.memory import memory_peer

SEEDS = 200


def digest_of(seeds: range) -> str:
    """Return one hash of the traces of all ``seeds``."""
    sha = hashlib.sha256()
    for seed in seeds:
        sha.update(run_plan(draw_plan(random.Random(seed)), seed).digest().encode())
    return sha.hexdigest()


def test_the_same_seeds_give_the_same_traces_in_three_processes() -> None:
    code = f"from tests.properties.test_determinism import *; print(digest_of(range({SEEDS})))"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": os.getcwd()},
            stdout=subprocess.PIPE,
            text=True,
        )
        for hash_seed in (1, 2)
    ]
    here = digest_of(range(SEEDS))
    assert [process.communicate()[0].strip() for process in processes] == [here, here]


def test_the_same_seed_gives_the_same_trace_event_by_event() -> None:
    for seed in range(50):
        plan = draw_plan(random.Random(seed))
        first, again = run_plan(plan, seed), run_plan(plan, seed)
        assert first.entries == again.entries
        assert first.digest() == again.digest()


def test_several_stuck_tasks_are_named_in_the_same_order_each_time() -> None:
    async def scenario(sim: Simulation) -> None:
        free = trio.Event()

        async def endless() -> None:
            while not free.is_set():
                with suppress(trio.Cancelled), trio.CancelScope(shield=True):
                    await trio.sleep(0.1)

        async def behaviour(context: SessionContext) -> None:
            async with trio.open_nursery() as nursery:
                for number in range(8):
                    nursery.start_soon(endless, name=f"stuck {number}")

        async with sim.open_session(memory_peer()[0], behaviour) as session:
            await trio.sleep(0.1)
            session.cancel()
            await trio.sleep(3)
            free.set()
        assert [name for name in session.result.late if "stuck" in name] == [f"stuck {n}" for n in range(8)]

    assert len({simulate(scenario, 3).digest() for _ in range(5)}) == 1
