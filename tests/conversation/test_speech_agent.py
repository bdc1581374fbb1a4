"""An agent with a speech-to-speech model, in a session, against the stand-in for OpenAI's Realtime API."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import trio

from tests.conversation.calls import calling
from voicetrio.conversation import ConversationSettings, SpeechAgent, tool
from voicetrio.errors import ServiceError, SessionError
from voicetrio.events import (
    Ducked,
    Failure,
    FalseInterruption,
    Interrupted,
    Paused,
    ReplyAudible,
    ReplyCommitted,
    ReplyEnded,
    ReplyRetracted,
    ToolStarted,
    Transcript,
    TurnEnded,
    UserAway,
)
from voicetrio.services.llm import ToolCall
from voicetrio.services.openai import OpenAIRealtime
from voicetrio.testing.leaks import assert_no_leaks
from voicetrio.testing.standins.openai import OpenAIScript, open_openai_standin
from voicetrio.testing.standins.openai_realtime import RealtimeFault, RealtimeScript


@asynccontextmanager
async def talking(script, faults=(), **options):
    """A call to an agent whose model is the stand-in's."""
    async with open_openai_standin(OpenAIScript(realtime=script)) as standin:
        standin.realtime_faults.extend(faults)
        model = OpenAIRealtime(api_key=standin.key, base_url=standin.base_url)
        call_options = options.pop("call", {})
        async with calling(SpeechAgent(model, **options), **call_options) as call:
            call.standin = standin
            yield call


def user_texts(call):
    return [message.text for message in call.conversation.context.messages() if message.role == "user"]


async def test_a_turn_is_heard_and_answered_by_one_model(autojump_clock) -> None:
    script = RealtimeScript(hears=["go forward"], answers=["one two three"], transcribe_s=0.1)
    async with talking(script, instructions="Be brief.") as call:
        await call.until(1.0)
        await call.speak(0.8)
        turn = await call.wait_for(TurnEnded)
        ended = await call.wait_for(ReplyEnded)
        [server] = call.standin.sessions
        messages = call.conversation.context.messages()
    assert turn.text == "go forward"
    assert turn.position == pytest.approx(1.8 * 16000, abs=0.03 * 16000)
    assert (ended.text, ended.heard, ended.how) == ("one two three", "one two three", "played")
    assert call.spoken() == [0, 1, 2]
    assert [(message.role, message.text) for message in messages] == [
        ("user", "go forward"),
        ("assistant", "one two three"),
    ]
    assert server.session["instructions"] == "Be brief."
    assert "error" not in server.sent


async def test_the_answer_is_made_while_the_turn_still_waits(autojump_clock) -> None:
    script = RealtimeScript(hears=["go forward"], transcribe_s=0.05, first_audio_s=0.1)
    async with talking(script) as call:
        await call.until(1.0)
        await call.speak(0.8)
        committed = await call.wait_for(ReplyCommitted)
        audible = await call.wait_for(ReplyAudible)
    # The server tells the stop after 0.5 s of silence; the turn's wait is 0.7 s.
    assert call.at(committed) == pytest.approx(1.8 + 0.7, abs=0.05)
    assert call.at(audible) - call.at(committed) <= 0.03


async def test_a_barge_in_cancels_the_response_and_cuts_it_where_it_was_heard(autojump_clock) -> None:
    script = RealtimeScript(
        hears=["tell me a story", "stop it now"],
        answers=["a b c d e f g h i j k l m n o p", "all right"],
        word_s=0.1,
    )
    async with talking(script) as call:
        await call.until(1.0)
        await call.speak(0.8)
        audible = await call.wait_for(ReplyAudible)
        await call.until(call.at(audible) + 1.0)
        await call.speak(0.8)
        ended = await call.wait_for(ReplyEnded, how="interrupted")
        await call.wait_for(ReplyEnded, how="played")
        [server] = call.standin.sessions
        assistant = [item for item in server.items.values() if item["role"] == "assistant"]
    assert call.of(Ducked)
    assert call.of(Paused)
    assert ended.text.startswith(ended.heard)
    assert 3 <= len(ended.heard.split()) <= 7
    # The model remembers as much audio as was heard; a word's level tells which one that is.
    cut_ms = server.audio_ms[assistant[0]["id"]]
    assert cut_ms / 250 == pytest.approx(len(ended.heard.split()), abs=0.75)
    kinds = [event["type"] for event in server.received]
    assert kinds.count("conversation.item.truncate") == 1
    assert "error" not in server.sent
    assert user_texts(call) == ["tell me a story", "stop it now"]


