"""The voice over ``/audio/speech``, against the stand-in."""

from __future__ import annotations

import numpy as np
import pytest
import trio
from trio.testing import MockClock

from tests.services.openai.asking import account_of, drain, speak
from voicetrio.errors import ConfigError
from voicetrio.frames import AudioFrame, TextFrame, WordFrame
from voicetrio.services.openai import OpenAITTS, open_services
from voicetrio.services.tts import TtsOutput
from voicetrio.testing.leaks import assert_no_leaks
from voicetrio.testing.standins.openai import OpenAIScript, open_openai_standin
from voicetrio.testing.standins.openai_audio import WORD_S, speak_words
from voicetrio.testing.standins.openai_fault import HttpFault

RATE = 24000


def audio_of(outputs: list[TtsOutput]) -> list[int]:
    frames = [output for output in outputs if isinstance(output, AudioFrame)]
    return [] if not frames else np.concatenate([frame.samples for frame in frames]).tolist()


def words_of(outputs: list[TtsOutput]) -> list[WordFrame]:
    return [output for output in outputs if isinstance(output, WordFrame)]


async def test_the_audio_is_what_the_server_sent_also_when_samples_are_cut_in_two() -> None:
    async with open_openai_standin() as standin:
        outputs, error = await speak(OpenAITTS(account=account_of(standin)), "one two,", "three four.")
    assert error is None
    assert audio_of(outputs) == [*speak_words("one two,"), *speak_words("three four.")]
    words = words_of(outputs)
    assert " ".join(word.text for word in words) == "one two, three four."
    assert words[1].end == round(2 * WORD_S * RATE)
    assert words[-1].end == round(4 * WORD_S * RATE)


async def test_the_request_says_voice_speed_and_instructions() -> None:
    async with open_openai_standin() as standin:
        tts = OpenAITTS("nova", account=account_of(standin), speed=1.5, instructions="Whisper.")
        await speak(tts, "hello")
        body = standin.requests[0].json()
        statistics = tts.statistics()
    assert body == {
        "model": "gpt-4o-mini-tts",
        "voice": "nova",
        "input": "hello",
        "response_format": "pcm",
        "speed": 1.5,
        "instructions": "Whisper.",
    }
    assert (statistics.requests, statistics.characters, statistics.audio_s) == (1, 5, WORD_S)


async def test_audio_is_given_on_while_it_comes(autojump_clock: MockClock) -> None:
    to_voice, inlet = trio.open_memory_channel[TextFrame](1)
    outlet, outputs = trio.open_memory_channel[TtsOutput](1000)
    to_voice.send_nowait(TextFrame("one two three four five six seven eight"))
    async with open_openai_standin(OpenAIScript(piece_s=1.0)) as standin:
        with trio.move_on_after(12.5):  # of 20 pieces 13 have come
            await OpenAITTS(account=account_of(standin)).speak(inlet, outlet)
            pytest.fail("it ended")
    given = await drain(outputs)
    assert [word.text for word in words_of(given)][:3] == ["one", "two", "three"]
    assert len(audio_of(given)) > RATE * WORD_S * 3


async def test_a_text_longer_than_the_api_takes_is_said_in_parts() -> None:
    text = " ".join(["word"] * 1000)
    async with open_openai_standin() as standin:
        outputs, error = await speak(OpenAITTS(account=account_of(standin)), text)
        inputs = [request.json()["input"] for request in standin.requests]
    assert error is None
    assert len(inputs) == 2
    assert " ".join(inputs) == text
    assert " ".join(word.text for word in words_of(outputs)) == text


@pytest.mark.parametrize(
    ("fault", "blame", "said"),
    [
        (HttpFault(kind="status", status=400, message="No such thing."), "ours", "No such thing."),
        (HttpFault(kind="page", status=200), "network", "web page (Sign in to the network)"),
        (HttpFault(kind="stall", after=1), "theirs", "sent nothing for 15 s"),
        (HttpFault(kind="torn", after=1), "theirs", "broke off"),
        (HttpFault(kind="cut"), "theirs", "no audio"),
    ],
)
async def test_a_failure_is_one_typed_error(
    fault: HttpFault, blame: str, said: str, autojump_clock: MockClock
) -> None:
    async with open_openai_standin() as standin:
        standin.always = fault
        _outputs, error = await speak(OpenAITTS(account=account_of(standin)), "one two three")
    assert error is not None
    assert error.fault == blame
    assert said in str(error)


async def test_audio_that_came_before_a_failure_was_given(autojump_clock: MockClock) -> None:
    async with open_openai_standin() as standin:
        standin.always = HttpFault(kind="torn", after=5)
        outputs, error = await speak(OpenAITTS(account=account_of(standin)), "one two three four")
    assert error is not None
    assert 0 < len(audio_of(outputs)) <= 5 * 4801 // 2


async def test_half_a_sample_at_the_end_is_an_error() -> None:
    async with open_openai_standin() as standin:
        standin.always = HttpFault(kind="cut", after=1)
        outputs, error = await speak(OpenAITTS(account=account_of(standin)), "one two")
    assert error is not None
    assert "middle of a sample" in str(error)
    assert len(audio_of(outputs)) == 2400


async def test_an_unknown_voice_is_named() -> None:
    async with open_openai_standin() as standin:
        _outputs, error = await speak(OpenAITTS("nobody", account=account_of(standin)), "hello")
    assert error is not None
    assert error.fault == "ours"
    assert "nobody" in str(error)


async def test_cancelled_speech_leaves_no_socket(autojump_clock: MockClock) -> None:
    async with open_openai_standin(OpenAIScript(piece_s=0.05)) as standin:
        with assert_no_leaks(channels=False):
            async with open_services(api_key=standin.key, base_url=standin.base_url) as services:
                for k in range(50):
                    with trio.move_on_after(0.01 * k):
                        await speak(services.tts(), "one two three", "four five six seven")
                await trio.testing.wait_all_tasks_blocked()
                assert standin.server.open_connections <= 1
            await trio.testing.wait_all_tasks_blocked()
            assert standin.server.open_connections == 0


def test_bad_arguments_are_told() -> None:
    with pytest.raises(ConfigError, match=r"a speed is from 0\.25 to 4\.0, not 9"):
        OpenAITTS(api_key="sk-any", speed=9)
    with pytest.raises(ConfigError, match="'input' is set by the service"):
        OpenAITTS(api_key="sk-any", options={"input": "hello"})
