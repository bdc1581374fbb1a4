"""Peers that left, or stopped reading, and what went on without them elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import trio
from trio.testing import MockClock

from tests.cases.conversations import BED, listen, scripted_agent, speaking, tone
from voicetrio.audio.mixer import Mixer
from voicetrio.conversation.settings import ConversationSettings
from voicetrio.errors import LinkOverflow, SessionEnded, SessionError
from voicetrio.runtime.behaviour import SessionContext
from voicetrio.runtime.ending import SessionSettings
from voicetrio.runtime.inbound import MAX_LIVE_S
from voicetrio.runtime.session import open_session
from voicetrio.runtime.transport import HangUp, SendAudio, SendMessage
from voicetrio.testing.faults import peers
from voicetrio.testing.faults.services import FaultySTT, ServiceFault
from voicetrio.testing.scripted import ScriptedSTT
from voicetrio.transports.memory import memory_peer


class StepCounter(trio.abc.Instrument):
    """Counts the run's task steps."""

    def __init__(self) -> None:
        self.steps = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps += 1


async def test_p01_a_mixer_makes_no_more_than_a_stopped_peer_may_wait_for(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No endless silence, and no memory without bound, at the stop: pipecat-ai/pipecat#1338, #740."""
    mixed = 0
    mix = Mixer.mix

    def count(self: Mixer, *arguments: object) -> object:
        nonlocal mixed
        mixed += 1
        return mix(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Mixer, "mix", count)
    peer, far_end = memory_peer()
    async with open_session(peer, speaking(1.0)) as session:
        session.playout.start_bed(BED)
        await trio.sleep(1.0)
        far_end.stop_reading()
        before = mixed
        session.end(grace=2.5)
        await trio.sleep(2.0)
        room = SessionSettings().outbox_s / 0.02
        assert mixed - before <= room + 2
        assert session.statistics().outbox.queued_s <= SessionSettings().outbox_s + 0.02
        stopped = mixed
        await session.wait_ended()
    assert mixed <= stopped + 1
    assert session.result.late


async def test_p02_nothing_runs_after_the_peer_has_hung_up(autojump_clock: MockClock) -> None:
    """A session without its peer costs nothing: pipecat-ai/pipecat#2955, #4679."""
    peer, far_end = memory_peer()
    async with open_session(peer, speaking(8.0)) as session:
        session.playout.start_bed(BED)
        await trio.sleep(1)
        far_end.hang_up()
        await session.wait_ended()
        assert trio.current_time() == 1
        counter = StepCounter()
        trio.lowlevel.add_instrument(counter)
        await trio.sleep(3600)
        trio.lowlevel.remove_instrument(counter)
        assert counter.steps <= 5
    assert session.result.reason == "peer_gone"


async def test_p04_a_message_before_the_peer_is_ready_is_sent_and_one_after_the_end_is_refused(
    autojump_clock: MockClock,
) -> None:
    """What is said early is not lost, and what is said late raises: pipecat-ai/pipecat#3578, #2498."""
    peer, far_end = memory_peer()
    async with open_session(peer, scripted_agent()) as session:
        assert session.send_message({"hello": 1})
        await trio.sleep(0.1)
        session.end()
        await session.wait_ended()
        assert not session.send_message({"too": "late"})
        with pytest.raises(SessionEnded):
            await session.say("too late")
    assert far_end.messages == [{"hello": 1}]


async def test_p14_an_end_does_not_wait_for_a_peer_that_reads_nothing(autojump_clock: MockClock) -> None:
    """Every write on the way out has a limit: pipecat-ai/pipecat#5216."""
    peer, far_end = memory_peer()
    async with open_session(peer, speaking(8.0)) as session:
        await trio.sleep(1)
        far_end.stop_reading()
        session.end(grace=2)
    assert trio.current_time() <= 1 + 2 + SessionSettings().close_s + 0.02
    assert "reply" in session.result.late


async def test_p15_a_flush_does_not_wait_for_its_clear_to_be_written(autojump_clock: MockClock) -> None:
    """The clear is the writer's to write; flush and cancel return at once: pipecat-ai/pipecat#5789."""
    peer, far_end = memory_peer()

    async def behaviour(context: SessionContext) -> None:
        speech = context.playout.open_speech("reply")
        speech.release()
        await speech.send(tone(5.0))
        await trio.sleep(0.5)
        far_end.stop_reading()
        await trio.sleep(0.1)
        before = trio.current_time()
        speech.flush()
        assert trio.current_time() == before
        await trio.sleep_forever()

    async with open_session(peer, behaviour) as session:
        await trio.sleep(1)
        session.cancel()
    assert trio.current_time() == 1


@pytest.mark.parametrize("phase", ["connect", "send", "receive"])
async def test_p16_a_recogniser_that_takes_nothing_is_bounded_and_told(
    phase: str, autojump_clock: MockClock
) -> None:
    """A blocked send to a service piles nothing up, and ends nothing late: pipecat-ai/pipecat#5796."""
    fault = ServiceFault(phase, how="hang")  # type: ignore[arg-type]
    agent = scripted_agent(
        stt=lambda: FaultySTT(ScriptedSTT(["yes"]), fault),
        settings=ConversationSettings(stt_lag_s=1.0, away_after_s=None),
    )
    peer, far_end = memory_peer()
    held = 0.0
    failed = False
    try:
        async with open_session(peer, agent) as session:
            for number in range(400):
                far_end.send_audio_nowait(np.full(320, 5000 * (number % 40 < 20), np.int16))
                await trio.sleep(0.02)
                held = max(held, session.statistics().inlet.seconds)
            session.cancel()
            at = trio.current_time()
        assert trio.current_time() == at
    except SessionError as error:
        failed = error.subgroup(LinkOverflow) is not None
    assert held <= MAX_LIVE_S
    assert failed == (phase != "receive")  # it is told as soon as a second of audio waits for the recogniser


async def test_p23_nothing_is_written_after_the_goodbye(autojump_clock: MockClock) -> None:
    """The writer is joined before the block is left: pipecat-ai/pipecat#2209, #1511."""
    peer, far_end = memory_peer()
    async with open_session(peer, speaking(2.0)) as session:
        await trio.sleep(0.5)
        session.send_message("before")
        session.end(grace=0.2)
        await session.wait_ended()
        heard = len(far_end.heard)
        assert isinstance(far_end.heard[-1].operation, HangUp)
        session.send_message("after")
        session.playout.start_bed(BED)
        await trio.sleep(10)
    assert len(far_end.heard) == heard
    assert [item.operation for item in far_end.heard if isinstance(item.operation, SendMessage)] == [
        SendMessage("before")
    ]


async def test_p36_speech_ends_when_the_microphone_is_muted_in_the_middle_of_it(
    autojump_clock: MockClock,
) -> None:
    """No audio for a second is news in itself, and the turn goes on: pipecat-ai/pipecat#4124."""
    peer, far_end = memory_peer()
    async with open_session(peer, scripted_agent()) as session:
        for _ in range(50):
            far_end.send_audio_nowait(np.full(320, 5000, np.int16))
            await trio.sleep(0.02)
        muted_at = trio.current_time()
        with session.events() as events:
            async for event in events:
                if type(event).__name__ == "SpeechStopped":
                    break
        assert trio.current_time() - muted_at == pytest.approx(1.0, abs=0.1)
        await trio.sleep(4)
        session.end()
    assert any(np.any(frame.samples) for frame in far_end.audio)  # it was answered


async def test_a_peer_that_vanishes_ends_the_session_and_writes_nothing_more(
    autojump_clock: MockClock,
) -> None:
    """The input's end does not close what the output still writes to: pipecat-ai/pipecat#1506."""
    peer, far_end = memory_peer()
    async with open_session(peers.VanishingPeer(peer, 0.5), listen) as session:
        session.playout.start_bed(BED)
        await trio.sleep(5)
    assert session.result.reason == "peer_gone"
    assert max(item.time for item in far_end.heard if isinstance(item.operation, SendAudio)) <= 0.5