async def test_a_response_under_way_is_cancelled_by_a_barge_in(autojump_clock) -> None:
    script = RealtimeScript(
        hears=["tell me a story", "stop it now"],
        answers=["a b c d e f g h i j k l m n o p q r s t", "all right"],
        word_s=0.24,
        late_words=2,
    )
    async with talking(script) as call:
        await call.until(1.0)
        await call.speak(0.8)
        audible = await call.wait_for(ReplyAudible)
        await call.until(call.at(audible) + 1.0)
        await call.speak(0.8)
        await call.wait_for(Interrupted)
        await call.wait_for(ReplyEnded, how="played")
        [server] = call.standin.sessions
    kinds = [event["type"] for event in server.received]
    assert kinds.count("response.cancel") == 1
    assert kinds.index("response.cancel") < kinds.index("conversation.item.truncate")
    assert "error" not in server.sent
    # Nothing of what came late was heard: the second answer has two words.
    assert call.spoken()[-2:] == [0, 1]


async def test_a_noise_ducks_and_the_reply_goes_on(autojump_clock) -> None:
    script = RealtimeScript(hears=["tell me a story", ""], answers=["a b c d e f g h i j k l"])
    async with talking(script) as call:
        await call.until(1.0)
        await call.speak(0.8)
        audible = await call.wait_for(ReplyAudible)
        await call.until(call.at(audible) + 0.8)
        await call.speak(0.3)
        await call.wait_for(FalseInterruption)
        ended = await call.wait_for(ReplyEnded)
        [server] = call.standin.sessions
    assert ended.how == "played"
    assert ended.heard == ended.text
    assert call.spoken() == list(range(12))
    assert "conversation.item.truncate" not in [event["type"] for event in server.received]


async def test_a_user_who_goes_on_takes_the_answer_back_from_the_models_memory(autojump_clock) -> None:
    script = RealtimeScript(hears=["go forward", "and then left"], answers=["wrong answer", "right answer"])
    async with talking(script) as call:
        await call.until(1.0)
        await call.speak(0.8)
        await call.until(1.8 + 0.6)  # told as a stop, not yet a turn
        await call.speak(0.8)
        ended = await call.wait_for(ReplyEnded)
        [server] = call.standin.sessions
        said = [
            item["content"][0].get("transcript")
            for item in server.items.values()
            if item["role"] == "assistant"
        ]
    assert call.of(ReplyRetracted)
    assert ended.text == "right answer"
    assert said == ["right answer"]
    assert user_texts(call) == ["go forward and then left"]


async def test_tools_run_and_their_results_reach_the_model(autojump_clock) -> None:
    asked: list[str] = []

    @tool
    async def look_up(what: str) -> str:
        """Look something up."""
        asked.append(what)
        await trio.sleep(0.1)
        return "noon"

    script = RealtimeScript(
        hears=["what time is it"],
        answers=[[ToolCall("call_1", "look_up", {"what": "time"})], "it is noon"],
    )
    async with talking(script, tools=[look_up]) as call:
        await call.until(1.0)
        await call.speak(0.8)
        ended = await call.wait_for(ReplyEnded)
        [server] = call.standin.sessions
        results = [item for item in server.items.values() if item["type"] == "function_call_output"]
    assert asked == ["time"]
    assert (ended.text, ended.heard) == ("it is noon", "it is noon")
    assert [item["output"] for item in results] == ["noon"]
    assert "error" not in server.sent


