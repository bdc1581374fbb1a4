"""The turn source without a VAD, with a recogniser that says what a test tells it to."""

import math

import pytest
import trio

from tests.conversation.calls import calling, scripted
from voicetrio.conversation import Agent, Inbox, RecogniserTurns
from voicetrio.errors import ConfigError
from voicetrio.events import (
    Interrupted,
    ReplyAudible,
    ReplyEnded,
    SpeechStarted,
    SpeechStopped,
    Transcript,
    TranscriptWord,
    TurnEnded,
)
from voicetrio.frames import AudioFrame
from voicetrio.machines.capture_clock import CaptureClock
from voicetrio.services.stt import TurnHeard

RATE = 16000


class ScriptedTurns:
    """Says ``(at_s, text, phase)`` when it has heard so much audio; positions are those it was given."""

    rate = RATE

    def __init__(self, *script, timed=True):
        self.script = list(script)
        self.timed = timed
        self.positions = []
        self.heard_s = 0.0

    async def listen_turns(self, inlet, outlet):
        start = None
        async for frame in inlet:
            self.positions.append((frame.position, frame.sample_count, bool(frame.samples.any())))
            self.heard_s += frame.duration_s
            while self.script and self.script[0][0] <= self.heard_s:
                _, text, phase = self.script.pop(0)
                start = max(0, frame.end - RATE // 5) if start is None else start
                words = tuple(TranscriptWord(word, start, frame.end) for word in text.split())
                await outlet.send(
                    TurnHeard(
                        transcript=Transcript(
                            text=text,
                            final=phase == "over",
                            start=start,
                            position=frame.end,
                            words=words if self.timed else (),
                        ),
                        is_draft=phase == "draft",
                    )
                )
                if phase == "over":
                    start = None


def agent_with(stt, *, answers=("Hello to you all.",) * 5, **rest):
    agent, _, llm, _ = scripted(answers=answers)
    options = {"llm": agent.llm, "tts": agent.tts, **rest}
    return Agent(turn_source=lambda: RecogniserTurns(stt), **options), llm


async def test_a_turn_ends_when_the_recogniser_says_so(autojump_clock):
    agent, llm = agent_with(ScriptedTurns((1.0, "one", ""), (1.5, "one two,", ""), (1.6, "one two,", "over")))
    async with calling(agent) as call:
        turn = await call.wait_for(TurnEnded)
        # Neither the open comma nor the number makes it wait: the recogniser decided.
        assert call.at(turn) == pytest.approx(1.6, abs=0.03)
        assert turn.text == "one two,"
        assert (await call.wait_for(ReplyEnded)).heard == "Hello to you all."
        assert [len(call.of(kind)) for kind in (SpeechStarted, SpeechStopped)] == [1, 1]
        assert [each.text for each in call.of(Transcript)] == ["one", "one two,", "one two,"]
    assert len(llm.requests) == 1


async def test_a_turn_without_words_is_none(autojump_clock):
    agent, llm = agent_with(ScriptedTurns((1.0, "", ""), (1.5, " . ", "over")))
    async with calling(agent) as call:
        await call.until(5)
        assert call.of(SpeechStarted, TurnEnded) == []
    assert llm.requests == []


async def test_words_that_come_at_once_with_the_end_are_a_whole_turn(autojump_clock):
    agent, _ = agent_with(ScriptedTurns((1.0, "yes", "over")))
    async with calling(agent) as call:
        assert (await call.wait_for(TurnEnded)).text == "yes"
        assert len(call.of(SpeechStarted)) == len(call.of(SpeechStopped)) == 1


async def test_without_word_times_a_turn_began_a_moment_before_its_words(autojump_clock):
    agent, _ = agent_with(ScriptedTurns((3.0, "yes", ""), (3.5, "yes", "over"), timed=False))
    async with calling(agent) as call:
        await call.wait_for(TurnEnded)
        (started,) = call.of(SpeechStarted)
        assert 2.4 * RATE <= started.position <= 3.1 * RATE


async def test_a_draft_is_answered_ahead_and_committed_when_the_turn_ends(autojump_clock):
    agent, llm = agent_with(ScriptedTurns((1.0, "yes", ""), (1.2, "yes", "draft"), (3.0, "yes", "over")))
    async with calling(agent) as call:
        await call.until(2.9)
        assert len(llm.requests) == llm.finished == 1
        assert call.of(ReplyAudible) == []
        audible = await call.wait_for(ReplyAudible)
        assert call.at(audible) - 3.0 < 0.06
        await call.wait_for(ReplyEnded)
    assert len(llm.requests) == 1


@pytest.mark.parametrize("more", ["yes no", ""])
async def test_a_draft_that_was_none_is_taken_back(more, autojump_clock):
    script = ((1.0, "yes", "draft"), (2.0, more or "yes please", ""), (4.0, "yes no", "over"))
    agent, llm = agent_with(ScriptedTurns(*script))
    async with calling(agent) as call:
        assert (await call.wait_for(TurnEnded)).text == "yes no"
        assert (await call.wait_for(ReplyEnded)).how == "played"
        assert len(call.of(ReplyAudible)) == 1
    assert [messages[-1].text for messages in llm.requests] == ["yes", "yes no"]


async def test_the_same_words_again_leave_a_draft_as_it_is(autojump_clock):
    script = ((1.0, "yes", "draft"), (1.5, "yes", ""), (2.0, "yes", "over"))
    agent, llm = agent_with(ScriptedTurns(*script))
    async with calling(agent) as call:
        await call.wait_for(ReplyEnded)
    assert len(llm.requests) == 1


async def test_words_interrupt_and_a_backchannel_is_no_turn(autojump_clock):
    script = ((1.0, "hi", "over"), (2.0, "mhm", ""), (2.2, "mhm", "over"), (2.5, "stop now", ""))
    agent, _ = agent_with(ScriptedTurns(*script), answers=["One two three four five six seven eight."] * 3)
    async with calling(agent) as call:
        await call.until(2.4)
        assert call.of(Interrupted) == []
        assert len(call.of(TurnEnded)) == 1
        interrupted = await call.wait_for(Interrupted)
        assert call.at(interrupted) == pytest.approx(2.5, abs=0.03)


async def test_a_microphone_that_sends_nothing_is_silence_and_positions_stay_true(autojump_clock):
    stt = ScriptedTurns((1.0, "yes", ""), (1.6, "yes", "over"), (5.0, "no", "over"))
    agent, _ = agent_with(stt)
    async with calling(agent) as call:
        await call.until(1.11)
        call.muted = True
        turn = await call.wait_for(TurnEnded)
        assert call.at(turn) == pytest.approx(1.1 + 1.0 + 0.5, abs=0.15)
        await call.until(60)
        silences = len(stt.positions)
        await call.until(120)
        assert len(stt.positions) == silences  # nothing is given for ever
        call.muted = False
        turn = await call.wait_for(TurnEnded, count=2)
        rate = call.far_end.traits.input_rate
        end = call.session._context._conversation.captured
        assert end - rate < turn.position <= end
    starts = [position for position, _, _ in stt.positions]
    assert starts == sorted(starts)


async def test_a_turn_of_which_nothing_more_is_told_is_given_up_and_not_told_again(autojump_clock):
    stt = ScriptedTurns((1.0, "yes please", ""), (30.0, "yes please", "over"), (32.0, "no", "over"))
    agent, _ = agent_with(stt)
    async with calling(agent) as call:
        turn = await call.wait_for(TurnEnded)
        assert turn.text == "yes please"
        assert call.at(turn) == pytest.approx(1.0 + 12.0, abs=0.03)
        assert (await call.wait_for(TurnEnded, count=2)).text == "no"
        assert call.at(call.of(TurnEnded)[1]) == pytest.approx(32.0, abs=0.03)


async def test_typed_text_is_a_turn_too(autojump_clock):
    agent, _ = agent_with(ScriptedTurns())
    async with calling(agent) as call:
        await call.until(1)
        call.conversation.user_text("typed")
        assert (await call.wait_for(TurnEnded)).text == "typed"


async def test_the_session_ends_with_the_turn_that_was_open(autojump_clock):
    agent, _ = agent_with(ScriptedTurns((1.0, "yes", ""), (math.inf, "", "over")))
    async with calling(agent) as call:
        await call.until(1.5)
        call.session.end()
        await call.session.wait_ended()
        context = call.conversation.context.messages()
    assert [message.text for message in context if message.role == "user"] == ["yes"]


def test_a_recogniser_without_turns_is_refused():
    class Plain:
        rate = RATE

    with pytest.raises(ConfigError, match="Plain decides no turns"):
        RecogniserTurns(Plain())


async def test_frames_of_another_rate_are_refused(autojump_clock):
    source = RecogniserTurns(ScriptedTurns())
    to_source, inlet = trio.open_memory_channel(1)
    to_source.send_nowait(AudioFrame.silence(80, 8000))
    inbox = Inbox(CaptureClock(RATE, 0.0), RATE, live=True, max_items=10)
    with pytest.RaisesGroup(pytest.RaisesExc(ConfigError, match="8000 Hz"), flatten_subgroups=True):
        await source.run(inlet, inbox)
