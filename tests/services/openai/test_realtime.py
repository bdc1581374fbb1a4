"""The Realtime session against the stand-in, without a conversation."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest
import trio
from trio.testing import MockClock

from voicetrio.errors import ConfigError, ServiceError
from voicetrio.events import SpeechStarted, SpeechStopped, Transcript
from voicetrio.frames import AudioFrame, TextFrame
from voicetrio.services.llm import ToolCall, ToolSpec
from voicetrio.services.openai import OpenAIRealtime, RealtimeSession, RealtimeSettings
from voicetrio.services.speech_model import ModelHeard, ModelOutput, ModelResponse
from voicetrio.testing.leaks import assert_no_leaks
from voicetrio.testing.standins.openai import OpenAIScript, OpenAIStandin, open_openai_standin
from voicetrio.testing.standins.openai_audio import speak_words
from voicetrio.testing.standins.openai_realtime import RealtimeFault, RealtimeScript

RATE = 24000
LOOK_UP = ToolSpec("look_up", "Look something up.", {"type": "object", "properties": {}})
CALL = ToolCall("call_1", "look_up", {"what": "time"})


@asynccontextmanager
async def open_session(
    script: RealtimeScript | None = None,
    faults: Sequence[RealtimeFault | None] = (),
    settings: RealtimeSettings | None = None,
) -> AsyncIterator[tuple[RealtimeSession, OpenAIStandin]]:
    async with open_openai_standin(OpenAIScript(realtime=script or RealtimeScript())) as standin:
        standin.realtime_faults.extend(faults)
        model = OpenAIRealtime(api_key=standin.key, base_url=standin.base_url, settings=settings)
        async with model.open_session("Be brief.", [LOOK_UP]) as session:
            yield session, standin


class Mouth:
    """Speaks into a session in frames of 20 ms."""

    def __init__(self, session: RealtimeSession) -> None:
        self._session = session
        self.position = 0

    def say(self, seconds: float, amplitude: int) -> None:
        samples = np.full(round(seconds * RATE), amplitude, np.int16)
        for at in range(0, len(samples), RATE // 50):
            frame = AudioFrame.from_samples(samples[at : at + RATE // 50], RATE, self.position)
            self._session.hear(frame)
            self.position = frame.end

    async def live(self, seconds: float, amplitude: int) -> None:
        for _ in range(round(seconds * 50)):
            self.say(0.02, amplitude)
            await trio.sleep(0.02)


async def outputs_of(response: ModelResponse) -> list[ModelOutput]:
    outputs = []
    while True:
        try:
            outputs.append(await response.receive())
        except trio.EndOfChannel:
            return outputs


def audio_of(outputs: Sequence[ModelOutput]) -> list[int]:
    frames = [output for output in outputs if isinstance(output, AudioFrame)]
    return np.concatenate([frame.samples for frame in frames]).tolist() if frames else []


def text_of(outputs: Sequence[ModelOutput]) -> str:
    return "".join(output.text for output in outputs if isinstance(output, TextFrame))


async def hear_final(session: RealtimeSession) -> list[ModelHeard]:
    heard: list[ModelHeard] = []
    while not (heard and isinstance(heard[-1], Transcript) and heard[-1].final):
        heard.append(await session.receive())
    return heard


async def test_the_session_is_made_what_was_asked_for(autojump_clock: MockClock) -> None:
    settings = RealtimeSettings(voice="marin", language="en", silence_s=0.4, noise_reduction="near_field")
    async with open_session(settings=settings) as (session, standin):
        async with session.respond() as response:
            await outputs_of(response)
        [server] = standin.sessions
    assert standin.upgrades[0].query == {"model": "gpt-realtime"}
    assert standin.upgrades[0].headers["authorization"] == f"Bearer {standin.key}"
    made = server.session
    assert made["instructions"] == "Be brief."
    assert [tool["name"] for tool in made["tools"]] == ["look_up"]
    hearing, speaking = made["audio"]["input"], made["audio"]["output"]
    assert hearing["turn_detection"]["silence_duration_ms"] == 400
    assert not hearing["turn_detection"]["create_response"]
    assert not hearing["turn_detection"]["interrupt_response"]
    assert hearing["transcription"] == {"model": "gpt-4o-mini-transcribe", "language": "en"}
    assert hearing["noise_reduction"] == {"type": "near_field"}
    assert speaking["voice"] == "marin"


async def test_speech_is_told_where_the_voice_was(autojump_clock: MockClock) -> None:
    script = RealtimeScript(hears=["go forward"], transcribe_s=0.2)
    async with open_session(script) as (session, _standin):
        mouth = Mouth(session)
        mouth.say(1.0, 0)
        mouth.say(0.8, 3000)
        mouth.say(1.0, 0)
        heard = await hear_final(session)
    start, stop = RATE, round(1.8 * RATE)
    assert [attrs_of(news) for news in heard] == [
        (SpeechStarted, start, None),
        (SpeechStopped, stop, None),
        (Transcript, stop, "go forward"),
        (Transcript, stop, "go forward"),
    ]
    assert [news.final for news in heard if isinstance(news, Transcript)] == [False, True]


def attrs_of(news: ModelHeard) -> tuple[type, int | None, str | None]:
    return type(news), news.position, news.text if isinstance(news, Transcript) else None


async def test_a_response_gives_text_and_audio_as_they_come(autojump_clock: MockClock) -> None:
    async with open_session(RealtimeScript(answers=["one two three"])) as (session, _standin):
        async with session.respond() as response:
            outputs = await outputs_of(response)
    assert text_of(outputs) == "one two three"
    assert audio_of(outputs) == speak_words("one two three").tolist()


async def test_calls_of_tools_and_their_results(autojump_clock: MockClock) -> None:
    script = RealtimeScript(answers=[[CALL], "It is noon."])
    async with open_session(script) as (session, standin):
        async with session.respond() as response:
            outputs = await outputs_of(response)
        assert outputs == [CALL]
        session.give_result(CALL, "noon")
        async with session.respond() as response:
            assert text_of(await outputs_of(response)) == "It is noon."
        [server] = standin.sessions
    results = [item for item in server.items.values() if item["type"] == "function_call_output"]
    assert [(item["call_id"], item["output"]) for item in results] == [("call_1", "noon")]
    assert "error" not in server.sent


async def test_leaving_a_response_cancels_it_and_drops_what_comes_late(autojump_clock: MockClock) -> None:
    script = RealtimeScript(answers=["one two three four", "yes"], word_s=1.0, late_words=2)
    async with open_session(script) as (session, standin):
        async with session.respond() as response:
            while not isinstance(await response.receive(), AudioFrame):
                pass
        async with session.respond() as second:
            outputs = await outputs_of(second)
        statistics = session.statistics()
        [server] = standin.sessions
    assert text_of(outputs) == "yes"
    assert (statistics.cancelled, statistics.refused) == (1, 0)
    assert statistics.late_events >= 4
    assert [event["type"] for event in server.received].count("response.cancel") == 1


async def test_what_was_not_heard_is_cut_at_the_heard_position(autojump_clock: MockClock) -> None:
    async with open_session(RealtimeScript(answers=["one two three four"])) as (session, standin):
        async with session.respond() as response:
            await outputs_of(response)
        response.settle("one two", 0.6)
        async with session.respond() as second:
            await outputs_of(second)
        [server] = standin.sessions
    assert next(iter(server.audio_ms.values())) == 600
    assert "error" not in server.sent


async def test_what_was_never_heard_is_removed(autojump_clock: MockClock) -> None:
    async with open_session(RealtimeScript(answers=["one two three four"])) as (session, standin):
        async with session.respond() as response:
            await outputs_of(response)
            [server] = standin.sessions
            assert len(server.items) == 1
        response.settle("", 0.0)
        await trio.testing.wait_all_tasks_blocked()
        assert not server.items
        assert "error" not in server.sent


async def test_what_was_heard_whole_is_left_alone(autojump_clock: MockClock) -> None:
    async with open_session(RealtimeScript(answers=["one two"])) as (session, standin):
        async with session.respond() as response:
            await outputs_of(response)
        response.settle("one two", math.inf)
        await trio.testing.wait_all_tasks_blocked()
        [server] = standin.sessions
    kinds = {event["type"] for event in server.received}
    assert not kinds & {"conversation.item.truncate", "conversation.item.delete"}


async def test_a_cancelled_response_is_cut_once_it_is_over(autojump_clock: MockClock) -> None:
    script = RealtimeScript(answers=["one two three four"], word_s=0.5, late_words=1)
    async with open_session(script) as (session, standin):
        with trio.move_on_after(1.2):
            async with session.respond() as response:
                await outputs_of(response)
        response.settle("one", 0.3)
        await trio.sleep(1.0)
        [server] = standin.sessions
    assert list(server.audio_ms.values()) == [300]
    kinds = [event["type"] for event in server.received]
    assert kinds.index("response.cancel") < kinds.index("conversation.item.truncate")
    assert "error" not in server.sent


async def test_what_is_said_word_for_word_stands_beside_the_conversation(autojump_clock: MockClock) -> None:
    async with open_session() as (session, standin):
        async with session.respond("Hello, how can I help?") as response:
            outputs = await outputs_of(response)
        response.settle("Hello, how", 0.5)
        await trio.testing.wait_all_tasks_blocked()
        [server] = standin.sessions
    assert audio_of(outputs) == speak_words("Hello, how can I help?").tolist()
    assert [(item["role"], item["content"][0]["text"]) for item in server.items.values()] == [
        ("assistant", "Hello, how")
    ]


async def test_responses_of_one_conversation_are_made_one_after_the_other(autojump_clock: MockClock) -> None:
    found: list[str] = []
    script = RealtimeScript(answers=["one two", "three four", "five"], word_s=0.3)

    async def one(session: RealtimeSession) -> None:
        async with session.respond() as response:
            found.append(text_of(await outputs_of(response)))

    async with open_session(script) as (session, standin):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(one, session)
        [server] = standin.sessions
    assert sorted(found) == ["five", "one two", "three four"]
    assert "error" not in server.sent


# --- what goes wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["close", "drop", "garbage"])
async def test_a_lost_session_comes_back_and_remembers(kind: str, autojump_clock: MockClock) -> None:
    script = RealtimeScript(hears=["my name is Ada"], answers=["Hello Ada."])
    # session.created, session.updated, started, stopped, committed, added, done, delta, completed: 9 events
    faults = [RealtimeFault(kind=kind, after=9, close_code=1011), None]  # type: ignore[arg-type]
    async with open_session(script, faults) as (session, standin):
        mouth = Mouth(session)
        await mouth.live(0.6, 3000)
        await mouth.live(1.0, 0)
        heard = await hear_final(session)
        assert attrs_of(heard[-1])[2] == "my name is Ada"
        with pytest.raises(ServiceError) as caught:
            async with session.respond() as response:
                await outputs_of(response)
        assert caught.value.transient
        async with session.respond() as response:
            assert text_of(await outputs_of(response)) == "Hello Ada."
        _first, second = standin.sessions
    texts = [item["content"][0].get("text") for item in second.items.values() if item["role"] == "user"]
    assert texts == ["my name is Ada"]


@pytest.mark.parametrize("after", [2, 3, 4, 6, 8])
async def test_speech_that_a_loss_cut_is_heard_again_and_told_once(
    after: int, autojump_clock: MockClock
) -> None:
    """The loss comes before the start, the stop, the commit, or the transcript."""
    # What the first stream commits is not transcribed; the second one has the same script.
    script = RealtimeScript(hears=["lost" if after > 4 else "go forward", "go forward"])
    async with open_openai_standin(OpenAIScript(realtime=script)) as standin:
        standin.realtime_faults.extend([RealtimeFault(kind="drop", after=after), None])
        model = OpenAIRealtime(api_key=standin.key, base_url=standin.base_url)
        async with model.open_session("", []) as session:
            mouth = Mouth(session)
            await mouth.live(1.0, 0)
            start = mouth.position
            await mouth.live(0.8, 3000)
            stop = mouth.position
            await mouth.live(3.0, 0)
            heard = await hear_final(session)
            await trio.testing.wait_all_tasks_blocked()
    finals = [news for news in heard if not (isinstance(news, Transcript) and not news.final)]
    assert [type(news) for news in finals] == [SpeechStarted, SpeechStopped, Transcript]
    assert finals[0].position == pytest.approx(start, abs=RATE // 50)
    assert finals[1].position == finals[2].position == pytest.approx(stop, abs=RATE // 50)


REFUSALS = {
    "key": (RealtimeFault(status=401, message="Incorrect API key provided."), "credentials", False, 1),
    "gone": (RealtimeFault(status=404, message="No such model."), "ours", False, 1),
    "policy": (RealtimeFault(kind="close", close_code=1008, message="policy"), "theirs", False, 1),
    "refused": (
        RealtimeFault(kind="error", after=1, code="invalid_api_key", message="Who is it?"),
        "credentials",
        False,
        1,
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_session_that_is_refused_is_told_once_and_tried_no_more(
    name: str, autojump_clock: MockClock
) -> None:
    fault, blame, transient, dials = REFUSALS[name]
    async with open_session(faults=[fault]) as (session, standin):
        with pytest.raises(ServiceError) as caught:
            await session.receive()
        with pytest.raises(ServiceError):
            async with session.respond():
                pass
        await trio.sleep(60)
        assert len(standin.upgrades) == dials
    assert (caught.value.fault, caught.value.transient) == (blame, transient)
    assert standin.key not in str(caught.value)


async def test_a_server_that_is_busy_is_tried_again(autojump_clock: MockClock) -> None:
    faults = [RealtimeFault(status=429, retry_after="3"), RealtimeFault(status=503), None]
    async with open_session(faults=faults) as (session, standin):
        start = trio.current_time()
        async with session.respond() as response:
            assert text_of(await outputs_of(response)) == "Yes."
        assert trio.current_time() - start >= 3.0
        assert len(standin.upgrades) == 3


async def test_a_server_that_says_nothing_is_given_up_by_the_connection(autojump_clock: MockClock) -> None:
    faults = [RealtimeFault(kind="stall", after=1), None]
    async with open_session(faults=faults) as (session, standin):
        async with session.respond() as response:
            assert text_of(await outputs_of(response)) == "Yes."
        assert len(standin.upgrades) == 2


async def test_an_error_fails_the_response_that_was_being_made(autojump_clock: MockClock) -> None:
    script = RealtimeScript(answers=["one two three", "four"])
    faults = [RealtimeFault(kind="error", after=8, message="The model crashed.")]
    async with open_session(script, faults) as (session, _standin):
        with pytest.raises(ServiceError, match="The model crashed"):
            async with session.respond() as response:
                await outputs_of(response)


async def test_a_session_whose_time_is_over_comes_back(autojump_clock: MockClock) -> None:
    script = RealtimeScript(answers=["one two three", "four"])
    faults = [RealtimeFault(kind="error", after=2, code="session_expired", message="60 minutes."), None]
    async with open_session(script, faults) as (session, standin):
        session.add_text("user", "my name is Ada")
        await trio.sleep(5.0)
        mouth = Mouth(session)
        mouth.say(0.5, 3000)  # what the server says next is that its time is over
        await trio.sleep(5.0)
        async with session.respond() as response:
            assert text_of(await outputs_of(response)) == "one two three"
        assert len(standin.sessions) == 2


async def test_an_error_that_no_response_waits_for_is_counted(autojump_clock: MockClock) -> None:
    async with open_session() as (session, standin):
        async with session.respond() as response:
            await outputs_of(response)
        session.give_result(CALL, "of a call that no stream knows")
        # The server refuses to cut an item that is gone.
        [item_id] = [item["id"] for item in standin.sessions[0].items.values() if item["role"] == "assistant"]
        del standin.sessions[0].items[item_id]
        response.settle("", 0.0)
        await trio.testing.wait_all_tasks_blocked()
        assert session.statistics().refused == 1
        texts = [item["content"][0]["text"] for item in standin.sessions[0].items.values()]
    assert texts == ["The tool look_up returned: of a call that no stream knows"]


async def test_a_server_that_does_not_confirm_a_cancel_is_not_waited_for_longer_than_the_bound(
    autojump_clock: MockClock,
) -> None:
    faults = [RealtimeFault(kind="stall", after=9)]
    async with open_session(RealtimeScript(answers=["one two three"]), faults) as (session, standin):
        with trio.move_on_after(1.0):
            async with session.respond() as response:
                await outputs_of(response)
        start = trio.current_time()
        async with session.respond():
            assert trio.current_time() - start == pytest.approx(5.0)
            await trio.testing.wait_all_tasks_blocked()
        kinds = [event["type"] for event in standin.sessions[0].received]
    assert kinds.count("response.create") == 2


async def test_a_connection_that_gave_up_fails_the_answer_that_waits(autojump_clock: MockClock) -> None:
    async with open_session(faults=[RealtimeFault(status=503)] * 100) as (session, _standin):
        with pytest.raises(ServiceError) as caught:
            async with session.respond():
                pass
    assert caught.value.transient
    assert "gave up" in str(caught.value)


async def test_two_hundred_cancelled_responses_leave_one_socket_and_no_error(
    autojump_clock: MockClock,
) -> None:
    script = RealtimeScript(answers=lambda items: "a b c d e f", word_s=0.1, first_audio_s=0.1, late_words=1)
    with assert_no_leaks(channels=False):
        async with open_session(script) as (session, standin):
            for k in range(200):
                with trio.move_on_after(0.005 * (k % 150)):
                    async with session.respond() as response:
                        await outputs_of(response)
                        response.settle("a b c d e f", math.inf)
                        continue
                if k % 2:
                    continue
            async with session.respond() as response:
                assert text_of(await outputs_of(response)) == "a b c d e f"
            assert standin.server.open_connections == 1
            [server] = standin.sessions
            assert "error" not in server.sent


def test_a_missing_key_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ConfigError, match=r"^OpenAI needs a key: give it api_key=…, or set OPENAI_API_KEY$"):
        OpenAIRealtime()


def test_the_key_is_not_shown() -> None:
    model = OpenAIRealtime(api_key="sk-secret-secret-secret")
    assert "sk-secret" not in f"{model!r} {vars(model)}"


async def test_who_waits_for_a_response_that_the_server_never_began_waits_a_bounded_time(
    autojump_clock: MockClock,
) -> None:
    # The server accepts and says nothing of the response; whatever else it says does not begin the wait anew.
    async with open_session(faults=[RealtimeFault(kind="stall", after=2)]) as (session, _standin):
        first = trio.CancelScope()
        began_at: list[float] = []

        async def answer(scope: trio.CancelScope) -> None:
            with scope:
                async with session.respond():
                    began_at.append(trio.current_time())
                    await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer, first)
            await trio.sleep(1.0)
            nursery.start_soon(answer, trio.CancelScope())
            await trio.sleep(1.0)
            first.cancel()
            for number in range(6):
                await trio.sleep(1.0)
                event = {"item_id": f"item_{number}", "audio_start_ms": 1000 * number}
                session._take(json.dumps({"type": "input_audio_buffer.speech_started", **event}))
            nursery.cancel_scope.cancel()
    assert [round(at - began_at[0]) for at in began_at] == [0, 2 + 5]
