"""What a behaviour is given, and what a pipeline's outlet does with each kind of frame."""

from __future__ import annotations

import math

import numpy as np
import pytest
import trio

from tests.runtime.peer import Peer
from voicetrio.errors import ConfigError, SessionEnded
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


async def test_a_behaviour_is_called_when_the_end_begins_and_at_once_after_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    called: list[str] = []

    async def behaviour(context: SessionContext) -> None:
        context.when_ending(lambda: called.append("noted before"))
        await context.wait_ending()
        assert called == ["noted before"]
        context.when_ending(lambda: called.append("noted after"))
        assert called == ["noted before", "noted after"]

    async with open_session(Peer(), behaviour) as session:
        await trio.sleep(1)
        assert called == []
        session.end()
        assert called == ["noted before"]
    assert called == ["noted before", "noted after"]


@pytest.mark.parametrize("relayed", [True, False])
async def test_an_outlet_to_the_peer_that_was_closed_takes_nothing(
    autojump_clock: trio.testing.MockClock, relayed: bool
) -> None:
    refused: list[str] = []

    async def close_and_send(outlet: trio.abc.SendChannel[Frame]) -> None:
        await outlet.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await outlet.send(MessageFrame("late"))
        refused.append("late")

    async def relay(context: SessionContext) -> None:
        await close_and_send(context.open_relay())

    async def stage(inlet: trio.abc.ReceiveChannel[Frame], outlet: trio.abc.SendChannel[Frame]) -> None:
        await close_and_send(outlet)

    peer = Peer()
    async with open_session(peer, relay if relayed else pipeline(stage)) as session:
        await session.wait_ended()
    assert refused == ["late"]
    assert SendMessage("late") not in [operation for _, operation in peer.operations]


class Talker:
    """A behaviour that can say things."""

    def __init__(self, *, provides: bool = True) -> None:
        self.said: list[tuple[str, bool, int, bool]] = []
        self._provides = provides

    async def say(
        self, text: str, *, interruptible: bool = True, priority: int = 0, wait_played: bool = True
    ) -> str:
        await trio.lowlevel.checkpoint()
        self.said.append((text, interruptible, priority, wait_played))
        return "said"

    async def __call__(self, context: SessionContext) -> None:
        await trio.sleep(1)
        if self._provides:
            context.provide(self)
        await context.wait_ending()


async def test_a_session_says_what_its_behaviour_can_say(autojump_clock: trio.testing.MockClock) -> None:
    talker = Talker()
    async with open_session(Peer(), talker) as session:
        assert await session.say("hello", interruptible=False, priority=3, wait_played=False) == "said"
        assert trio.current_time() == 1  # it waited for the conversation
        assert await session.wait_conversation() is talker
        session.end()
        with pytest.raises(SessionEnded):
            await session.say("too late")
    assert talker.said == [("hello", False, 3, False)]


async def test_a_behaviour_that_never_talks_is_waited_for_until_the_end_only(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_session(Peer(), Talker(provides=False)) as session:
        async with trio.open_nursery() as nursery:

            async def say() -> None:
                with pytest.raises(SessionEnded):
                    await session.say("hello")

            nursery.start_soon(say)
            await trio.sleep(2)
            session.end()


async def test_a_pipeline_cannot_say_anything(autojump_clock: trio.testing.MockClock) -> None:
    async def stage(inlet: trio.abc.ReceiveChannel[Frame], outlet: trio.abc.SendChannel[Frame]) -> None:
        async for _ in inlet:
            pass

    async with open_session(Peer(), pipeline(stage)) as session:
        with pytest.raises(ConfigError, match="use an Agent"):
            await session.say("hello")