async def test_a_greeting_is_said_word_for_word_and_remembered(autojump_clock) -> None:
    async with talking(RealtimeScript(), greeting="Hello, how can I help?") as call:
        ended = await call.wait_for(ReplyEnded)
        await trio.testing.wait_all_tasks_blocked()
        [server] = call.standin.sessions
    assert (ended.text, ended.heard) == ("Hello, how can I help?", "Hello, how can I help?")
    assert call.spoken() == [0, 1, 2, 3, 4]
    assert [item["content"][0]["text"] for item in server.items.values()] == ["Hello, how can I help?"]


async def test_typed_text_is_a_turn_that_the_model_is_told(autojump_clock) -> None:
    script = RealtimeScript(answers=lambda items: items[-1]["content"][0]["text"])
    async with talking(script) as call:
        call.conversation.user_text("what is this")
        ended = await call.wait_for(ReplyEnded)
    assert ended.text == "what is this"


async def test_a_message_and_a_key_are_the_users_acts(autojump_clock) -> None:
    script = RealtimeScript(answers=lambda items: items[-1]["content"][0]["text"])
    async with talking(script, settings=ConversationSettings(away_after_s=2.0)) as call:
        await call.until(1.5)
        call.far_end.dtmf("1")
        await call.until(3.0)
        call.far_end.message({"anything": 1})
        await call.until(4.5)
        assert not call.of(UserAway)
        call.far_end.message({"type": "text", "text": "what is this"})
        ended = await call.wait_for(ReplyEnded)
    assert ended.text == "what is this"


async def test_a_note_reaches_the_model_once_and_before_its_answer(autojump_clock) -> None:
    script = RealtimeScript(answers=["one", "two"])
    async with talking(script, instructions="Be brief.") as call:
        call.conversation.context.add_note("The door is open.")
        for number in (1, 2):
            call.conversation.reply_nowait()
            await call.wait_for(ReplyEnded, number)
        [server] = call.standin.sessions
        notes = [item for item in server.items.values() if item["role"] == "system"]
    assert [note["content"][0]["text"] for note in notes] == ["The door is open."]
    assert next(iter(server.items.values())) is notes[0]


async def test_a_connection_that_is_lost_before_the_first_word_costs_no_answer(autojump_clock) -> None:
    script = RealtimeScript(hears=["go forward"], answers=["one two"], first_audio_s=0.2)
    # The tenth event is response.created; what comes after it is lost.
    async with talking(script, faults=[RealtimeFault(kind="drop", after=10), None]) as call:
        await call.until(1.0)
        await call.speak(0.8)
        ended = await call.wait_for(ReplyEnded)
    assert (ended.how, ended.text, ended.heard) == ("played", "one two", "one two")
    assert len(call.standin.sessions) == 2
    assert not call.of(Failure)


async def test_a_model_that_stalls_fails_its_reply_with_one_failure(autojump_clock) -> None:
    script = RealtimeScript(hears=["go forward", "again"], answers=["one two"])
    async with talking(script, faults=[RealtimeFault(kind="stall", after=14)]) as call:
        await call.until(1.0)
        await call.speak(0.8)
        ended = await call.wait_for(ReplyEnded)
    assert ended.how == "failed"
    [failure] = call.of(Failure)
    assert "gave nothing for 10 s" in str(failure.error)


async def test_tools_end_after_their_rounds(autojump_clock) -> None:
    @tool
    async def look_up() -> str:
        """Look something up."""
        return "noon"

    calls = [[ToolCall(f"call_{number}", "look_up", {})] for number in range(2)]
    script = RealtimeScript(hears=["what time is it"], answers=[*calls, "it is noon"])
    settings = ConversationSettings(max_tool_rounds=2)
    async with talking(script, tools=[look_up], settings=settings) as call:
        await call.until(1.0)
        await call.speak(0.8)
        ended = await call.wait_for(ReplyEnded)
        [server] = call.standin.sessions
        asked = [event["response"] for event in server.received if event["type"] == "response.create"]
    assert ended.text == "it is noon"
    assert [options.get("tool_choice") for options in asked] == [None, None, "none"]


