from __future__ import annotations

import numpy as np
import pytest
import trio
import trio.testing

from tests.transports.inbound import running
from voicetrio.errors import ConfigError
from voicetrio.events import Dtmf, MessageReceived
from voicetrio.frames import AudioFrame
from voicetrio.runtime.session import open_session
from voicetrio.runtime.transport import Clear, HangUp, SendMessage, Traits
from voicetrio.transports.memory import memory_peer

FRAME = AudioFrame.silence(480, 24000)


async def test_what_the_far_end_sends_arrives_in_order_with_its_positions():
    peer, far_end = memory_peer()
    far_end.send_audio_nowait(np.zeros(320, np.int16))
    far_end.dtmf("5")
    async with running(peer) as run:
        far_end.message({"a": 1})
        await far_end.send_audio(AudioFrame.silence(320, 16000, position=640))
        await far_end.send_audio(np.zeros(320, np.int16))
        await trio.testing.wait_all_tasks_blocked()
        assert [frame.position for frame in run.inbound.frames] == [0, 640, 960]
        assert run.inbound.events == [Dtmf(digit="5", position=320), MessageReceived(data={"a": 1})]


async def test_what_it_is_told_is_recorded_with_its_time(autojump_clock):
    peer, far_end = memory_peer()
    async with running(peer) as run:
        run.outbox.offer(FRAME)
        await far_end.wait_heard(1)
        await trio.sleep(3)
        run.outbox.put(SendMessage("hi"))
        run.outbox.put(HangUp())
        await run.over.wait()
    assert [item.time for item in far_end.heard] == [0, 3, 3]
    assert far_end.audio == [FRAME]
    assert far_end.messages == ["hi"]
    assert run.gone is None


async def test_hanging_up_is_peer_gone_with_its_code():
    peer, far_end = memory_peer()
    async with running(peer) as run:
        far_end.hang_up("lost", 1006)
        await run.over.wait()
    assert (run.gone.why, run.gone.code) == ("lost", 1006)


async def test_the_end_of_the_source_is_told():
    peer, far_end = memory_peer()
    async with running(peer) as run:
        far_end.end_source()
        await trio.testing.wait_all_tasks_blocked()
        assert run.inbound.source_ended_at is not None
        assert not run.over.is_set()


async def test_a_far_end_that_stops_reading_fills_the_outbox():
    peer, far_end = memory_peer()
    async with running(peer) as run:
        far_end.stop_reading()
        while run.outbox.offer(FRAME):
            await trio.testing.wait_all_tasks_blocked()
        assert len(far_end.heard) == 0
        far_end.resume_reading()
        await trio.testing.wait_all_tasks_blocked()
        assert len(far_end.audio) > 20


async def test_what_waits_for_a_far_end_that_reads_again_is_not_heard_after_the_cancel():
    peer, far_end = memory_peer()
    async with running(peer) as run:
        far_end.stop_reading()
        run.outbox.offer(FRAME)
        await trio.testing.wait_all_tasks_blocked()
        far_end.resume_reading()
        run.gate.shut()
        run.scope.cancel()
        await run.over.wait()
    assert len(far_end.heard) == 0


async def test_its_room_is_bounded():
    _peer, far_end = memory_peer(max_waiting=2)
    far_end.message(1)
    far_end.message(2)
    with pytest.raises(trio.WouldBlock):
        far_end.send_audio_nowait(np.zeros(1, np.int16))


async def test_its_record_is_bounded():
    peer, far_end = memory_peer(max_recorded=2)
    async with running(peer) as run:
        for number in range(5):
            run.outbox.put(SendMessage(number))
        await far_end.wait_heard(5)
        assert far_end.messages == [3, 4]
        assert peer.statistics().forgotten == 3


async def test_it_confirms_what_it_plays(autojump_clock):
    peer, _far_end = memory_peer(traits=Traits(confirms=True))
    async with running(peer) as run:
        for number in range(10):
            run.outbox.offer(FRAME.at(480 * number))
        await trio.sleep(0.15)
        run.outbox.put(Clear(1, 9600))
        for number in range(10):
            run.outbox.offer(FRAME.at(9600 + 480 * number))
        await trio.sleep(0.2)
        assert [(epoch, position) for _time, epoch, position in run.inbound.confirmed] == [
            (0, 2400),
            (1, 9600 + 1200),
            (1, 9600 + 3600),
        ]


async def test_a_source_that_is_not_live_waits_for_the_session(autojump_clock):
    peer, far_end = memory_peer(traits=Traits(live=False), max_waiting=1)
    async with running(peer) as run:
        run.inbound.waits_s = 1
        for _ in range(4):
            await far_end.send_audio(np.zeros(320, np.int16))
        assert trio.current_time() >= 2
        await trio.sleep(10)
        assert len(run.inbound.frames) == 4


async def test_audio_that_does_not_fit_is_refused():
    _peer, far_end = memory_peer()
    with pytest.raises(ConfigError, match="mono at 16000 Hz"):
        far_end.send_audio_nowait(AudioFrame.silence(10, 8000))
    far_end.send_audio_nowait(np.zeros(10, np.int16))
    with pytest.raises(ConfigError, match="cannot go back"):
        far_end.send_audio_nowait(AudioFrame.silence(10, 16000, position=5))
    with pytest.raises(ConfigError):
        memory_peer(max_waiting=0)


async def test_a_session_runs_on_it(autojump_clock):
    peer, far_end = memory_peer()
    received = []

    async def behaviour(context) -> None:
        speech = context.playout.open_speech("hello")
        speech.release()
        await speech.send(AudioFrame.from_samples(np.ones(4800, np.int16), 24000))
        speech.finish()
        received.extend([frame async for frame in context.inlet])

    async with open_session(peer, behaviour) as session:
        await far_end.send_audio(np.zeros(320, np.int16))
        await trio.sleep(1)
        far_end.end_source()
        await session.wait_ended()
    assert session.result.reason == "source_ended"
    assert len(received) == 1
    assert sum(int(frame.samples.sum()) for frame in far_end.audio) == 4800
    assert isinstance(far_end.heard[-1].operation, HangUp)
