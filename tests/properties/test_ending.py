"""I3: ``end()``: every sample accepted before it is written exactly once, in order, or is counted as cut.

Every sample has a value of its own here, so that a lost, doubled or misplaced one cannot be mistaken.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
import trio

from voicetrio.frames import AudioFrame
from voicetrio.runtime.behaviour import SessionContext
from voicetrio.testing.faults import peers
from voicetrio.testing.simulation import Simulation, simulate
from voicetrio.transports.memory import FarEnd, memory_peer

RATE = 24000


def spoken(far_end: FarEnd) -> np.ndarray:
    """Return what was written, without the silence that a starved tick is padded with."""
    parts = [frame.samples for frame in far_end.audio]
    samples = np.concatenate(parts) if parts else np.empty(0, np.int16)
    return samples[samples != 0]


async def speak_in_pieces(context: SessionContext, draws: random.Random) -> list[int]:
    """Speak some replies of counted samples in pieces of any length, at any pace; return the lengths."""
    lengths: list[int] = []
    value = 1
    for number in range(draws.randint(1, 4)):
        speech = context.playout.open_speech(f"reply-{number}")
        speech.release()
        lengths.append(0)
        for _ in range(draws.randint(1, 6)):
            count = draws.choice((1, 7, 480, 479, 1201, 5000))
            piece = (np.arange(value, value + count) % 30000 + 1).astype(np.int16)
            await speech.send(AudioFrame.from_samples(piece, RATE))
            value += count
            lengths[-1] += count
            await trio.sleep(draws.choice((0.0, 0.0, 0.013, 0.2)))
        speech.finish()
    return lengths


def expected(total: int) -> np.ndarray:
    return (np.arange(1, 1 + total) % 30000 + 1).astype(np.int16)


@pytest.mark.parametrize("first", range(0, 100, 25))
def test_every_sample_is_written_once_and_in_order_or_counted_as_cut(first: int) -> None:
    for seed in range(first, first + 25):
        draws = random.Random(seed)
        grace = draws.choice((None, None, 0.0, 0.1, 0.4))
        end_at = draws.choice((0.0, 0.31, 2.0))
        stall = draws.choice((None, None, 3, 11))

        async def scenario(sim: Simulation) -> None:
            accepted: list[int] = []

            async def behaviour(context: SessionContext) -> None:
                accepted.extend(await speak_in_pieces(context, sim.random))
                await context.wait_ending()

            memory, far_end = memory_peer()
            peer = memory if stall is None else peers.StallingPeer(memory, stall)  # noqa: B023
            async with sim.open_session(peer, behaviour) as session:
                await trio.sleep(end_at)  # noqa: B023
                session.end(grace)  # noqa: B023
            cut = session.result.counters.cut_samples
            heard = spoken(far_end)
            # What was cut is the end of what was said; what was heard is its beginning, whole.
            assert np.array_equal(heard, expected(heard.size))
            if accepted:  # the behaviour came to its end, so every piece was accepted
                assert heard.size + sum(cut.values()) == sum(accepted)
            if session.result.reason == "ended":
                assert bool(cut) == any(name in cut for name in session.result.late)

        simulate(scenario, seed)


@pytest.mark.parametrize("seed", range(20))
def test_end_then_cancel_is_cancel(seed: int) -> None:
    async def scenario(sim: Simulation) -> None:
        async def behaviour(context: SessionContext) -> None:
            await speak_in_pieces(context, sim.random)

        peer, far_end = memory_peer()
        async with sim.open_session(peer, behaviour) as session:
            await trio.sleep(0.2)
            session.end(100)
            await trio.sleep(sim.random.uniform(0, 0.2))
            was_over = session.statistics().state == "over"
            session.cancel("enough")
            at = trio.current_time()
            heard = len(far_end.heard)
        if not was_over:
            assert session.result.reason == "enough"
        assert trio.current_time() == at
        assert len(far_end.heard) == heard

    simulate(scenario, seed)


@pytest.mark.parametrize("seed", range(20))
def test_a_later_end_can_only_shorten(seed: int) -> None:
    async def scenario(sim: Simulation) -> None:
        graces = [sim.random.uniform(0.1, 3.0) for _ in range(4)]
        ends: list[float] = []

        async def behaviour(context: SessionContext) -> None:
            speech = context.playout.open_speech("long")
            speech.release()
            await speech.send(AudioFrame.silence(9 * RATE, RATE))
            await trio.sleep_forever()

        async with sim.open_session(memory_peer()[0], behaviour) as session:
            for grace in graces:
                await trio.sleep(0.05)
                session.end(grace)
                ends.append(trio.current_time() + grace)
            last_call = trio.current_time()
            await session.wait_ended()
            assert trio.current_time() == pytest.approx(max(min(ends), last_call), abs=0.03)

    simulate(scenario, seed)
