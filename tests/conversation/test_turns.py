"""From the user's words to the agent's reply."""

import numpy as np
import pytest
import trio

from tests.conversation.calls import calling, scripted
from voicetrio.conversation import ConversationSettings, TurnSettings
from voicetrio.errors import ServiceError
from voicetrio.events import (
    AgentStateChanged,
    Failure,
    ReplyAudible,
    ReplyCommitted,
    ReplyEnded,
    ReplyFirstAudio,
    ReplyFirstText,
    ReplyOpened,
    ReplyRetracted,
    TurnEnded,
    TurnStarted,
    UserStateChanged,
)
from voicetrio.runtime.transport import Traits
from voicetrio.services.llm import Message


async def test_a_turn_is_answered(autojump_clock):
    agent, _, llm, _ = scripted(hears=["Go forward."], answers=["Going forward."], instructions="Be brief.")
    async with calling(agent) as call:
        await call.speak(1.0)
        ended = await call.wait_for(ReplyEnded)
        assert (ended.text, ended.heard, ended.how, ended.source) == (
            "Going forward.",
            "Going forward.",
            "played",
            "turn",
        )
        assert llm.requests == [(Message("system", "Be brief."), Message("user", "Go forward."))]
        assert call.conversation.context.messages() == (
            Message("user", "Go forward."),
            Message("assistant", "Going forward."),
        )
        assert call.spoken() == [0, 1]
    assert call.session.result.error is None


async def test_the_reply_is_made_during_the_wait_and_heard_when_the_wait_is_over(autojump_clock):
    """Last voiced sample at 1.5; text at 2.05; the wait ends at 2.2; the audio has been there since 2.2."""
    agent, *_ = scripted(hears=["Go."], answers=["Going."], first_piece_s=0.05, first_audio_s=0.05)
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        audible = await call.wait_for(ReplyAudible)
        turn = call.of(TurnEnded)[0]
        assert turn.waited_s == pytest.approx(0.7, abs=0.03)
        assert turn.stt_s == pytest.approx(0.3)
        assert call.at(call.of(ReplyOpened)[0]) == pytest.approx(2.06, abs=0.03)
        assert call.at(call.of(ReplyFirstText)[0]) == pytest.approx(2.11, abs=0.03)
        assert call.at(call.of(ReplyFirstAudio)[0]) == pytest.approx(2.16, abs=0.03)
        assert call.at(call.of(ReplyCommitted)[0]) == pytest.approx(2.2, abs=0.03)
        assert call.at(audible) - call.at(call.of(ReplyCommitted)[0]) < 0.025


async def test_a_slow_recogniser_costs_only_what_exceeds_the_wait(autojump_clock):
    agent, *_ = scripted(hears=["Go."], answers=["Going."], decode_s=0.8, first_audio_s=0.1)
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        audible = await call.wait_for(ReplyAudible)
        assert call.at(audible) == pytest.approx(1.5 + 0.25 + 0.8 + 0.05 + 0.1, abs=0.06)


async def test_states_follow_the_conversation(autojump_clock):
    agent, *_ = scripted(hears=["Go."], answers=["Going now."], first_audio_s=0.5)
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        await call.wait_for(ReplyEnded)
        await trio.sleep(0.1)
    assert [event.new for event in call.of(AgentStateChanged)] == [
        "listening",
        "thinking",
        "speaking",
        "listening",
        "idle",
    ]
    assert [event.new for event in call.of(UserStateChanged)] == ["speaking", "listening"]


async def test_words_said_during_the_wait_join_the_turn_and_the_speculation_is_retracted(autojump_clock):
    agent, _, llm, _ = scripted(hears=["Go forward", "ten meters."], answers=["Where to?", "Ten it is."])
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        call.voice(2.0, 3.0)
        ended = await call.wait_for(ReplyEnded)
        assert ended.text == "Ten it is."
        assert [turn.text for turn in call.of(TurnEnded)] == ["Go forward ten meters."]
        assert [reply.user_text for reply in call.of(ReplyOpened)] == ["Go forward", "Go forward ten meters."]
        assert len(call.of(ReplyRetracted)) == 1
        assert call.conversation.context.messages()[0] == Message("user", "Go forward ten meters.")
        assert len(llm.requests) == 2
        assert call.spoken() == [0, 1, 2]


