"""Endings that hung, or were lost, elsewhere: end and cancel are not frames, so nothing can hold them up.

Each test names the thread that reports what must not happen here.
"""

from __future__ import annotations

import signal
import sys

import numpy as np
import pytest
import trio
from trio.testing import MockClock

from tests.cases.conversations import BED, RATE, listen, speaking, tone
from voicetrio.cli.running import INTERRUPTED, StopRequest, run_command
from voicetrio.events import Event, SessionEnding
from voicetrio.runtime.behaviour import SessionContext
from voicetrio.runtime.pipeline import pipeline
from voicetrio.runtime.session import open_session
from voicetrio.runtime.transport import HangUp, SendAudio
from voicetrio.testing.every_step import cancel_at_every_step
from voicetrio.testing.faults import peers, stages
from voicetrio.testing.simulation import Simulation
from voicetrio.transports.memory import memory_peer


async def test_p10_a_cancel_during_cleanup_is_not_swallowed(autojump_clock: MockClock) -> None:
    """A task that cancels a child while it is cancelled itself still ends: pipecat-ai/pipecat#4986."""
    cleaned = []

    async def child() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 0.2):
                await trio.sleep(0.1)
            cleaned.append("child")

    async def behaviour(context: SessionContext) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            try:
                await trio.sleep(1)
            finally:
                nursery.cancel_scope.cancel()

    with trio.CancelScope() as outer:
        async with open_session(memory_peer()[0], behaviour) as session:
            await trio.sleep(0.5)
            session.cancel()
            await trio.sleep(0.05)  # the cleanup has begun
            outer.cancel()
            await trio.sleep_forever()
    assert cleaned == ["child"]
    assert trio.current_time() == pytest.approx(0.6)
    assert session.result.reason == "cancelled"


async def test_p11_a_stage_that_swallows_a_cancellation_still_ends(autojump_clock: MockClock) -> None:
    """A library that catches everything once freezes nothing: pipecat-ai/pipecat#2530, #2552, #2567."""
    stage = stages.SwallowingStage()
    peer, far_end = memory_peer()
    async with open_session(peer, pipeline(stages.PassingStage(), stage, stages.SilentStage())) as session:
        far_end.send_audio_nowait(np.zeros(320, np.int16))
        await trio.sleep(0.5)
        session.cancel()
    assert stage.swallowed == 1
    assert trio.current_time() == 0.5


def test_p12_a_cancel_at_each_step_of_the_start_takes_effect_at_once() -> None:
    """Nothing must have "started" before a cancel can arrive: pipecat-ai/pipecat#4276."""

    async def scenario(sim: Simulation) -> None:
        peer, _ = memory_peer()
        async with sim.open_session(peer, speaking(0.3)):
            await trio.sleep(0.05)
            sim.record("cut here", trio.current_time())
        assert trio.current_time() <= 0.5

    assert cancel_at_every_step(scenario, via="scope").stride == 1


async def test_p13_a_cancel_after_an_end_takes_effect_at_once(autojump_clock: MockClock) -> None:
    """It does not queue behind the end: pipecat-ai/pipecat#5211."""
    peer, _ = memory_peer()
    graph = pipeline(stages.NeverEndingStage(), stages.SilentStage())
    async with open_session(peer, graph) as session:
        await trio.sleep(0.1)
        session.end(grace=60)
        await trio.sleep(0.1)
        session.cancel("enough")
        session.cancel("again")
        at = trio.current_time()
    assert trio.current_time() == at
    assert session.result.reason == "enough"


async def test_p17_an_end_resumes_what_was_paused_and_a_cancel_does_not_wait_for_it(
    autojump_clock: MockClock,
) -> None:
    """A pause left standing holds up neither end nor cancel: pipecat-ai/pipecat#3757."""
    for cancels in (False, True):
        peer, far_end = memory_peer()

        async def behaviour(context: SessionContext) -> None:
            speech = context.playout.open_speech("reply")
            speech.release()
            await speech.send(tone(1.0))
            speech.finish()
            await trio.sleep(0.5)
            speech.pause()
            await listen(context)

        async with open_session(peer, behaviour) as session:
            await trio.sleep(0.7)
            (session.cancel if cancels else session.end)()
            at = trio.current_time()
        if cancels:
            assert trio.current_time() == at
        else:
            assert session.result.late == ()
            played = sum(int(np.count_nonzero(frame.samples)) for frame in far_end.audio)
            assert played >= RATE - 20  # all of it; a fade may end in a zero


async def test_p18_an_interruption_cannot_discard_the_end(autojump_clock: MockClock) -> None:
    """The end is a link that closes, and no item in a queue: pipecat-ai/pipecat#3524."""
    peer, _ = memory_peer()

    async def behaviour(context: SessionContext) -> None:
        speech = context.playout.open_speech("reply")
        speech.release()
        await speech.send(tone(3.0))
        await context.wait_ending()
        speech.flush()
        async for _ in context.inlet:
            pass

    async with open_session(peer, behaviour) as session:
        await trio.sleep(0.5)
        session.end(grace=30)
        at = trio.current_time()
    assert trio.current_time() <= at + 0.1
    assert session.result.reason == "ended"


