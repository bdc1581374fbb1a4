"""Recognisers that follow turns by themselves, without a VAD: alone, and as the ears of a whole session."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from tests.conversation.calls import Call, calling, scripted
from tests.services.kinds import RECOGNISERS, Kind
from tests.services.test_recognisers import FAULTS
from tests.services.test_sessions import talk
from tests.services.vendors import noting_events, plain, speech
from voicetrio.conversation import Agent, RecogniserTurns
from voicetrio.errors import ConfigError, ServiceError
from voicetrio.events import (
    Failure,
    Interrupted,
    ReplyEnded,
    SpeechStarted,
    SpeechStopped,
    Transcript,
    TurnEnded,
    TurnStarted,
    WorkLost,
)
from voicetrio.frames import AudioFrame
from voicetrio.services.cartesia import CartesiaSTT, CartesiaTurns
from voicetrio.services.stt import TurnHeard, TurnSTT
from voicetrio.testing.standins.cartesia import CartesiaStandin
from voicetrio.testing.standins.fault import CloseWith, Drop, Fault, Stall
from voicetrio.testing.standins.server import Standin, open_standin

RATE = 16000
FIRST, SECOND, THIRD = "go forward ten meters", "what time is it", "yes please"
TURN_ENDS_S = {"flux": 0.6, "assemblyai": 0.56, "cartesia turns": 0.6}
"""How long the stand-ins wait for more."""


KINDS = [
    *(kind for kind in RECOGNISERS if kind.name in TURN_ENDS_S),
    Kind("cartesia turns", CartesiaStandin, CartesiaTurns, "CARTESIA_API_KEY"),
]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


async def listen_turns(stt: TurnSTT, frames: Sequence[Any], *, after_s: float = 0.0) -> list[TurnHeard]:
    """Give ``frames`` in real time; return what was told.  Raises what ``listen_turns`` raised."""
    failures: list[Exception] = []
    to_stt, inlet = trio.open_memory_channel[AudioFrame](1000)
    told, heard = trio.open_memory_channel[TurnHeard](100)

    async def feed() -> None:
        async with to_stt:
            start = trio.current_time()
            for frame in frames:
                await trio.sleep_until(start + (frame.end - frames[0].position) / RATE)
                await to_stt.send(frame)
            await trio.sleep(after_s)

    async def recognise() -> None:
        async with told:
            try:
                await stt.listen_turns(inlet, told)
            except Exception as error:
                failures.append(error)
                nursery.cancel_scope.cancel()

    result: list[TurnHeard] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed)
        nursery.start_soon(recognise)
        with trio.fail_after(1000):
            result = [each async for each in heard]
    if failures:
        raise failures[0]
    return result


def audio(*parts: str | float) -> list[Any]:
    return [item for item in speech(RATE, *parts)[0] if isinstance(item, AudioFrame)]


def turns(heard: Sequence[TurnHeard]) -> list[str]:
    texts = [plain(each.transcript.text) for each in heard if each.transcript.final]
    return [text for text in texts if text]


CALL = (1.0, FIRST, 1.5, SECOND, 1.5, THIRD, 1.5)

CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "flux": ({"keyterms": ["before"]}, {"keyterms": ["meters"]}),
    "assemblyai": ({"keyterms": ["before"]}, {"keyterms": ["meters"]}),
    "cartesia turns": ({"end_timeout_ms": 3000}, {"end_timeout_ms": 2000}),
}

# --- the recogniser alone ---


async def test_the_vendor_ends_turns_by_itself(kind: Kind, autojump_clock: object) -> None:
    async with open_standin(kind.standin()) as standin:
        heard = await listen_turns(kind.client(standin), audio(*CALL))
        assert turns(heard) == [FIRST, SECOND, THIRD]
        commands = [text["type"] for text in standin.last.texts]
    # Cartesia drafts turns without being asked to.
    assert any(each.is_draft for each in heard) == (kind.name == "cartesia turns")
    assert not {"ForceEndTurn", "ForceEndpoint"} & set(commands)
    interims = [plain(each.transcript.text) for each in heard if not each.transcript.final]
    assert interims[0] == "go"


async def test_the_turn_that_is_open_when_the_audio_ends_is_told(kind: Kind, autojump_clock: object) -> None:
    async with open_standin(kind.standin()) as standin:
        heard = await listen_turns(kind.client(standin), audio(0.5, FIRST, 1.5, SECOND))
    assert turns(heard) == [FIRST, SECOND]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_after_a_fault_every_word_is_in_a_turn_and_none_twice(
    kind: Kind, fault: Fault, autojump_clock: object
) -> None:
    async with open_standin(kind.standin(faults=[fault])) as standin, noting_events() as events:
        heard = await listen_turns(kind.client(standin), audio(*CALL), after_s=8.0)
    assert " ".join(turns(heard)).split() == f"{FIRST} {SECOND} {THIRD}".split()
    assert not [event for event in events if isinstance(event, WorkLost)]


async def test_silence_between_turns_is_not_given_again(kind: Kind, autojump_clock: object) -> None:
    async with open_standin(kind.standin(faults=[Drop(after_s=60.0)])) as standin:
        frames = audio(0.5, FIRST, 65.0, SECOND, 1.5)
        heard = await listen_turns(kind.client(standin), frames)
        given_s = len(standin.connections[1].audio) / 2 / RATE
    assert turns(heard) == [FIRST, SECOND]
    new_s = frames[-1].end / RATE - 60.0
    assert new_s < given_s < new_s + 8.5


async def test_a_vendor_that_falls_silent_in_a_turn_is_replaced(kind: Kind, autojump_clock: object) -> None:
    # How far ahead of the clock AssemblyAI lets audio run is not told: that is another test's subject.
    options = {"ahead_s": 30.0} if kind.name == "assemblyai" else {}
    async with open_standin(kind.standin(faults=[Stall(after=3)], **options)) as standin:
        heard = await listen_turns(kind.client(standin), audio(0.5, FIRST, 20.0))
        assert len(standin.connections) == 2
    assert turns(heard) == [FIRST]


async def test_what_was_changed_is_told_to_every_further_stream(kind: Kind, autojump_clock: object) -> None:
    async with open_standin(kind.standin(faults=[CloseWith(after_s=3.0, code=1011)])) as standin:
        stt = kind.client(standin)
        before, after = CHANGES[kind.name]
        stt.configure(**before)
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def change() -> None:
                await trio.sleep(2.0)
                stt.configure(**after)

            heard = await listen_turns(stt, audio(*CALL))
        told = [
            [text for text in each.texts if text["type"] in ("Configure", "UpdateConfiguration", "config")]
            for each in standin.connections
        ]
    assert turns(heard) == [FIRST, SECOND, THIRD]
    (old, new), (again,) = told
    assert old != new == again
    assert all(str(value) in str(new) for value in after.values())


# --- Flux: drafts and changed thresholds ---

FLUX = next(kind for kind in RECOGNISERS if kind.name == "flux")


async def test_flux_drafts_a_turn_before_it_ends(autojump_clock: object) -> None:
    async with open_standin(FLUX.standin()) as standin:
        stt = FLUX.client(standin, eager_eot_threshold=0.4)
        heard = await listen_turns(stt, audio(0.5, FIRST, 0.4, SECOND, 1.5))
    drafts = [plain(each.transcript.text) for each in heard if each.is_draft]
    assert drafts == [FIRST, f"{FIRST} {SECOND}"]
    assert turns(heard) == [f"{FIRST} {SECOND}"]


async def test_flux_is_told_a_threshold_while_it_listens(autojump_clock: object) -> None:
    async with open_standin(FLUX.standin()) as standin:
        stt = FLUX.client(standin)
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def change() -> None:
                await trio.sleep(3.5)
                stt.configure(eager_eot_threshold=0.4)
                stt.configure(eot_timeout_ms=3000)

            heard = await listen_turns(stt, audio(*CALL))
        commands = [text for text in standin.last.texts if text["type"] == "Configure"]
    assert [plain(each.transcript.text) for each in heard if each.is_draft] == [SECOND, THIRD]
    assert [command["thresholds"] for command in commands][-1] == {
        "eager_eot_threshold": 0.4,
        "eot_timeout_ms": 3000,
    }


@pytest.mark.parametrize(
    "change",
    [{"eot_threshold": 1.0}, {"eager_eot_threshold": 0.1}, {"eot_timeout_ms": 100}],
)
def test_a_threshold_that_flux_never_takes_is_refused_at_once(change: dict[str, Any]) -> None:
    stt = FLUX.make(api_key="key")
    with pytest.raises(ConfigError, match=next(iter(change))):
        stt.configure(**change)
    with pytest.raises(ConfigError, match="must not be above"):
        FLUX.make(api_key="key", eot_threshold=0.5, eager_eot_threshold=0.6)


async def test_a_change_that_deepgram_does_not_take_is_one_failure_and_it_listens_on(
    autojump_clock: object,
) -> None:
    failure = {
        "type": "ConfigureFailure",
        "request_id": "1",
        "sequence_id": 1,
        "code": "INVALID_KEYTERMS",
        "description": "too many",
    }
    async with open_standin(FLUX.standin()) as standin, noting_events() as events:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def refuse() -> None:
                await trio.sleep(2.0)
                await standin.last.send(failure)

            heard = await listen_turns(FLUX.client(standin), audio(*CALL))
        assert len(standin.connections) == 1
    assert turns(heard) == [FIRST, SECOND, THIRD]
    (told,) = [event for event in events if isinstance(event, Failure)]
    assert isinstance(told.error, ServiceError)
    assert "did not take the changed options: too many" in str(told.error)


# --- whole sessions ---

ANSWER = "It is five in the morning. Please go and sleep well, my friend."


@asynccontextmanager
async def call_with(
    kind: Kind, *, faults: Sequence[Fault] = (), **options: Any
) -> AsyncIterator[tuple[Call, Standin, Any]]:
    agent, _, llm, _ = scripted(answers=[ANSWER] * 6)
    async with open_standin(kind.standin(faults=faults)) as ear:
        stt = kind.client(ear, **options)
        agent = Agent(llm=agent.llm, tts=agent.tts, turn_source=lambda: RecogniserTurns(stt))
        async with calling(agent, microphone=False) as call:
            yield call, ear, llm
        assert not any(each.is_open for each in ear.connections)


async def test_a_session_answers_when_the_vendor_ends_the_turn(kind: Kind, autojump_clock: object) -> None:
    async with call_with(kind) as (call, ear, _):
        await talk(call, 0.5, FIRST, 10.0)
        (turn,) = call.of(TurnEnded)
        assert plain(turn.text) == FIRST
        tells_times = kind.name != "cartesia turns"
        waited_s = TURN_ENDS_S[kind.name] if tells_times else 0.0
        assert turn.waited_s == pytest.approx(waited_s, abs=0.15)
        (ended,) = call.of(ReplyEnded)
        assert (ended.heard, ended.how) == (ANSWER, "played")
        (started,), (stopped,) = call.of(SpeechStarted), call.of(SpeechStopped)
        rate = call.far_end.traits.input_rate
        # Without word times, words are taken for as late as they came.
        slack_s = 0.1 if tells_times else 0.7
        assert started.position == pytest.approx(0.5 * rate, abs=slack_s * rate)
        assert stopped.position == pytest.approx(0.5 * rate + 1.32 * rate, abs=slack_s * rate)
        (final,) = [each for each in call.of(Transcript) if each.final]
        assert final.position == stopped.position
        assert len(ear.connections) == 1
        assert call.of(Failure) == []


async def test_the_users_words_interrupt_and_a_backchannel_does_not(
    kind: Kind, autojump_clock: object
) -> None:
    vocabulary = (*"mhm stop left right".split(), *SECOND.split())
    async with call_with(kind) as (call, ear, _):
        ear.vocabulary = vocabulary  # type: ignore[attr-defined]
        await talk(call, 0.5, SECOND, 1.6, "mhm", 12.0)
        assert call.of(Interrupted) == []
        assert [each.how for each in call.of(ReplyEnded)] == ["played"]
        await talk(call, SECOND, 1.6, "stop left right", 12.0)
        assert len(call.of(Interrupted)) == 1
        assert [each.how for each in call.of(ReplyEnded)] == ["played", "interrupted", "played"]
        assert len(call.of(TurnEnded)) == 3


async def test_a_muted_microphone_ends_the_turn(kind: Kind, autojump_clock: object) -> None:
    async with call_with(kind) as (call, _, _):
        await talk(call, 0.5, FIRST)
        await trio.sleep(1.0 + 2.0)
        (turn,) = call.of(TurnEnded)
        assert plain(turn.text) == FIRST
        await trio.sleep(100.0)
        await talk(call, SECOND)
        await trio.sleep(3.0)
        assert [plain(each.text) for each in call.of(TurnEnded)] == [FIRST, SECOND]


async def test_a_lost_stream_costs_no_word_of_the_turn(kind: Kind, autojump_clock: object) -> None:
    async with call_with(kind, faults=[CloseWith(after_s=1.5, code=1011)]) as (call, ear, _):
        await talk(call, 0.5, FIRST, 8.0)
        assert [plain(each.text) for each in call.of(TurnEnded)] == [FIRST]
        assert len(call.of(TurnStarted)) == 1
        assert len(ear.connections) == 2


async def test_a_turn_is_given_up_when_nothing_more_of_it_comes(kind: Kind, autojump_clock: object) -> None:
    faults: list[Fault] = [Stall(after=5)] * 20
    async with call_with(kind, faults=faults) as (call, _, _):
        await talk(call, 0.5, FIRST, 40.0)
        (turn,) = call.of(TurnEnded)
        assert plain(turn.text)
        assert FIRST.startswith(plain(turn.text))
        assert [each.how for each in call.of(ReplyEnded)] == ["played"]


async def test_a_refused_key_ends_the_session_with_one_error(kind: Kind, autojump_clock: object) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with call_with(kind, api_key="a-wrong-key") as (call, _, _):
            await talk(call, 0.5, FIRST, 5.0)
    error = caught.value
    while isinstance(error, ExceptionGroup):
        (error,) = error.exceptions
    assert isinstance(error, ServiceError)
    assert error.fault == "credentials"
    assert "a-wrong-key" not in str(error)


async def test_a_draft_prepares_the_reply_and_more_words_take_it_back(autojump_clock: object) -> None:
    async with call_with(FLUX, eager_eot_threshold=0.4) as (call, _, llm):
        await talk(call, 0.5, FIRST, 0.45, SECOND, 10.0)
        (turn,) = call.of(TurnEnded)
        assert plain(turn.text) == f"{FIRST} {SECOND}"
        asked = [plain(messages[-1].text) for messages in llm.requests]
        # Twice ahead of the end: the second draft was the turn, so nothing was asked again at the end.
        assert asked == [FIRST, f"{FIRST} {SECOND}"]
        (ended,) = call.of(ReplyEnded)
        assert ended.heard == ANSWER


def test_a_recogniser_that_decides_no_turns_is_refused() -> None:
    with pytest.raises(ConfigError, match="CartesiaSTT decides no turns"):
        RecogniserTurns(CartesiaSTT(api_key="key"))  # type: ignore[arg-type]


def test_a_session_update_is_json_the_sdk_knows() -> None:
    stt = next(kind for kind in RECOGNISERS if kind.name == "assemblyai").make(api_key="key")
    stt.configure(min_turn_silence_ms=200)
    stt.configure(max_turn_silence_ms=900)
    assert json.loads(stt._configuration) == {
        "type": "UpdateConfiguration",
        "min_turn_silence": 200,
        "max_turn_silence": 900,
    }
