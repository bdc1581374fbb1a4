"""Properties with a name and a seed each, for what must find fault with a broken runtime."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import trio

from tests.properties.test_reports import TellingPeer
from voicetrio.errors import PeerGone, StageInUse
from voicetrio.events import Failure
from voicetrio.runtime.behaviour import SessionContext
from voicetrio.runtime.pipeline import pipeline
from voicetrio.testing.behaviours import Converse, Talk
from voicetrio.testing.graphs import Leaf
from voicetrio.testing.operations import BargeIn, Cancel, Flush, Send, Wait
from voicetrio.testing.plans import PeerPlan, SessionPlan, draw_plan, run_plan
from voicetrio.testing.simulation import Simulation, simulate
from voicetrio.transports.memory import memory_peer


def sessions(seed: int) -> None:
    """Any drawn session keeps I1 to I6."""
    run_plan(draw_plan(random.Random(seed)), seed)


def flushes(seed: int) -> None:
    """I6: after a flush nothing of the reply comes but its fade."""
    draws = random.Random(seed)
    operations = (Wait(draws.uniform(0.05, 0.9)), Flush(), Wait(draws.uniform(0.1, 0.5)))
    run_plan(SessionPlan(Talk(replies=2, reply_s=1.2), PeerPlan(), operations), seed)


def tools(seed: int) -> None:
    """I6: what an interruption ends does not go on behind its back; I2: nor behind the session's."""
    draws = random.Random(seed)
    operations = (BargeIn(0.6, draws.uniform(0.8, 1.4)), BargeIn(0.8, 1.0), Wait(2.0))
    run_plan(SessionPlan(Converse(greeting=None, with_tool=True, tool_s=3.0), operations=operations), seed)


def stuck_goodbyes(seed: int) -> None:
    """I1: a peer that never says goodbye, and a stage that shields itself, do not hold the block."""
    draws = random.Random(seed)
    graph = draws.choice(((), (Leaf("shield", float("inf")),), (Leaf("cleanup", 30.0),)))
    plan = SessionPlan(
        Talk(1, graph=graph), PeerPlan(goodbye_s=float("inf")), (Wait(draws.uniform(0, 1)), Cancel())
    )
    run_plan(plan, seed)


def reports(seed: int) -> None:
    """I5: a report that cannot be delivered causes no other one."""

    async def scenario(sim: Simulation) -> None:
        peer, far_end = memory_peer()

        async def behaviour(context: SessionContext) -> None:
            await trio.sleep(sim.random.random())
            far_end.stop_reading()
            for number in range(40):
                context.hub.tell(Failure(where="a part that goes on", error=PeerGone(f"chunk {number}")))
            await context.wait_ending()

        # An outbox that a few messages fill.
        async with sim.open_session(TellingPeer(peer), behaviour) as session:
            session._outbox._max_items = 8
            await trio.sleep(1.5)
            told = session.statistics().events.told
            assert told <= 60, f"I5: {told} events were told of 40 failures"
            session.cancel()

    simulate(scenario, seed)


def sharing(seed: int) -> None:
    """I7: a stage that has state works for one session, or is refused."""

    class Hold:
        """Keeps the last frames back."""

        def __init__(self, count: int) -> None:
            self.held: list[Any] = []
            self.count = count

        async def __call__(self, inlet: Any, outlet: Any) -> None:
            async for frame in inlet:
                self.held.append(frame)
                if len(self.held) > self.count:
                    await outlet.send(self.held.pop(0))

    async def scenario(sim: Simulation) -> None:
        hold = Hold(sim.random.randint(1, 5))
        peers = [PeerPlan().make() for _ in range(2)]

        async def run(index: int) -> None:
            peer, far_end = peers[index]
            async with sim.open_session(peer, pipeline(hold, name=f"pipeline {index}")):
                for _ in range(20):
                    far_end.send_audio_nowait(np.full(320, index + 1, np.int16))
                    await trio.sleep(0.02)

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run, 0)
                nursery.start_soon(run, 1)
        except* StageInUse:
            sim.record("refused")
        for index, (_, far_end) in enumerate(peers):
            others = {int(value) for frame in far_end.audio for value in set(frame.samples)} - {0, index + 1}
            assert not others, f"I7: session {index} was given what another one said"

    simulate(scenario, seed)


def goodbyes(seed: int) -> None:
    """I3: a session in which nothing is wrong ends in time, with everything said."""
    draws = random.Random(seed)
    kinds = ("pass", "gain", "halves", "burst", "hold", "thin", "silent", "impatient")
    graph = tuple(Leaf(draws.choice(kinds), 2) for _ in range(draws.randint(0, 3)))
    plan = SessionPlan(Talk(2, graph=graph), operations=(Send(0.3), Wait(draws.random())))
    run_plan(plan, seed)


CLAIMS = (sessions, flushes, tools, stuck_goodbyes, reports, sharing, goodbyes)
