"""What only Cartesia's wire has."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.services.vendors import plain, speak
from voicetrio.errors import ConfigError, ServiceError
from voicetrio.runtime.keeper import open_keeper
from voicetrio.services.cartesia import CartesiaSTT, CartesiaTTS
from voicetrio.services.cartesia.wire import CartesiaHearing, CartesiaVoice
from voicetrio.services.credentials import Secret
from voicetrio.testing.standins.cartesia import CartesiaStandin
from voicetrio.testing.standins.server import open_standin

KEY = Secret("standin-key")


def voice(standin: CartesiaStandin, **options: Any) -> CartesiaTTS:
    return CartesiaTTS(
        options.pop("voice", "voice-1"), api_key=standin.key, url=standin.url, dial=standin.dial, **options
    )


async def test_the_clauses_of_a_reply_are_continuations_of_one_context(autojump_clock: object) -> None:
    async with open_standin(CartesiaStandin()) as standin:
        await speak(voice(standin, speed=1.2, emotion="calm"), "Hello there,", "my friend.")
        inputs = standin.last.texts
    assert [each["transcript"] for each in inputs] == ["Hello there, ", "my friend. ", ""]
    assert [each["continue"] for each in inputs] == [True, True, False]
    assert len({each["context_id"] for each in inputs}) == 1
    assert all(each["generation_config"] == {"speed": 1.2, "emotion": "calm"} for each in inputs)
    assert all(each["add_timestamps"] and each["max_buffer_delay_ms"] == 0 for each in inputs)


async def test_a_context_is_ended_before_it_expires(autojump_clock: object) -> None:
    async with open_standin(CartesiaStandin()) as standin:
        spoken = await speak(voice(standin), "Hello there,", 3.0, "my friend.")
        inputs = standin.last.texts
    assert plain(spoken.heard) == "hello there, my friend"
    assert len({each["context_id"] for each in inputs}) == 2


async def test_a_cancelled_reply_is_cancelled_there_and_its_late_chunks_are_dropped(
    autojump_clock: object,
) -> None:
    async with open_standin(CartesiaStandin(late_chunks=4)) as standin:
        speaker = voice(standin)
        async with open_keeper():
            with trio.move_on_after(0.05):
                await speak(speaker, "one two three four five six seven eight nine ten")
            await trio.sleep(0.2)
            cancels = [each for each in standin.last.texts if each.get("cancel")]
            assert len(cancels) == 1
            assert plain((await speak(speaker, "goodbye.")).heard) == "goodbye"


async def test_no_more_contexts_are_active_than_the_plan_allows(autojump_clock: object) -> None:
    async with open_standin(CartesiaStandin(max_contexts=2)) as standin:
        speaker = voice(standin, max_contexts=2)
        async with open_keeper(), trio.open_nursery() as nursery:
            for text in ("one two.", "three four.", "five six.", "seven eight."):
                nursery.start_soon(speak, speaker, text)
        assert not any('"error"' in str(message) for message in standin.last.sent)


async def test_an_unknown_voice_fails_its_reply_and_says_so(autojump_clock: object) -> None:
    async with open_standin(CartesiaStandin()) as standin:
        with pytest.raises(ServiceError, match=r"Voice not found.*check the voice") as caught:
            await speak(voice(standin, voice="nobody"), "Hello.")
        assert caught.value.fault == "ours"


@pytest.mark.parametrize(
    "option",
    [{"volume": 3.0}, {"max_buffer_delay_ms": 6000}, {"voice": ""}, {"rate": 32000}, {"max_contexts": 0}],
)
def test_options_are_checked_before_anything_is_dialled(option: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        CartesiaTTS(**{"voice": "voice-1", "api_key": "key", **option})


def test_too_many_keyterms_are_refused() -> None:
    with pytest.raises(ConfigError, match="100 keyterms"):
        CartesiaSTT(api_key="key", keyterms=["word"] * 101)


@pytest.mark.parametrize(
    "message",
    [
        "<html>",
        "[]",
        b"\0",
        '{"type":"chunk"}',
        '{"type":"chunk","context_id":"a","data":"%"}',
        '{"type":"chunk","context_id":"a","data":5}',
        '{"type":"timestamps","context_id":"a","word_timestamps":{"words":["a"],"start":[],"end":[]}}',
        '{"type":"timestamps","context_id":"a","word_timestamps":{"words":["a"],"start":[NaN],"end":[1]}}',
        '{"type":"timestamps","context_id":"a","word_timestamps":null}',
    ],
)
def test_a_malformed_message_is_the_vendors_fault_and_may_pass(message: str | bytes) -> None:
    with pytest.raises(ServiceError, match="sent what it does not say") as caught:
        CartesiaVoice(16000, {}, KEY).read(message)
    assert caught.value.transient
    assert caught.value.fault == "theirs"


@pytest.mark.parametrize("message", ['{"type":"new thing"}', '{"type":"flush_done","context_id":"a"}', "{}"])
def test_what_is_not_known_is_passed_over(message: str) -> None:
    assert list(CartesiaVoice(16000, {}, KEY).read(message)) == []


@pytest.mark.parametrize(
    "message",
    ['{"type":"transcript"}', '{"type":"transcript","text":"a","is_final":true,"words":[{"word":1}]}'],
)
def test_a_malformed_transcript_is_refused(message: str) -> None:
    with pytest.raises(ServiceError, match="sent what it does not say"):
        CartesiaHearing(KEY).read(message)


@pytest.mark.parametrize(
    ("status", "fault", "transient"),
    [(401, "credentials", False), (402, "limit", False), (409, "theirs", True), (206, "theirs", True)],
)
def test_a_status_means_what_https_does(status: int, fault: str, transient: bool) -> None:
    with pytest.raises(ServiceError) as caught:
        CartesiaHearing(KEY).read(f'{{"type":"error","status_code":{status}}}')
    assert (caught.value.fault, caught.value.transient) == (fault, transient)


def test_an_error_that_repeats_the_key_does_not_show_it() -> None:
    with pytest.raises(ServiceError) as caught:
        CartesiaHearing(KEY).read(
            '{"type":"error","title":"no","message":"bad standin-key","status_code":401}'
        )
    assert "standin-key" not in str(caught.value)