async def test_speech_before_the_first_heard_sample_retracts_and_joins_both_texts(autojump_clock):
    """The turn ends at 2.2 and the reply is being made; the user goes on at 2.3."""
    agent, _, llm, _ = scripted(
        hears=["Go forward", "ten meters."], answers=["Where to?", "Ten it is."], first_audio_s=0.6
    )
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        call.voice(2.3, 3.0)
        ended = await call.wait_for(ReplyEnded)
        assert ended.text == "Ten it is."
        assert [turn.text for turn in call.of(TurnEnded)] == ["Go forward", "Go forward ten meters."]
        assert [event.reply for event in call.of(ReplyCommitted)] == ["reply-1", "reply-2"]
        assert [event.reply for event in call.of(ReplyRetracted)] == ["reply-1"]
        assert [event.reply for event in call.of(ReplyAudible)] == ["reply-2"]
        assert call.conversation.context.messages() == (
            Message("user", "Go forward ten meters."),
            Message("assistant", "Ten it is."),
        )
        assert llm.requests[1] == (Message("user", "Go forward ten meters."),)


async def test_noise_before_the_reply_is_heard_costs_time_and_loses_nothing(autojump_clock):
    agent, *_ = scripted(hears=["Go forward", ""], answers=["Going.", "Going."], first_audio_s=0.6)
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        call.voice(2.3, 2.5)
        await call.wait_for(ReplyEnded)
        assert [turn.text for turn in call.of(TurnEnded)] == ["Go forward", "Go forward"]
        assert call.conversation.context.messages() == (
            Message("user", "Go forward"),
            Message("assistant", "Going."),
        )


async def test_noise_alone_opens_nothing(autojump_clock):
    agent, _, llm, _ = scripted(hears=["", ""])
    async with calling(agent) as call:
        call.voice(0.5, 0.7)
        call.voice(3.0, 3.3)
        await call.until(10)
        assert call.of(TurnStarted, TurnEnded, ReplyOpened) == []
        assert llm.requests == []


async def test_each_turn_starts_and_ends_once(autojump_clock):
    agent, *_ = scripted(hears=["One.", "Two."], answers=["A.", "B."])
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        await call.wait_for(ReplyEnded)
        await call.speak(1.0)
        await call.wait_for(ReplyEnded, count=2)
        kinds = [type(event) for event in call.of(TurnStarted, TurnEnded)]
        assert kinds == [TurnStarted, TurnEnded, TurnStarted, TurnEnded]


async def test_a_late_text_joins_the_turn_while_its_reply_can_still_be_retracted(autojump_clock):
    settings = ConversationSettings(turns=TurnSettings(decode_wait_s=0.5))
    agent, _, llm, _ = scripted(
        hears=["Go forward", "ten meters"],
        answers=["Where to?", "Ten it is."],
        decode_s=0.6,
        first_audio_s=3.0,
        settings=settings,
    )
    async with calling(agent) as call:
        call.voice(0.5, 1.0)  # its text comes at 1.85
        call.voice(1.3, 1.5)  # given up at 2.25; its text comes at 2.35, after the end at 2.25
        ended = await call.wait_for(ReplyEnded)
        assert ended.text == "Ten it is."
        assert call.conversation.context.messages()[0].text == "Go forward ten meters"
        assert len(llm.requests) == 2


async def test_a_late_text_after_the_reply_was_heard_enters_the_context_and_opens_nothing(autojump_clock):
    settings = ConversationSettings(turns=TurnSettings(decode_wait_s=0.5))
    agent, _, llm, _ = scripted(
        hears=["Go forward", "ten meters"], answers=["Where to?"], settings=settings, word_s=2.0
    )
    agent.stt()._script[1:] = [type(agent.stt()._script[0])("ten meters", decode_s=3.0)]
    async with calling(agent) as call:
        call.voice(0.5, 1.0)
        call.voice(1.3, 1.5)
        await call.wait_for(ReplyEnded)
        assert [turn.text for turn in call.of(TurnEnded)] == ["Go forward"]
        assert len(llm.requests) == 1
        assert Message("user", "ten meters") in call.conversation.context.messages()


async def test_typed_text_is_a_turn_at_once(autojump_clock):
    agent, *_ = scripted(answers=["Hello."])
    async with calling(agent) as call:
        call.far_end.message({"type": "text", "text": "Hi there"})
        ended = await call.wait_for(ReplyEnded)
        assert ended.text == "Hello."
        turn = call.of(TurnEnded)[0]
        assert (turn.text, turn.waited_s) == ("Hi there", 0.0)
        call.conversation.user_text("...")  # no words, no turn
        await trio.sleep(1)
        assert len(call.of(TurnEnded)) == 1


