"""The recogniser over ``/audio/transcriptions``, against the stand-in."""

from __future__ import annotations

import numpy as np
import pytest
import trio
from trio.testing import MockClock

from tests.services.openai.asking import account_of, drain
from voicetrio.errors import ConfigError, ServiceError
from voicetrio.events import Transcript
from voicetrio.frames import AudioFrame, Samples
from voicetrio.services.openai import OpenAISTT, open_services
from voicetrio.services.stt import STT, SpeechBoundary, SttInput
from voicetrio.testing.leaks import assert_no_leaks
from voicetrio.testing.standins.openai import OpenAIScript, open_openai_standin
from voicetrio.testing.standins.openai_fault import HttpFault

RATE = 16000
VOICE = np.full(RATE, 1000, np.int16)


async def listen(stt: STT, items: list[SttInput]) -> list[Transcript]:
    to_stt, inlet = trio.open_memory_channel[SttInput](1000)
    outlet, transcripts = trio.open_memory_channel[Transcript](100)
    for item in items:
        to_stt.send_nowait(item)
    to_stt.close()
    await stt.listen(inlet, outlet)
    return await drain(transcripts)


async def test_a_segment_is_uploaded_as_it_was_spoken() -> None:
    uploads: list[tuple[Samples, int]] = []

    def hear(samples: Samples, rate: int) -> str:
        uploads.append((samples, rate))
        return "  go forward\nten meters "

    async with open_openai_standin(OpenAIScript(hears=hear)) as standin:
        items: list[SttInput] = [
            AudioFrame.from_samples(VOICE, RATE),
            SpeechBoundary("start", RATE // 4),
            AudioFrame.from_samples(VOICE, RATE, RATE),
            SpeechBoundary("stop", RATE * 2),
        ]
        [transcript] = await listen(OpenAISTT(account=account_of(standin), language="en"), items)
    assert transcript.text == "go forward ten meters"
    assert (transcript.start, transcript.position, transcript.final) == (RATE // 4, RATE * 2, True)
    [(samples, rate)] = uploads
    assert rate == RATE
    assert samples.tolist() == [1000] * (2 * RATE)


async def test_words_come_with_their_places_on_the_capture_clock() -> None:
    async with open_openai_standin(OpenAIScript(hears=["one two"])) as standin:
        stt = OpenAISTT("whisper-1", account=account_of(standin), words=True, preroll_s=0.0)
        items: list[SttInput] = [
            AudioFrame.from_samples(VOICE, RATE, 5000),
            SpeechBoundary("start", 5000),
            SpeechBoundary("stop", 5000 + RATE),
        ]
        [transcript] = await listen(stt, items)
    assert [(word.text, word.start, word.end) for word in transcript.words] == [
        ("one", 5000, 5000 + RATE // 2),
        ("two", 5000 + RATE // 2, 5000 + RATE),
    ]


async def test_audio_that_is_too_short_for_the_api_is_made_up_with_silence() -> None:
    lengths: list[int] = []

    def hear(samples: Samples, rate: int) -> str:
        lengths.append(len(samples))
        return "yes"

    async with open_openai_standin(OpenAIScript(hears=hear)) as standin:
        text, words = await OpenAISTT(account=account_of(standin)).transcribe(VOICE[:10], RATE)
    assert (text, list(words), lengths) == ("yes", [], [RATE // 10])


@pytest.mark.parametrize(
    ("fault", "blame", "requests"),
    [
        (HttpFault(kind="status", status=400, message="Bad file."), "ours", 1),
        (HttpFault(kind="status", status=500), "theirs", 3),
        (HttpFault(kind="page", status=200), "network", 1),
        (HttpFault(kind="stall"), "theirs", 3),
        (HttpFault(kind="torn"), "theirs", 3),
    ],
)
async def test_a_failure_is_one_typed_error(
    fault: HttpFault, blame: str, requests: int, autojump_clock: MockClock
) -> None:
    async with open_openai_standin() as standin:
        standin.always = fault
        with pytest.raises(ServiceError) as caught:
            await OpenAISTT(account=account_of(standin)).transcribe(VOICE, RATE)
        assert len(standin.requests) == requests
    assert caught.value.fault == blame
    assert standin.key not in str(caught.value)


async def test_an_upload_is_tried_again_after_a_passing_failure(autojump_clock: MockClock) -> None:
    async with open_openai_standin(OpenAIScript(hears=["lost on the way", "yes"])) as standin:
        standin.faults.append(HttpFault(kind="torn"))
        text, _words = await OpenAISTT(account=account_of(standin)).transcribe(VOICE, RATE)
    assert text == "yes"


async def test_cancelled_uploads_leave_no_socket(autojump_clock: MockClock) -> None:
    async with open_openai_standin() as standin:
        standin.always = HttpFault(kind="stall")
        with assert_no_leaks(channels=False):
            async with open_services(api_key=standin.key, base_url=standin.base_url) as services:
                for k in range(30):
                    with trio.move_on_after(0.1 * k):
                        await services.stt().transcribe(VOICE, RATE)
                await trio.testing.wait_all_tasks_blocked()
                assert standin.server.open_connections == 0


def test_fields_that_the_service_sets_are_refused_as_options() -> None:
    with pytest.raises(ConfigError, match="'stream' is set by the service"):
        OpenAISTT(api_key="sk-any", options={"stream": "true"})
