"""What the application makes the agent say, and whose turn it is to be heard."""

import pytest
import trio

from tests.conversation.calls import calling, scripted
from voicetrio.conversation import ConversationSettings
from voicetrio.errors import ConfigError, SessionEnded
from voicetrio.events import AgentStateChanged, ReplyAudible, ReplyEnded, ReplyRetracted, ReplyWord, UserAway
from voicetrio.services.llm import Message

SETTINGS = ConversationSettings(away_after_s=None)


async def test_say_returns_when_it_was_heard(autojump_clock):
    agent, *_ = scripted()
    async with calling(agent) as call:
        handle = await call.session.say("one two three four")
        assert 1.0 < call.now < 1.4
        assert (handle.text, handle.heard, handle.is_over) == ("one two three four",) * 2 + (True,)
        assert (await handle.wait_played()).how == "played"
        assert call.conversation.context.messages() == (Message("assistant", "one two three four"),)


async def test_each_word_is_told_where_it_lies_before_its_audio(autojump_clock):
    agent, *_ = scripted()
    async with calling(agent) as call:
        await call.session.say("one two three four")
        audible = call.of(ReplyAudible)[0]
        words = call.of(ReplyWord)
        quarter = round(0.25 * call.session.playout.rate)
        assert [(word.text, word.position - audible.position) for word in words] == [
            (text, k * quarter) for k, text in enumerate(["one", "two", "three", "four"])
        ]
        assert {word.reply for word in words} == {audible.reply}


async def test_say_need_not_wait(autojump_clock):
    agent, *_ = scripted()
    async with calling(agent) as call:
        handle = await call.session.say("one two three four", wait_played=False)
        assert call.now < 0.1
        assert not handle.is_over
        assert handle.source == "say"
        assert handle.interruptible
        await handle.wait_played()


async def test_cancelling_say_does_not_take_back_what_it_said(autojump_clock):
    agent, *_ = scripted()
    async with calling(agent) as call:
        with trio.move_on_after(0.5):
            await call.session.say("one two three four")
        assert (await call.wait_for(ReplyEnded)).heard == "one two three four"


async def test_what_is_said_is_heard_in_the_order_in_which_it_was_asked_for(autojump_clock):
    agent, *_ = scripted(greeting="hello")
    async with calling(agent) as call:
        for text in ("one", "two", "three"):
            call.conversation.say_nowait(text)
        await call.wait_for(ReplyEnded, count=4)
        assert [event.heard for event in call.of(ReplyEnded)] == ["hello", "one", "two", "three"]


async def test_a_higher_priority_goes_before_what_waits_but_interrupts_nothing(autojump_clock):
    agent, *_ = scripted()
    async with calling(agent) as call:
        call.conversation.say_nowait("one one one one")
        await call.wait_for(ReplyAudible)
        call.conversation.say_nowait("two")
        call.conversation.say_nowait("urgent", priority=1)
        await call.wait_for(ReplyEnded, count=3)
        assert [event.heard for event in call.of(ReplyEnded)] == ["one one one one", "urgent", "two"]


async def test_a_filler_is_heard_while_the_answer_is_still_thought_about(autojump_clock):
    agent, *_ = scripted(hears=["Hard question?"], answers=["An answer."], first_piece_s=4.0)
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        await call.until(2.5)
        await call.session.say("one moment")
        assert call.now < 4
        await call.wait_for(ReplyEnded, count=2)
        assert [event.heard for event in call.of(ReplyEnded)] == ["one moment", "An answer."]


async def test_the_agent_does_not_begin_while_the_user_has_the_turn(autojump_clock):
    agent, *_ = scripted(hears=["Let me tell you."], answers=["I see what you mean."])
    async with calling(agent) as call:
        call.voice(0.5, 3.0)
        await call.until(1.5)
        call.conversation.say_nowait("by the way")
        audible = await call.wait_for(ReplyAudible)
        assert audible.reply == "reply-1"
        assert call.at(audible) > 3.7
        await call.wait_for(ReplyEnded, count=2)
        assert [event.heard for event in call.of(ReplyEnded)] == ["by the way", "I see what you mean."]


