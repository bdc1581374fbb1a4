"""The user's voice over a reply: duck, pause, decide."""

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conversation.calls import calling, scripted
from voicetrio.conversation import BargeInSettings, ConversationSettings
from voicetrio.events import (
    AgentStateChanged,
    Ducked,
    FalseInterruption,
    Interrupted,
    Paused,
    ReplyAudible,
    ReplyEnded,
    ReplyOpened,
    Resumed,
    TurnEnded,
)
from voicetrio.runtime.transport import SendAudio, Traits
from voicetrio.services.llm import Message
from voicetrio.testing.simulation import simulate

STORY = " ".join(f"word{k}" for k in range(40))  # ten seconds


def voiced(frame):
    return bool(frame.samples.any())


def last_sound(call):
    """When the last frame with any speech in it reached the caller, in seconds since the call began."""
    times = [
        heard.time - call.t0
        for heard in call.far_end.heard
        if isinstance(heard.operation, SendAudio) and voiced(heard.operation.frame)
    ]
    return times[-1]


async def test_voice_ducks_after_200_ms_and_pauses_after_350(autojump_clock):
    agent, *_ = scripted(hears=["hold on"], answers=["Yes?"], greeting=STORY)
    async with calling(agent) as call:
        call.voice(2.0, 3.0)
        ducked = await call.wait_for(Ducked)
        paused = await call.wait_for(Paused)
        assert call.at(ducked) == pytest.approx(2.2, abs=0.04)
        assert call.at(paused) == pytest.approx(2.35, abs=0.04)
        await trio.sleep(0.3)
        assert last_sound(call) < 2.45


async def test_words_interrupt_and_the_context_holds_what_was_heard(autojump_clock):
    agent, _, llm, _ = scripted(hears=["hold on"], answers=["Yes?"], greeting=STORY)
    async with calling(agent) as call:
        call.voice(2.0, 2.9)
        interrupted = await call.wait_for(Interrupted)
        assert interrupted.because == "words"
        assert call.at(interrupted) == pytest.approx(2.9 + 0.25 + 0.3, abs=0.04)
        greeting = await call.wait_for(ReplyEnded)
        assert greeting.how == "interrupted"
        assert STORY.startswith(greeting.heard)
        # it began after 0.1 s of synthesis, and was stopped 2.35 s into the call: nine words or eight
        assert 7 <= len(greeting.heard.split()) <= 9
        answer = await call.wait_for(ReplyEnded, count=2)
        assert answer.heard == "Yes?"
        greeted, user, answered = call.conversation.context.messages()
        assert (greeted.text, greeted.interrupted) == (greeting.heard, True)
        assert f"{greeted.text} {greeted.unheard}" == STORY
        assert (user, answered) == (Message("user", "hold on"), Message("assistant", "Yes?"))
        assert llm.requests[0][0] == greeted
        spoken = call.spoken()
        assert spoken[-1] == 0  # the answer is one word
        assert spoken[:-1] == list(range(len(spoken) - 1))
        assert abs((len(spoken) - 1) - len(greeting.heard.split())) <= 1


async def test_sustained_voice_interrupts_without_words(autojump_clock):
    agent, *_ = scripted(hears=["so what I wanted to say is this"], answers=["Yes?"], greeting=STORY)
    async with calling(agent) as call:
        call.voice(2.0, 5.0)
        interrupted = await call.wait_for(Interrupted)
        assert interrupted.because == "sustained voice"
        assert call.at(interrupted) == pytest.approx(3.2, abs=0.04)
        assert (await call.wait_for(ReplyEnded, count=2)).text == "Yes?"


async def test_noise_resumes_at_once_where_it_was_heard_and_nothing_is_lost(autojump_clock):
    agent, *_ = scripted(hears=[""], greeting=STORY)
    async with calling(agent) as call:
        call.voice(2.0, 2.45)
        resumed = await call.wait_for(Resumed)
        assert call.of(FalseInterruption)[0].because == "no words"
        assert call.at(resumed) == pytest.approx(2.45 + 0.25 + 0.3, abs=0.04)
        ended = await call.wait_for(ReplyEnded)
        assert (ended.how, ended.heard) == ("played", STORY)
        unique = []
        for word in call.spoken():
            if word not in unique:
                unique.append(word)
        assert unique == sorted(unique)
        assert len(unique) >= 39  # a fade may hide the edge of a word
        assert call.of(TurnEnded, Interrupted) == []
        assert [event.new for event in call.of(AgentStateChanged)][:5] == [
            "thinking",
            "speaking",
            "listening",
            "speaking",
            "listening",
        ]


