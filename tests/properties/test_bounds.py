"""I4: media in flight never exceeds the links' bounds, one frame a stage, and the declared holds.

It is measured from outside: every buffer that goes in is watched until nobody holds it any more.
"""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import trio

from voicetrio.frames import AudioFrame
from voicetrio.runtime.behaviour import SessionContext
from voicetrio.runtime.inbound import MAX_LIVE_S
from voicetrio.testing.graphs import Graph, Leaf, Nested, build, leaves
from voicetrio.testing.operations import Controls
from voicetrio.testing.plans import PeerPlan
from voicetrio.testing.simulation import Simulation, simulate
from voicetrio.transports.memory import memory_peer

RATE = 16000
FRAME_S = 0.02
FRAME = round(FRAME_S * RATE)


@pytest.fixture(autouse=True, scope="module")
def _only_what_is_made_here_is_looked_through() -> Iterator[None]:
    """A search for what nobody holds would otherwise go through everything that was imported, each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


class MediaMeter:
    """Counts the frames that somebody still holds."""

    def __init__(self) -> None:
        self.alive = 0
        self.peak = 0

    def frame(self, position: int) -> AudioFrame:
        buffer = np.full(FRAME, 1000, np.int16)
        weakref.finalize(buffer, self._gone)
        self.alive += 1
        self.peak = max(self.peak, self.alive)
        return AudioFrame(memoryview(buffer).cast("B"), RATE, 1, position)

    def _gone(self) -> None:
        self.alive -= 1


NO_COPIES = ("pass", "slow", "burst", "silent", "swallow", "hold", "thin", "never_end", "impatient")


def draw(draws: random.Random) -> Graph:
    """Return a graph whose parts pass frames on as they are, so that what is watched is what is held."""

    def leaf() -> Leaf:
        kind = draws.choice(NO_COPIES)
        return Leaf(kind, {"slow": draws.choice((0.005, 0.5)), "impatient": 20}.get(kind, 5))

    row = [leaf() for _ in range(draws.randint(0, 4))]
    return (*row[:2], Nested(tuple(row[2:]))) if draws.random() < 0.5 else tuple(row)


def bound_of(graph: Graph, lead_s: float, keep_s: float, live_in_s: float) -> float:
    """Return how many frames may be in flight through ``graph`` and on to the peer."""
    holds = sum(leaf.value for leaf in leaves(graph) if leaf.kind in ("burst", "hold"))
    stages = len(leaves(graph)) + 2  # the two ends as well
    links = stages
    playout_s = 2 * lead_s + keep_s + 2 * FRAME_S  # a live reply's backlog, and what it keeps of its past
    return holds + stages + links + (live_in_s + playout_s) / FRAME_S + 2


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_peer_and_the_stages_do_no_more_is_held(seed: int) -> None:
    draws = random.Random(seed)
    graph = draw(draws)
    plan = PeerPlan(stalls_after=draws.choice((None, None, 0, 7)))

    async def scenario(sim: Simulation) -> None:
        meter = MediaMeter()
        peer, far_end = plan.make()
        async with sim.open_session(peer, build(graph)) as session:
            playout = session.playout
            bound = bound_of(graph, playout.lead_s, playout.keep_s, MAX_LIVE_S)
            due = trio.current_time()
            for number in range(600):  # 12 s: longer than any bound lets pile up
                if session.ending:
                    break
                far_end.send_audio_nowait(meter.frame(number * FRAME))
                due += FRAME_S
                await trio.sleep_until(due)
                assert meter.alive <= bound, f"{meter.alive} frames are held, of {bound:.0f}"
            session.cancel()
        sim.target = None
        sim.watches.clear()
        del session, playout, peer, far_end
        gc.collect()
        assert meter.alive == 0

    simulate(scenario, seed)


@pytest.mark.parametrize("seed", range(10))
def test_a_source_that_is_not_live_waits_instead(seed: int) -> None:
    """Through a graph that takes its time, a file is read no further ahead than the links allow."""

    async def scenario(sim: Simulation) -> None:
        meter = MediaMeter()
        graph: Graph = (Leaf("slow", 0.05), Leaf("burst", sim.random.randint(1, 5)), Leaf("silent"))
        peer, far_end = PeerPlan(live=False).make()
        async with sim.open_session(peer, build(graph)) as session:
            with trio.move_on_after(5):
                for number in range(5000):
                    await far_end.send_audio(meter.frame(number * FRAME))
            waits_at_the_peer = 512  # the far end's own queue
            held = bound_of(graph, session.playout.lead_s, session.playout.keep_s, 0.5)
            assert meter.peak <= waits_at_the_peer + held
            session.cancel()

    simulate(scenario, seed)


@pytest.mark.parametrize("seed", range(10))
def test_a_reply_waits_when_it_is_far_ahead(seed: int) -> None:
    async def scenario(sim: Simulation) -> None:
        peer, far_end = memory_peer()
        on = Controls(sim, far_end)
        most_ahead = 0.0

        async def behaviour(context: SessionContext) -> None:
            nonlocal most_ahead
            speech = context.playout.open_speech("endless")
            speech.release()
            while not context.ending:
                await speech.send(AudioFrame.silence(2400, 24000))
                most_ahead = max(most_ahead, speech.remaining_to_play_s)

        async with sim.open_session(peer, behaviour) as session:
            if sim.random.random() < 0.5:
                on.far_end.stop_reading()
            await trio.sleep(4)
            settings = session.playout._settings.speech
            assert 0.75 * settings.max_ahead_s < most_ahead <= settings.max_ahead_s + 1e-6
            session.cancel()

    simulate(scenario, seed)