async def test_a_user_who_never_ends_does_not_hold_the_agent_for_ever(autojump_clock):
    agent, *_ = scripted()
    async with calling(agent) as call:
        call.voice(0.5, 60.0)
        await call.until(1.5)
        call.conversation.say_nowait("the house is on fire", interruptible=False)
        audible = await call.wait_for(ReplyAudible)
        assert call.at(audible) == pytest.approx(1.5 + 5.0, abs=0.1)


async def test_a_greeting_is_said_first_and_can_be_long(autojump_clock):
    agent, *_ = scripted(greeting="Hello there, this is a long greeting. It has two sentences.")
    async with calling(agent) as call:
        ended = await call.wait_for(ReplyEnded)
        assert ended.source == "greeting"
        assert ended.heard == "Hello there, this is a long greeting. It has two sentences."
        assert [event.new for event in call.of(AgentStateChanged)][:2] == ["thinking", "speaking"]


async def test_nothing_to_say_is_refused(autojump_clock):
    agent, *_ = scripted()
    async with calling(agent) as call:
        with pytest.raises(ConfigError, match="nothing to say"):
            await call.session.say(" ... ")


async def test_saying_after_the_end_is_refused(autojump_clock):
    agent, *_ = scripted()
    async with calling(agent) as call:
        call.session.end()
        conversation = call.conversation
        for refused in (
            lambda: conversation.say_nowait("too late"),
            lambda: conversation.user_text("too late"),
            conversation.reply_nowait,
        ):
            with pytest.raises(SessionEnded):
                refused()
        with pytest.raises(SessionEnded):
            await call.session.say("too late")


async def test_the_model_can_be_made_to_speak_without_a_turn(autojump_clock):
    agent, _, llm, _ = scripted(answers=["So, shall we begin?"], instructions="Open the call.")
    async with calling(agent) as call:
        handle = call.conversation.reply_nowait()
        await handle.wait_played()
        assert handle.heard == "So, shall we begin?"
        assert llm.requests == [(Message("system", "Open the call."),)]


async def test_a_user_who_is_away_is_told_of_and_asked_twice(autojump_clock):
    settings = ConversationSettings(away_after_s=10.0, idle_prompt="Are you there?")
    agent, *_ = scripted(settings=settings)
    async with calling(agent) as call:
        await call.until(60)
        assert [event.count for event in call.of(UserAway)] == [1, 2, 3, 4, 5]
        assert [event.source for event in call.of(ReplyEnded)] == ["idle", "idle"]
        assert call.conversation.statistics().user_state == "away"


async def test_a_user_who_speaks_before_the_prompt_is_heard_is_not_asked(autojump_clock):
    settings = ConversationSettings(away_after_s=10.0, idle_prompt="Are you there?")
    agent, *_ = scripted(hears=["Here I am."], answers=["Good."], settings=settings, first_audio_s=1.0)
    async with calling(agent) as call:
        call.voice(10.2, 11.0)
        ended = await call.wait_for(ReplyEnded)
        assert ended.heard == "Good."
        assert [event.reply for event in call.of(ReplyRetracted)] == ["reply-1"]


async def test_nobody_is_away_while_the_agent_speaks(autojump_clock):
    settings = ConversationSettings(away_after_s=3.0)
    agent, *_ = scripted(settings=settings)
    async with calling(agent) as call:
        await call.session.say(" ".join(["word"] * 40))
        assert call.of(UserAway) == []
        await trio.sleep(3.1)
        assert len(call.of(UserAway)) == 1
        call.far_end.dtmf("1")
        await trio.sleep(0.1)
        assert call.conversation.statistics().user_state == "listening"


async def test_the_longest_duration_ends_the_session(autojump_clock):
    agent, *_ = scripted(settings=ConversationSettings(max_duration_s=30.0))
    async with calling(agent) as call:
        await call.session.wait_ended()
        assert call.now == pytest.approx(30.0, abs=0.5)
    assert call.session.result.reason == "max_duration"