async def test_a_tool_that_is_interrupted_has_a_result_all_the_same(autojump_clock) -> None:
    @tool
    async def look_up() -> str:
        """Look something up."""
        await trio.sleep(30)
        return "noon"

    script = RealtimeScript(
        hears=["what time is it", "never mind"],
        answers=[["let me see", ToolCall("call_1", "look_up", {})], "all right"],
    )
    async with talking(script, tools=[look_up]) as call:
        await call.until(1.0)
        await call.speak(0.8)
        await call.wait_for(ToolStarted)
        await call.until(call.now + 1.0)
        await call.speak(0.8)
        await call.wait_for(ReplyEnded, how="played")
        [server] = call.standin.sessions
        results = [item for item in server.items.values() if item["type"] == "function_call_output"]
    assert [result["output"] for result in results] == ["(cancelled: there is no result)"]
    assert "error" not in server.sent


async def test_a_microphone_that_is_muted_in_mid_speech_ends_the_speech(autojump_clock) -> None:
    script = RealtimeScript(hears=["go forward"], answers=["one two"])
    async with talking(script) as call:
        await call.until(1.0)
        call.voice(1.0, 9.0)
        await call.until(2.0)
        call.muted = True
        turn = await call.wait_for(TurnEnded)
        await call.wait_for(ReplyEnded)
    assert turn.text == "go forward"
    assert call.at(turn) < 4.5


async def test_an_end_in_mid_speech_waits_for_the_words(autojump_clock) -> None:
    script = RealtimeScript(hears=["goodbye then"], transcribe_s=0.3)
    async with talking(script) as call:
        await call.until(1.0)
        call.voice(1.0, 9.0)
        await call.until(2.0)
        call.session.end()
        await call.session.wait_ended()
        assert [event.text for event in call.of(Transcript) if event.final] == ["goodbye then"]
    assert call.session.result.reason == "ended"


async def test_a_lost_connection_costs_no_turn(autojump_clock) -> None:
    script = RealtimeScript(hears=["go forward", "go forward"], answers=["one two"])
    # The first stream is dropped after speech_started.
    async with talking(script, faults=[RealtimeFault(kind="drop", after=3), None]) as call:
        await call.until(1.0)
        await call.speak(0.8)
        ended = await call.wait_for(ReplyEnded)
    assert user_texts(call) == ["go forward"]
    assert (ended.how, ended.heard) == ("played", "one two")
    assert len(call.standin.sessions) == 2


async def test_a_refused_key_ends_the_session_with_one_failure(autojump_clock) -> None:
    fault = RealtimeFault(status=401, message="Incorrect API key provided.")
    with pytest.raises(ExceptionGroup) as caught:
        async with talking(RealtimeScript(), faults=[fault], call={"leave_when_over": True}) as call:
            await call.until(30.0)
    found = caught.value
    while not isinstance(found, SessionError):  # the nurseries of the test wrap it
        [found] = found.exceptions
    [error] = found.exceptions
    assert isinstance(error, ServiceError)
    assert error.fault == "credentials"


@pytest.mark.parametrize("at", [0.0, 0.5, 1.3, 2.0, 2.31, 2.6, 3.0, 3.5])
async def test_a_session_that_is_cancelled_at_any_time_leaves_nothing(at: float, autojump_clock) -> None:
    script = RealtimeScript(hears=["go forward"], answers=["one two three four five six"], word_s=0.2)
    async with open_openai_standin(OpenAIScript(realtime=script)) as standin:
        with assert_no_leaks(channels=False):
            model = OpenAIRealtime(api_key=standin.key, base_url=standin.base_url)
            async with calling(SpeechAgent(model, greeting="Hello."), leave_when_over=True) as call:
                call.voice(1.0, 1.6)
                await call.until(at)
                call.session.cancel("enough")
                await call.session.wait_ended()
            await trio.testing.wait_all_tasks_blocked()  # the server notices, too
        assert standin.server.open_connections == 0
