"""What only Deepgram's wires have."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio

from tests.services.vendors import check_answers, finals, listen, plain, speak, speech
from voicetrio.errors import ServiceError
from voicetrio.runtime.keeper import open_keeper
from voicetrio.services.credentials import Secret
from voicetrio.services.deepgram import DeepgramFlux, DeepgramSTT, DeepgramTTS
from voicetrio.services.deepgram.hearing import FluxHearing, NovaHearing
from voicetrio.services.deepgram.voice import AuraVoice
from voicetrio.testing.standins.deepgram import DeepgramStandin
from voicetrio.testing.standins.server import open_standin

KEY = Secret("standin-key")
RATE = 16000


def client(make: Any, standin: DeepgramStandin, **options: Any) -> Any:
    return make(api_key=standin.key, url=standin.url, dial=standin.dial, **options)


def commands(standin: DeepgramStandin) -> list[str]:
    return [text["type"] for text in standin.last.texts]


async def test_each_stop_is_finalized_and_the_stream_is_closed_with_its_command(
    autojump_clock: object,
) -> None:
    items, _ = speech(RATE, 1.0, "go forward", 1.0, "yes", 1.0)
    async with open_standin(DeepgramStandin()) as standin:
        await listen(client(DeepgramSTT, standin), items)
        assert commands(standin) == ["Finalize", "Finalize", "CloseStream"]
        query = standin.last.request.query
    assert query["encoding"] == "linear16"
    assert query["endpointing"] == "300"
    assert query["interim_results"] == "true"


async def test_a_finalize_without_its_confirmation_is_answered_all_the_same(autojump_clock: object) -> None:
    items, stops = speech(RATE, 1.0, "go forward", 1.0, "yes", 1.0)
    async with open_standin(DeepgramStandin(answers_finalize=False)) as standin:
        transcripts = await listen(client(DeepgramSTT, standin), items)
    assert finals(transcripts) == ["go forward", "yes"]
    check_answers(transcripts, stops)


async def test_while_no_audio_comes_it_is_kept_alive(autojump_clock: object) -> None:
    items, _ = speech(RATE, 1.0, "go forward", 1.0)
    async with open_standin(DeepgramStandin()) as standin:
        await listen(client(DeepgramSTT, standin), items, after_s=60)
        assert commands(standin).count("KeepAlive") >= 12
        assert len(standin.connections) == 1


async def test_no_empty_audio_is_ever_sent(autojump_clock: object) -> None:
    items, _ = speech(RATE, 0.5, "go", 0.5)
    async with open_standin(DeepgramStandin()) as standin:
        await listen(client(DeepgramSTT, standin), items)
        assert all(len(message) for message in standin.last.received)


async def test_flux_turns_that_it_ended_itself_answer_the_next_stop(autojump_clock: object) -> None:
    # The VAD hears one utterance where Flux hears two turns.
    items, _ = speech(RATE, 1.0, "go forward", 0.8, "ten meters", 1.0)
    boundaries = [item for item in items if not hasattr(item, "pcm")]
    items = [item for item in items if item not in boundaries[1:3]]
    async with open_standin(DeepgramStandin()) as standin:
        transcripts = await listen(client(DeepgramFlux, standin), items)
    assert finals(transcripts) == ["go forward ten meters"]


async def test_clauses_are_flushed_one_by_one_until_flushes_get_scarce(autojump_clock: object) -> None:
    clauses = [f"{word}." for word in "one two three four five six seven eight nine ten".split()] * 3
    async with open_standin(DeepgramStandin()) as standin:
        spoken = await speak(client(DeepgramTTS, standin, max_streams=1), *clauses)
        sent = commands(standin)
        assert plain(spoken.heard).split() == plain(" ".join(clauses)).split()
        assert spoken.text == " ".join(clauses)
        assert 10 <= sent.count("Flush") <= 20
        assert not [message for message in standin.last.sent if "EXCESSIVE" in str(message)]


async def test_a_cancelled_reply_is_cleared_and_the_socket_used_again(autojump_clock: object) -> None:
    async with open_standin(DeepgramStandin()) as standin:
        voice = client(DeepgramTTS, standin)
        async with open_keeper():
            with trio.move_on_after(0.1):
                await speak(voice, "one two three four five six seven eight nine ten")
            await trio.sleep(0.1)
            assert plain((await speak(voice, "goodbye.")).heard) == "goodbye"
            assert commands(standin) == ["Speak", "Flush", "Clear", "Speak", "Flush"]
        assert len(standin.connections) == 1


async def test_two_replies_at_once_have_a_socket_each(autojump_clock: object) -> None:
    async with open_standin(DeepgramStandin(speed=2.0)) as standin:
        voice = client(DeepgramTTS, standin)
        async with open_keeper(), trio.open_nursery() as nursery:
            nursery.start_soon(speak, voice, "one two three four.")
            nursery.start_soon(speak, voice, "five six seven eight.")
            await trio.sleep(0.3)
            assert len(standin.connections) == 2


def test_what_comes_before_cleared_is_of_the_cancelled_context() -> None:
    wire = AuraVoice(16000, lambda: 0.0, KEY)
    wire.say("a", "Hello.")
    assert wire.read(b"\0\0")
    assert json.loads(wire.cancel("a")) == {"type": "Clear"}
    assert not wire.is_clear
    assert list(wire.read(b"\0\0")) == []
    assert list(wire.read('{"type":"Flushed","sequence_id":0}')) == []
    assert [answer.context for answer in wire.read('{"type":"Cleared","sequence_id":1}')] == ["a"]
    assert wire.is_clear


def test_a_flush_that_is_refused_fails_its_reply_and_may_be_tried_again() -> None:
    wire = AuraVoice(16000, lambda: 0.0, KEY)
    wire.say("a", "Hello.")
    (failed,) = wire.read('{"type":"Warning","code":"EXCESSIVE_FLUSH","description":"too many"}')
    assert failed.error.transient  # type: ignore[union-attr]
    (failed,) = wire.read('{"type":"Warning","code":"TEXT_TOO_LONG","description":"too long"}')
    assert not failed.error.transient  # type: ignore[union-attr]


@pytest.mark.parametrize("wire", [NovaHearing(KEY), FluxHearing(KEY)], ids=["nova", "flux"])
@pytest.mark.parametrize(
    "message",
    [
        "<html>",
        b"\0",
        '{"type":"Results"}',
        '{"type":"Results","start":0,"duration":1,"channel":{"alternatives":[]}}',
        '{"type":"TurnInfo"}',
        '{"type":"TurnInfo","event":"Update","audio_window_end":"x","words":[],"transcript":""}',
    ],
)
def test_a_malformed_message_is_refused_or_passed_over(wire: Any, message: str | bytes) -> None:
    kind = json.loads(message)["type"] if str(message).startswith("{") else None
    if kind in ("Results", "TurnInfo") and (kind == "Results") != isinstance(wire, NovaHearing):
        assert list(wire.read(message)) == []
        return
    with pytest.raises(ServiceError, match="sent what it does not say") as caught:
        wire.read(message)
    assert caught.value.transient


async def test_an_unknown_model_is_refused_with_deepgrams_words(autojump_clock: object) -> None:
    items, _ = speech(RATE, 1.0)
    async with open_standin(DeepgramStandin()) as standin:
        with pytest.raises(ServiceError, match="No such model") as caught:
            await listen(client(DeepgramSTT, standin, model="whatever"), items)
    assert caught.value.fault == "ours"