async def test_a_backchannel_resumes_and_is_no_turn(autojump_clock):
    agent, _, llm, _ = scripted(hears=["Uh-huh."], greeting=STORY)
    async with calling(agent) as call:
        call.voice(2.0, 2.5)
        await call.wait_for(Resumed)
        assert call.of(FalseInterruption)[0].because == "backchannel"
        ended = await call.wait_for(ReplyEnded)
        assert ended.how == "played"
        await trio.sleep(3)
        assert call.of(TurnEnded, Interrupted) == []
        assert llm.requests == []
        assert call.conversation.context.messages() == (Message("assistant", STORY),)


async def test_a_backchannel_in_the_last_second_is_an_answer(autojump_clock):
    agent, *_ = scripted(hears=["Yes."], answers=["Good."], greeting="Shall I go on with it now?")
    async with calling(agent) as call:  # audible from 0.1 to 1.85
        call.voice(1.1, 1.6)
        ended = await call.wait_for(ReplyEnded, count=2)
        assert ended.text == "Good."
        assert [turn.text for turn in call.of(TurnEnded)] == ["Yes."]


async def test_a_recogniser_that_never_answers_does_not_mute_the_agent(autojump_clock):
    agent, *_ = scripted(hears=["never"], greeting=STORY, decode_s=1000.0)
    async with calling(agent) as call:
        call.voice(2.0, 2.5)
        await call.wait_for(Resumed)
        assert call.of(FalseInterruption)[0].because == "timeout"
        assert (await call.wait_for(ReplyEnded)).how == "played"
        call.session.cancel()


async def test_a_late_text_after_a_false_interruption_still_interrupts(autojump_clock):
    agent, *_ = scripted(hears=["stop now"], answers=["Yes?"], greeting=STORY, decode_s=6.0)
    async with calling(agent) as call:
        call.voice(2.0, 2.5)
        await call.wait_for(Resumed)
        assert (await call.wait_for(Interrupted)).because == "words"
        assert len(call.of(FalseInterruption)) == 1


async def test_two_noises_are_two_false_interruptions(autojump_clock):
    agent, *_ = scripted(hears=["", ""], greeting=STORY)
    async with calling(agent) as call:
        call.voice(2.0, 2.5)
        call.voice(5.0, 5.5)
        ended = await call.wait_for(ReplyEnded)
        assert ended.heard == STORY
        assert len(call.of(FalseInterruption)) == len(call.of(Resumed)) == len(call.of(Paused)) == 2


async def test_noises_close_together_keep_the_reply_paused_until_the_last(autojump_clock):
    agent, *_ = scripted(hears=["", ""], greeting=STORY)
    async with calling(agent) as call:
        call.voice(2.0, 2.5)
        call.voice(2.9, 3.3)
        resumed = await call.wait_for(Resumed)
        assert call.at(resumed) == pytest.approx(3.3 + 0.25 + 0.3, abs=0.04)
        assert len(call.of(Paused)) == 1


async def test_a_reply_that_cannot_be_interrupted_is_heard_and_the_turn_answered_after_it(autojump_clock):
    agent, *_ = scripted(hears=["hold on"], answers=["Yes?"])
    async with calling(agent) as call:
        call.voice(2.0, 2.9)
        handle = await call.session.say(STORY, interruptible=False)
        assert handle.heard == STORY
        answer = await call.wait_for(ReplyEnded, count=2)
        assert answer.text == "Yes?"
        assert call.of(Ducked, Paused, Interrupted) == []
        assert call.at(call.of(ReplyAudible)[1]) > 10


async def test_barge_in_can_be_switched_off(autojump_clock):
    off = ConversationSettings(barge_in=BargeInSettings(enabled=False))
    agent, *_ = scripted(hears=["hold on"], answers=["Yes?"], greeting=STORY, settings=off)
    async with calling(agent) as call:
        call.voice(2.0, 2.9)
        assert (await call.wait_for(ReplyEnded)).heard == STORY
        assert (await call.wait_for(ReplyEnded, count=2)).text == "Yes?"
        assert call.of(Ducked, Paused, Interrupted) == []