async def test_typed_text_interrupts_what_is_being_said(autojump_clock):
    agent, *_ = scripted(answers=["B."], greeting="one two three four five six seven eight")
    async with calling(agent) as call:
        await call.wait_for(ReplyAudible)
        await trio.sleep(0.6)
        call.conversation.user_text("stop it")
        greeting = await call.wait_for(ReplyEnded)
        assert greeting.how == "interrupted"
        assert greeting.heard in ("one two", "one two three")
        assert (await call.wait_for(ReplyEnded, count=2)).text == "B."


async def test_a_model_that_fails_is_one_failure_and_the_conversation_goes_on(autojump_clock):
    error = ServiceError("no", service="model")
    agent, *_ = scripted(hears=["One.", "Two."], answers=[[error], "Here."])
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        ended = await call.wait_for(ReplyEnded)
        assert (ended.how, ended.text) == ("failed", "")
        await call.speak(1.0)
        assert (await call.wait_for(ReplyEnded, count=2)).text == "Here."
        assert [failure.error for failure in call.of(Failure)] == [error]
    assert call.session.result.error is None


async def test_what_was_said_before_a_failure_is_heard_and_the_rest_is_known_to_be_unheard(autojump_clock):
    error = ServiceError("no", service="model")
    agent, *_ = scripted(hears=["One."], answers=[["This is said. ", "This is cut short", error]])
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        ended = await call.wait_for(ReplyEnded)
        assert ended.how == "failed"
        assert ended.heard == "This is said."
        message = call.conversation.context.messages()[-1]
        assert (message.text, message.interrupted, message.unheard) == (
            "This is said.",
            True,
            "This is cut short",
        )
        assert len(call.of(Failure)) == 1


class _Mute:
    """A voice that takes text and gives nothing."""

    rate = 24000

    async def speak(self, inlet, outlet):
        async for _ in inlet:
            pass
        await trio.sleep_forever()


class _Hasty:
    """A voice that returns before the text ends."""

    rate = 24000

    async def speak(self, inlet, outlet):
        await inlet.receive()


@pytest.mark.parametrize(
    ("voice", "why"), [(_Mute, "gave nothing for 10 s"), (_Hasty, "before the text's end")]
)
async def test_a_voice_that_fails_fails_the_reply_once(voice, why, autojump_clock):
    agent, *_ = scripted(
        hears=["One."], answers=["One. Two. Three. Four. Five. Six. Seven. Eight."], tts=voice
    )
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        ended = await call.wait_for(ReplyEnded)
        assert ended.how == "failed"
        (failure,) = call.of(Failure)
        assert why in str(failure.error)


async def test_a_model_that_stalls_fails_the_reply(autojump_clock):
    agent, *_ = scripted(hears=["One."], answers=[["Well, ", 60.0, "yes."]])
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        assert (await call.wait_for(ReplyEnded)).how == "failed"
        (failure,) = call.of(Failure)
        assert "gave nothing for 10 s" in str(failure.error)


async def test_a_voice_that_waits_for_a_slow_model_owes_nothing(autojump_clock):
    agent, *_ = scripted(hears=["One."], answers=[["Well then. ", 9.0, "Or ", 9.0, "so."]])
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        assert (await call.wait_for(ReplyEnded)).how == "played"
        assert call.of(Failure) == []


async def test_an_agent_without_a_model_tells_turns_and_leaves_answering_to_the_application(autojump_clock):
    agent, *_ = scripted(hears=["One."], llm=None)
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        await call.wait_for(TurnEnded)
        await call.session.say("As you wish.")
        assert call.conversation.context.messages() == (
            Message("user", "One."),
            Message("assistant", "As you wish."),
        )


async def test_a_file_that_is_read_faster_than_real_time_has_its_turns_by_its_own_time(autojump_clock):
    agent, *_ = scripted(hears=["Hello.", "Goodbye."], llm=None, decode_s=0.0)
    async with calling(agent, traits=Traits(echo="none", live=False), microphone=False) as call:
        for voice, frames in ((0, 50), (1000, 50), (0, 50), (1000, 50), (0, 50)):
            for _ in range(frames):
                await call.far_end.send_audio(np.full(320, voice, np.int16))
        await call.until(1.0)
        assert [turn.text for turn in call.of(TurnEnded)] == ["Hello.", "Goodbye."]
        assert [turn.waited_s for turn in call.of(TurnEnded)] == pytest.approx([0.7, 0.7], abs=0.05)
