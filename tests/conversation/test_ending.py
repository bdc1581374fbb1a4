"""How a conversation ends: drained, in order, with nothing left behind."""

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conversation.calls import calling, leaf, scripted
from voicetrio.events import (
    AgentStateChanged,
    FalseInterruption,
    Paused,
    ReplyAudible,
    ReplyCommitted,
    ReplyEnded,
    ReplyOpened,
    ReplyRetracted,
    Resumed,
    TurnEnded,
)
from voicetrio.services.llm import Message
from voicetrio.testing.simulation import simulate

STORY = " ".join(f"word{k}" for k in range(12))  # three seconds


async def test_the_reply_in_hand_is_heard_to_its_end(autojump_clock):
    agent, *_ = scripted(greeting=STORY)
    async with calling(agent) as call:
        await call.wait_for(ReplyAudible)
        await trio.sleep(0.2)
        call.session.end()
        await call.session.wait_ended()
        (ended,) = call.of(ReplyEnded)
        assert (ended.how, ended.heard) == ("played", STORY)
        assert call.of(AgentStateChanged)[-1].new == "idle"
    assert call.session.result.late == ()


async def test_what_was_asked_for_before_the_end_is_said(autojump_clock):
    agent, *_ = scripted()
    async with calling(agent) as call:
        call.conversation.say_nowait("one two")
        call.conversation.say_nowait("goodbye")
        call.session.end()
        await call.session.wait_ended()
        assert [ended.heard for ended in call.of(ReplyEnded)] == ["one two", "goodbye"]


async def test_late_words_enter_the_context_and_open_no_reply(autojump_clock):
    agent, _, llm, _ = scripted(hears=["Go forward."], answers=["Going."], decode_s=1.0)
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        await call.until(1.9)
        conversation = call.conversation
        call.session.end()
        await call.session.wait_ended()
        assert [turn.text for turn in call.of(TurnEnded)] == ["Go forward."]
        assert conversation.context.messages() == (Message("user", "Go forward."),)
        assert llm.requests == []
        assert call.of(ReplyOpened) == []


async def test_speech_that_is_cut_off_by_the_end_is_still_understood(autojump_clock):
    agent, *_ = scripted(hears=["Go for"])
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        await call.until(1.0)
        call.session.end()
        await call.session.wait_ended()
        assert [turn.text for turn in call.of(TurnEnded)] == ["Go for"]


async def test_a_speculative_reply_is_retracted(autojump_clock):
    agent, *_ = scripted(hears=["Go forward."], answers=["Going."])
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        await call.wait_for(ReplyOpened)
        conversation = call.conversation
        call.session.end()
        await call.session.wait_ended()
        assert len(call.of(ReplyRetracted)) == 1
        assert call.of(ReplyCommitted) == []
        assert conversation.context.messages() == (Message("user", "Go forward."),)


async def test_a_pending_pause_resumes_and_there_is_no_barge_in_any_more(autojump_clock):
    agent, *_ = scripted(hears=["stop it now please"], greeting=STORY, decode_s=0.2)
    async with calling(agent) as call:
        call.voice(0.5, 1.2)
        await call.wait_for(Paused)
        call.session.end()
        await call.wait_for(Resumed)
        assert call.of(FalseInterruption)[0].because == "ending"
        await call.session.wait_ended()
        assert [ended.how for ended in call.of(ReplyEnded)] == ["played"]


async def test_the_end_of_a_source_is_an_end(autojump_clock):
    agent, *_ = scripted(greeting=STORY)
    async with calling(agent, microphone=False) as call:
        await call.until(0.5)
        call.far_end.end_source()
        await call.session.wait_ended()
        assert call.session.result.reason == "source_ended"
        assert [ended.how for ended in call.of(ReplyEnded)] == ["played"]


async def test_what_is_not_heard_by_the_deadline_is_cut_and_the_context_knows(autojump_clock):
    agent, *_ = scripted(greeting=STORY)
    async with calling(agent) as call:
        await call.wait_for(ReplyAudible)
        conversation = call.conversation
        call.session.end(grace=1.0)
        await call.session.wait_ended()
        (ended,) = call.of(ReplyEnded)
        assert ended.how == "cut"
        assert STORY.startswith(ended.heard)
        assert 3 <= len(ended.heard.split()) <= 5
        assert conversation.context.messages()[0].text == ended.heard
        assert call.session.result.counters.cut_samples


async def test_a_cancel_cuts_at_once(autojump_clock):
    agent, *_ = scripted(greeting=STORY)
    async with calling(agent) as call:
        await call.wait_for(ReplyAudible)
        await trio.sleep(1)
        before = call.now
        call.session.cancel()
        await call.session.wait_ended()
        assert call.now - before <= 1.0
        (ended,) = call.of(ReplyEnded)
        assert ended.how == "cut"


@settings(max_examples=40, deadline=None)
@given(
    at=st.floats(0.0, 8.0),
    how=st.sampled_from(["end", "end", "cancel", "gone", "source"]),
    grace=st.none() | st.floats(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_ended_at_any_instant_everything_ends_and_every_reply_has_one_end(at, how, grace, seed):
    async def main(sim):
        tasks_before = trio.lowlevel.current_statistics().tasks_living
        agent, *_ = scripted(
            hears=["Tell me more.", "stop it please", "thanks"],
            answers=[STORY, "Fine.", "Bye.", "Bye."],
            greeting="Hello and welcome to this call.",
        )
        async with calling(agent, opener=sim.open_session) as call:
            call.voice(1.0, 2.0)
            call.voice(4.0, 5.0)
            await call.until(at)
            match how:
                case "end":
                    call.session.end(grace)
                case "cancel":
                    call.session.cancel()
                case "gone":
                    call.far_end.hang_up()
                case "source":
                    call.far_end.end_source()
            await call.session.wait_ended()
            over = [event.reply for event in call.of(ReplyEnded, ReplyRetracted)]
            assert sorted(over) == sorted(event.reply for event in call.of(ReplyOpened))
            assert len(set(over)) == len(over)
            for ended in call.of(ReplyEnded):
                assert ended.text.startswith(ended.heard)
            assert call.of(AgentStateChanged)[-1].new == "idle"
        assert call.session.result.error is None
        assert trio.lowlevel.current_statistics().tasks_living == tasks_before

    simulate(main, seed)


@pytest.mark.parametrize("broken", ["vad", "stt", "tts", "llm"])
async def test_a_factory_that_fails_fails_the_session_once(broken, autojump_clock):
    def fail():
        raise OSError(f"no {broken}")

    agent, *_ = scripted(**{broken: fail})
    with pytest.raises(BaseExceptionGroup) as caught:
        async with calling(agent):
            pass
    assert f"no {broken}" in str(leaf(caught.value))
