"""What a behaviour is given, and what a pipeline's outlet does with each kind of frame."""

from __future__ import annotations

import math

import numpy as np
import pytest
import trio

from tests.runtime.peer import Peer
from voicetrio.events import SessionEnding
from voicetrio.frames import AudioFrame, DtmfFrame, Frame, MessageFrame, TextFrame
from voicetrio.runtime.behaviour import SessionContext
from voicetrio.runtime.pipeline import pipeline
from voicetrio.runtime.session import open_session
from voicetrio.runtime.transport import SendDtmf, SendMessage, Traits

RATE = 24000


async def test_a_behaviour_can_ask_for_the_end_and_sees_it_come(
    autojump_clock: trio.testing.MockClock,
) -> None:
    seen: list[object] = []

    async def behaviour(context: SessionContext) -> None:
        seen.append((context.ending, context.drain_by))
        await trio.sleep(1)
        context.request_end("enough")
        await context.wait_ending()
        seen.append((context.ending, context.drain_by))

    async with open_session(Peer(), behaviour) as session:
        subscription = session.events()
        await session.wait_ended()
    assert session.result.reason == "enough"
    assert seen == [(False, math.inf), (True, trio.current_time() + 2.0)]
    assert [event.reason async for event in subscription if isinstance(event, SessionEnding)] == ["enough"]


async def test_a_behaviours_cleanup_obeys_the_session(autojump_clock: trio.testing.MockClock) -> None:
    async def behaviour(context: SessionContext) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with context.cleanup(20.0):
                await trio.sleep(20)

    async with open_session(Peer(), behaviour) as session:
        session.cancel()
        start = trio.current_time()
    assert trio.current_time() - start == pytest.approx(1.0)


async def test_messages_and_keys_of_a_pipeline_are_sent_and_its_audio_played(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def stage(inlet: trio.abc.ReceiveChannel[Frame], outlet: trio.abc.SendChannel[Frame]) -> None:
        await outlet.send(MessageFrame({"a": 1}))
        await outlet.send(DtmfFrame("5"))
        await outlet.send(AudioFrame.from_samples(np.full(RATE, 7, np.int16), RATE))

    peer = Peer(Traits(output_rate=RATE, live=False))
    async with open_session(peer, pipeline(stage)) as session:
        await session.wait_ended()
    operations = [operation for _, operation in peer.operations]
    assert SendMessage({"a": 1}) in operations
    assert SendDtmf("5") in operations
    assert np.count_nonzero(peer.played) == RATE
    assert session.result.reason == "completed"


async def test_text_has_no_way_to_a_peer(autojump_clock: trio.testing.MockClock) -> None:
    async def stage(inlet: trio.abc.ReceiveChannel[Frame], outlet: trio.abc.SendChannel[Frame]) -> None:
        await outlet.send(TextFrame("hello"))

    with pytest.RaisesGroup(pytest.RaisesExc(TypeError, match="send audio")):
        async with open_session(Peer(), pipeline(stage)) as session:
            await session.wait_ended()


async def test_a_live_pipelines_messages_go_through_the_session_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def listen(context: SessionContext) -> None:
        async for _ in context.inlet:
            pass

    peer = Peer()
    async with open_session(peer, listen) as session:
        assert session.send_message({"b": 2})
        await trio.sleep(0.1)
        session.cancel()
        assert not session.send_message({"c": 3})
    assert [op for _, op in peer.operations] == [SendMessage({"b": 2})]
