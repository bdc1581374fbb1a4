"""I1: ``cancel()``, at any instant, from any task, any number of times: the block is left by ``close_by``.

I2: from its return nothing is written, ticked or dialled; after the block nothing of the session is alive.
"""

from __future__ import annotations

import random
import threading
from contextlib import suppress

import pytest
import trio

from voicetrio.connection.connection import open_connection
from voicetrio.connection.dialling import websocket_dialler
from voicetrio.events import TaskStuck
from voicetrio.runtime.behaviour import SessionContext
from voicetrio.runtime.close_watch import LAST_STEPS_S
from voicetrio.runtime.ending import SessionSettings
from voicetrio.runtime.workers import InlineRunner, open_workers
from voicetrio.testing.behaviours import Converse, Talk
from voicetrio.testing.every_step import (
    cancel_at_every_step,
    end_at_every_step,
    end_then_cancel_at_every_step,
)
from voicetrio.testing.faults import peers, sockets
from voicetrio.testing.graphs import Beside, Failover, Graph, Leaf, Nested
from voicetrio.testing.operations import BargeIn, Press, Send, Wait
from voicetrio.testing.plans import PeerPlan, SessionPlan
from voicetrio.testing.simulation import Simulation, simulate
from voicetrio.transports.memory import memory_peer

CLOSE_S = SessionSettings().close_s

STUCK: dict[str, Graph] = {
    "swallows one": (Leaf("swallow", 1),),
    "shield without a deadline": (Leaf("shield", float("inf")),),
    "shield with a deadline": (Leaf("shield", 0.3),),
    "slow cleanup": (Leaf("cleanup", 30.0),),
    "never ends": (Leaf("never_end"),),
    "nested": (Nested((Leaf("pass"), Nested((Leaf("shield", float("inf")),)))),),
    "beside": (Beside(((Leaf("shield", float("inf")),), (Leaf("swallow", 2),), ())),),
    "failover": (Failover(((Leaf("fail", 1),), (Leaf("shield", float("inf")),))),),
}


@pytest.mark.parametrize("graph", STUCK.values(), ids=STUCK.keys())
@pytest.mark.parametrize("peer", [PeerPlan(), PeerPlan(goodbye_s=float("inf"))], ids=["peer", "no goodbye"])
def test_whatever_is_stuck_the_block_is_left_by_close_by(graph: Graph, peer: PeerPlan) -> None:
    plan = SessionPlan(Talk(replies=1, reply_s=0.5, graph=graph), peer, (Send(0.06), Wait(0.117)))
    cancel_at_every_step(plan.scenario(), most_runs=25)
    cancel_at_every_step(plan.scenario(), most_runs=10, via="scope")
    end_at_every_step(plan.scenario(), most_runs=10)
    end_then_cancel_at_every_step(plan.scenario(), most_runs=10)


def test_an_agent_can_be_cut_short_at_every_step() -> None:
    plan = SessionPlan(Converse(with_tool=True), operations=(BargeIn(0.5, 1.3), BargeIn(0.6, 0.5), Press()))
    for cut in (cancel_at_every_step, end_at_every_step, end_then_cancel_at_every_step):
        assert cut(plan.scenario(), most_runs=25).runs > 15


@pytest.mark.parametrize("seed", range(10))
def test_any_number_of_cancels_from_any_task_is_one(seed: int) -> None:
    async def scenario(sim: Simulation) -> None:
        peer, _ = memory_peer()
        stuck = peers.SlowGoodbyePeer(peer, 99)
        async with sim.open_session(stuck, SessionContext.wait_ending) as session:
            async with trio.open_nursery() as nursery:
                first_at = None

                async def cancel(after_s: float) -> None:
                    nonlocal first_at
                    await trio.sleep(after_s)
                    first_at = trio.current_time() if first_at is None else first_at
                    session.cancel(f"after {after_s}")

                for _ in range(5):
                    nursery.start_soon(cancel, sim.random.choice((0.1, 0.1, 0.4, 0.9)))
        assert first_at is not None
        assert trio.current_time() <= first_at + CLOSE_S + 1e-6
        assert session.result.reason == f"after {first_at}"

    simulate(scenario, seed)


@pytest.mark.parametrize("seed", range(10))
def test_an_abandoned_thread_is_listed_and_does_not_hold_the_block(seed: int) -> None:
    async def scenario(sim: Simulation) -> None:
        async with trio.open_nursery() as model_threads:
            runner = InlineRunner(30.0, nursery=model_threads)
            async with open_workers("model", runner=runner) as pool:

                async def behaviour(context: SessionContext) -> None:
                    await pool.run(int, name="the long job")

                async with sim.open_session(memory_peer()[0], behaviour) as session:
                    await trio.sleep(sim.random.uniform(0.1, 0.5))
                    session.cancel()
                    cancelled_at = trio.current_time()
                assert trio.current_time() == cancelled_at
                assert session.result.abandoned == ("the long job",)
                model_threads.cancel_scope.cancel()

    simulate(scenario, seed)


@pytest.mark.parametrize("seed", range(5))
def test_what_nothing_can_stop_is_named_while_the_block_waits(seed: int) -> None:
    async def scenario(sim: Simulation) -> None:
        free = trio.Event()

        async def endless(context: SessionContext) -> None:
            while not free.is_set():
                # Always a new shield, so that breaking one does not help.
                with suppress(trio.Cancelled), trio.CancelScope(shield=True):
                    await trio.sleep(0.1)

        async with trio.open_nursery() as nursery:

            async def release() -> None:
                await trio.sleep(5)
                free.set()

            nursery.start_soon(release)
            async with sim.open_session(memory_peer()[0], endless) as session:
                with session.events() as events:
                    await trio.sleep(0.05)
                    session.cancel()
                    async for event in events:
                        if isinstance(event, TaskStuck):
                            named_at = trio.current_time()
                            assert event.task == f"{session.name}/behaviour"
                            assert event.where.endswith("in endless")
                            break
            assert named_at <= 0.05 + CLOSE_S + LAST_STEPS_S + 1e-6
            assert trio.current_time() >= 5
            assert session.result.late == (f"{session.name}/behaviour",)

    simulate(scenario, seed)


@pytest.mark.parametrize("close_code", [1000, 1006, 1011])
def test_no_connection_is_dialled_after_a_cancel(close_code: int) -> None:
    """The connection comes back; its session is cancelled while it is connected, or waits to try again."""
    draws = random.Random(close_code)

    async def scenario(sim: Simulation) -> None:
        async with sockets.open_faulty_server(sockets.CloseWith(close_code, after_s=0.3)) as server:

            async def behaviour(context: SessionContext) -> None:
                async with open_connection(websocket_dialler(server.url)):
                    await trio.sleep_forever()

            async with sim.open_session(memory_peer()[0], behaviour) as session:
                await trio.sleep(draws.uniform(0.1, 3.0))
                session.cancel()
                dialled = server.connections
            await trio.sleep(100)
            assert server.connections == dialled

    for seed in range(5):
        simulate(scenario, seed)


def test_a_raw_thread_is_the_application_s_own_and_the_block_does_not_wait_for_it() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="raw")

    async def behaviour(context: SessionContext) -> None:
        thread.start()
        await trio.sleep_forever()

    async def scenario(sim: Simulation) -> None:
        async with sim.open_session(memory_peer()[0], behaviour) as session:
            await trio.sleep(0.1)
            session.cancel()
        assert trio.current_time() == pytest.approx(0.1)

    try:
        simulate(scenario, 0, leaks=False)
        assert thread.is_alive()
    finally:
        stop.set()
        thread.join()