async def test_nothing_of_the_old_reply_is_heard_after_an_interruption(autojump_clock):
    agent, *_ = scripted(hears=["hold on"], answers=["Yes?"], greeting=STORY)
    traits = Traits(echo="none", lead_s=0.5)
    async with calling(agent, traits=traits) as call:
        call.voice(2.0, 2.9)
        interrupted = await call.wait_for(Interrupted)
        await call.wait_for(ReplyAudible, count=2)
        begun = call.at(call.of(ReplyAudible)[1])
        between = [
            heard
            for heard in call.far_end.heard
            if isinstance(heard.operation, SendAudio)
            and call.at(interrupted) + 0.03 < heard.time - call.t0 < begun - 1e-6
            and voiced(heard.operation.frame)
        ]
        assert between == []


async def test_a_generation_under_way_is_stopped_by_an_interruption(autojump_clock):
    agent, _, llm, tts = scripted(
        hears=["Tell me a story.", "Stop, please."], answers=[STORY, "Fine."], piece_s=0.5
    )
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        await call.wait_for(ReplyAudible)
        await trio.sleep(3)
        await call.speak(0.9)
        assert (await call.wait_for(ReplyEnded, count=2)).text == "Fine."
        assert llm.finished == 1
        assert len(tts.clauses) < 5


async def test_what_was_heard_is_exact_when_the_peer_confirms(autojump_clock):
    agent, *_ = scripted(hears=["hold on"], answers=["Yes?"], greeting=STORY)
    traits = Traits(echo="none", confirms=True)
    async with calling(agent, traits=traits) as call:
        call.voice(2.0, 2.9)
        ended = await call.wait_for(ReplyEnded)
        assert ended.heard_quality == "exact"
        assert STORY.startswith(ended.heard)


async def test_an_interruption_by_request(autojump_clock):
    agent, *_ = scripted(greeting=STORY)
    async with calling(agent) as call:
        handle = call.conversation.say_nowait("and then some more", interruptible=False)
        await call.wait_for(ReplyAudible)
        await trio.sleep(1)
        call.conversation.interrupt()
        assert call.of(Interrupted)[0].because == "request"
        assert (await handle.wait_played()).how == "played"
        handle = call.conversation.say_nowait(STORY, interruptible=False)
        await call.wait_for(ReplyAudible, count=3)
        handle.interrupt()
        assert handle.is_over
        assert (await handle.wait_played()).how == "interrupted"


@settings(max_examples=15, deadline=None)
@given(
    script=st.lists(
        st.tuples(
            st.floats(0.1, 1.5),
            st.floats(0.06, 1.6),
            st.sampled_from(["", "mhm", "go left", "what about this one"]),
        ),
        min_size=1,
        max_size=5,
    ),
    decode_s=st.sampled_from([0.0, 0.3, 1.5]),
    confirms=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_whatever_the_user_does_the_agent_is_never_stuck_and_the_context_is_what_was_heard(
    script, decode_s, confirms, seed
):
    async def main(sim):
        agent, *_ = scripted(
            hears=[text for _, _, text in script],
            answers=lambda messages: f"you said {messages[-1].text}",
            greeting=STORY,
            decode_s=decode_s,
        )
        traits = Traits(echo="none", confirms=confirms)
        async with calling(agent, traits=traits, opener=sim.open_session) as call:
            at = 0.0
            for gap_s, voice_s, _ in script:
                call.voice(at + gap_s, at + gap_s + voice_s)
                at += gap_s + voice_s
            await call.until(at + 40)
            statistics = call.conversation.statistics()
            assert statistics.agent_state == "listening"
            assert statistics.user_state in ("listening", "away")
            assert statistics.replies.live == 0
            for ended in call.of(ReplyEnded):
                assert ended.text.startswith(ended.heard)
                assert ended.how in ("played", "interrupted")
            effects = call.of(Ducked, Paused, Resumed, Interrupted, ReplyEnded)
            is_affected = False
            for event in effects:
                if isinstance(event, Resumed):
                    assert is_affected
                is_affected = isinstance(event, Ducked | Paused)
            assert not is_affected
            opened = {event.reply for event in call.of(ReplyOpened)}
            assert {event.reply for event in call.of(ReplyAudible)} <= opened
        assert call.session.result.error is None

    simulate(main, seed)