async def test_p19_a_stage_that_is_too_slow_is_cut_at_the_grace_and_named(autojump_clock: MockClock) -> None:
    """An end waits for a slow stage no longer than its grace: pipecat-ai/pipecat#2999, #3566."""
    peer, far_end = memory_peer()
    async with open_session(peer, pipeline(stages.SlowStage(100.0), stages.SilentStage())) as session:
        far_end.send_audio_nowait(np.zeros(320, np.int16))
        await trio.sleep(0.1)
        session.end(grace=3)
    assert trio.current_time() == pytest.approx(3.1)
    assert session.result.late == ("behaviour",)


async def test_p20_a_stage_that_passes_nothing_on_cannot_stop_a_cancel(autojump_clock: MockClock) -> None:
    """There is no frame of it to swallow: pipecat-ai/pipecat#3179, #3359, #2423."""
    peer, far_end = memory_peer()
    swallowers = [stages.SilentStage(), stages.BurstStage(1000), stages.PassingStage(), stages.SilentStage()]
    async with open_session(peer, pipeline(*swallowers)) as session:
        for _ in range(10):
            far_end.send_audio_nowait(np.zeros(320, np.int16))
        await trio.sleep(0.2)
        session.cancel()
    assert trio.current_time() == 0.2


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent to this process")
@pytest.mark.parametrize("signals", [1, 2])
def test_p21_ctrl_c_ends_a_call_and_a_second_one_cancels_it(signals: int) -> None:
    """Also while the call is active: pipecat-ai/pipecat#3929."""
    reasons: list[str] = []

    async def call(stop: StopRequest) -> int:
        peer, _ = memory_peer()
        behaviour = speaking(0.1) if signals == 1 else speaking(30.0)
        with trio.CancelScope() as scope:
            try:
                async with open_session(peer, behaviour) as session:
                    with stop.on_stop(session.end):
                        await trio.testing.wait_all_tasks_blocked()
                        for _ in range(signals):
                            signal.raise_signal(signal.SIGINT)
                            await trio.sleep(0.02)
                        await session.wait_ended()
            finally:
                reasons.append(session.result.reason)
        assert not scope.cancelled_caught
        return 0

    status = run_command(call)
    assert (status, reasons) == ((0, ["ended"]) if signals == 1 else (INTERRUPTED, ["cancelled"]))


async def test_p24_a_session_ends_once_with_one_reason(autojump_clock: MockClock) -> None:
    """However many ends arrive at once, there is one of them: pipecat-ai/pipecat#2768, #2641, #2654."""
    endings: list[Event] = []
    peer, far_end = memory_peer()
    async with open_session(peer, listen) as session:
        with session.hub.observed_by(
            lambda event: endings.append(event) if isinstance(event, SessionEnding) else None
        ):
            await trio.sleep(0.1)
            far_end.hang_up()
            await session.wait_ended()
            session.end()
            session.cancel()
            session.end()
    assert [event.reason for event in endings if isinstance(event, SessionEnding)] == ["peer_gone"]
    assert session.result.reason == "peer_gone"


async def test_p40_the_goodbye_is_heard_whole_and_nothing_comes_after_it(autojump_clock: MockClock) -> None:
    """An end waits for the ear, and then is over: pipecat-ai/pipecat#1461, #1787, #3818, #4647, #5341."""
    peer, far_end = memory_peer()
    async with open_session(peer, speaking(1.5)) as session:
        session.playout.start_bed(BED, gain_db=-40)
        await trio.sleep(0.1)
        session.end()
    heard_at = trio.current_time()
    operations = [item.operation for item in far_end.heard]
    assert isinstance(operations[-1], HangUp)
    last_audio = max(item.time for item in far_end.heard if isinstance(item.operation, SendAudio))
    assert far_end.playback.advance(heard_at + 10) >= 1.5 * RATE
    assert heard_at >= 1.5
    await trio.sleep(100)
    assert len(far_end.heard) == len(operations)
    assert last_audio <= heard_at


async def test_p22_closes_run_side_by_side_within_one_limit(autojump_clock: MockClock) -> None:
    """However many services close slowly, they cost one limit: pipecat-ai/pipecat#4528, #5139, #5874."""

    async def one(context: SessionContext) -> None:
        try:
            await context.wait_ending()
            await trio.sleep_forever()
        finally:
            with context.cleanup(within_s=10):
                await trio.sleep(10)

    async def behaviour(context: SessionContext) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(one, context)

    slow = peers.SlowGoodbyePeer(memory_peer()[0])
    async with open_session(slow, behaviour) as session:
        await trio.sleep(0.5)
        session.cancel()
    assert trio.current_time() == pytest.approx(1.5)
