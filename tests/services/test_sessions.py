"""Vendors' services in a whole session: connections live as long as it does, and not longer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio

from tests.conversation.calls import Call, calling, scripted
from tests.services.kinds import RECOGNISERS, VOICES, Kind
from tests.services.vendors import plain, speech
from voicetrio.conversation import Agent
from voicetrio.errors import SessionEnded
from voicetrio.events import Failure, Interrupted, ReplyAudible, ReplyEnded, TurnEnded
from voicetrio.frames import AudioFrame
from voicetrio.runtime.session import open_session
from voicetrio.runtime.transport import Traits
from voicetrio.testing.faults.peers import VanishingPeer
from voicetrio.testing.standins.fault import CloseWith, Fault, Refuse
from voicetrio.testing.standins.server import Standin, open_standin
from voicetrio.transports.memory import memory_peer

ANSWER = "It is five in the morning. Please go and sleep well, my friend."


@pytest.fixture(params=range(5), ids=lambda index: f"{VOICES[index % 3].name}-{RECOGNISERS[index].name}")
def kinds(request: pytest.FixtureRequest) -> tuple[Kind, Kind]:
    return VOICES[request.param % 3], RECOGNISERS[request.param]


async def talk(call: Call, *parts: str | float) -> None:
    """Let the caller say ``parts``, by a microphone that is on only then."""
    rate = call.far_end.traits.input_rate
    items, _ = speech(rate, *parts)
    start = trio.current_time()
    for item in items:
        if isinstance(item, AudioFrame):
            await trio.sleep_until(start + item.end / rate)
            call.far_end.send_audio_nowait(item.samples)


@asynccontextmanager
async def call_with(
    kinds: tuple[Kind, Kind], *, voice_faults: list[Fault] | None = None
) -> AsyncIterator[tuple[Call, Standin, Standin]]:
    agent, *_ = scripted(answers=[ANSWER] * 5)
    async with (
        open_standin(kinds[0].standin(faults=voice_faults or ())) as voice,
        open_standin(kinds[1].standin()) as ear,
    ):
        stt, tts = kinds[1].client(ear), kinds[0].client(voice)
        agent = Agent(vad=agent.vad, llm=agent.llm, stt=lambda: stt, tts=lambda: tts)
        async with calling(agent, microphone=False) as call:
            yield call, voice, ear
        assert not any(each.is_open for each in [*voice.connections, *ear.connections])


async def test_a_turn_is_heard_and_answered(kinds: tuple[Kind, Kind], autojump_clock: object) -> None:
    async with call_with(kinds) as (call, voice, ear):
        await trio.sleep(1)
        assert len(voice.connections) == 1  # before it is needed
        await talk(call, 0.5, "what time is it", 10.0)
        turn = await call.wait_for(TurnEnded)
        assert plain(turn.text) == "what time is it"
        ended = await call.wait_for(ReplyEnded)
        assert ended.heard == ended.text == ANSWER
        assert len(voice.connections) == len(ear.connections) == 1
        assert call.of(Failure) == []


async def test_a_reply_is_interrupted_and_the_next_one_is_whole(
    kinds: tuple[Kind, Kind], autojump_clock: object
) -> None:
    async with call_with(kinds) as (call, voice, _):
        await talk(call, 0.5, "what time is it", 2.0, "stop go forward left right", 12.0)
        assert call.of(Interrupted)
        cut, whole = call.of(ReplyEnded)
        assert ANSWER.startswith(cut.heard)
        assert len(cut.heard) < len(ANSWER)
        assert whole.heard == ANSWER
        assert len(voice.connections) == 1
        assert call.of(Failure) == []


async def test_a_voice_that_is_lost_while_it_speaks_speaks_on(
    kinds: tuple[Kind, Kind], autojump_clock: object
) -> None:
    async with call_with(kinds, voice_faults=[CloseWith(after=12, code=1011)]) as (call, voice, _):
        await talk(call, 0.5, "what time is it", 14.0)
        (ended,) = call.of(ReplyEnded)
        assert ended.how == "played"
        assert ended.text == ANSWER
        assert len(voice.connections) == 2


async def test_a_session_that_is_cancelled_leaves_no_connection_and_dials_no_more(
    kinds: tuple[Kind, Kind], autojump_clock: object
) -> None:
    async with call_with(kinds) as (call, voice, ear):
        with trio.move_on_after(2.5):
            await talk(call, 0.5, "what time is it", 9.0)
        call.session.cancel("test")
        await call.session.wait_ended()
        counts = len(voice.connections), len(ear.connections)
        await trio.sleep(60)
        assert (len(voice.connections), len(ear.connections)) == counts
        assert not any(each.is_open for each in [*voice.connections, *ear.connections])


async def test_a_voice_that_is_refused_fails_its_replies_with_one_report_each(
    kinds: tuple[Kind, Kind], autojump_clock: object
) -> None:
    refusals: list[Fault] = [Refuse(401, "no such key")] * 50
    async with call_with(kinds, voice_faults=refusals) as (call, voice, _):
        await talk(call, 0.5, "what time is it", 3.0)
        failures: list[Any] = call.of(Failure)
        assert len(failures) == 1
        assert "credentials" in failures[0].error.fault
        assert call.of(ReplyAudible) == []
        assert len(voice.refused) == 1


async def test_a_client_that_vanished_while_the_voice_fails_at_every_call_is_one_report_and_the_end(
    kinds: tuple[Kind, Kind], autojump_clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    agent, *_ = scripted(answers=[ANSWER] * 50)
    refusals: list[Fault] = [Refuse(401, "no such key")] * 1000
    told: list[Any] = []
    async with open_standin(kinds[0].standin(faults=refusals)) as voice:
        tts = kinds[0].client(voice)
        peer, far_end = memory_peer(traits=Traits(echo="none"))
        async with open_session(
            VanishingPeer(peer, after_s=3.0), Agent(llm=agent.llm, tts=lambda: tts)
        ) as session:
            with session.hub.observed_by(told.append):
                while not session.ending:
                    with suppress(SessionEnded):
                        await session.say("Is anybody there?")
                    await trio.sleep(0.1)
                await session.wait_ended()
        refused = len(voice.refused)
        await trio.sleep(600.0)
    assert [event.where for event in told if isinstance(event, Failure)] == ["reply-1"]
    assert session.result.reason == "peer_gone"
    assert session.result.counters.failures_folded > 10
    assert max(each.time for each in far_end.heard) <= 3.0
    assert len(voice.refused) == refused == 1
    assert len([record for record in caplog.records if record.name == "voicetrio.failures"]) == 1
