"""The vendors' own SDKs complete their flows against our stand-ins."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.interop.running import needs_sdks, run_sdk
from voicetrio.testing.standins.assemblyai import AssemblyAIStandin
from voicetrio.testing.standins.cartesia import CartesiaStandin
from voicetrio.testing.standins.deepgram import DeepgramStandin
from voicetrio.testing.standins.elevenlabs import ElevenLabsStandin
from voicetrio.testing.standins.fault import Fail
from voicetrio.testing.standins.server import open_standin
from voicetrio.testing.standins.speech import hear_words, speak_words, word_times

pytestmark = needs_sdks

TEXT = "go forward ten meters"
RATE = 16000


def said(encoded: str, text: str = TEXT) -> str:
    samples = np.frombuffer(base64.b64decode(encoded), "<i2")
    return " ".join(word.text for word in hear_words(samples, RATE, text.split()))


@pytest.fixture
def recording(tmp_path: Path) -> str:
    path = tmp_path / "speech.s16le"
    path.write_bytes(speak_words(TEXT, RATE).tobytes())
    return str(path)


async def test_cartesia_speaks() -> None:
    async with open_standin(CartesiaStandin(), listen=True) as standin:
        result = await run_sdk("cartesia_tts", standin.url, standin.key, "go forward |ten meters")
    assert said(result["audio"]) == TEXT
    words: Any = [(word.text, word.start_s, word.end_s) for word in word_times(TEXT)]
    assert [word for word, _, _ in result["words"]] == [word for word, _, _ in words]
    for (_, start_s, end_s), (_, true_start_s, true_end_s) in zip(result["words"], words, strict=True):
        assert (start_s, end_s) == pytest.approx((true_start_s, true_end_s), abs=0.002)
    assert result["kinds"][-1] == "done"
    assert standin.last.request.path == "/tts/websocket"


async def test_cartesia_hears(recording: str) -> None:
    async with open_standin(CartesiaStandin(), listen=True) as standin:
        result = await run_sdk("cartesia_stt", standin.url, standin.key, recording)
    assert result["text"] == TEXT
    assert result["kinds"][-2:] == ["flush_done", "done"]
    assert result["turns"][0] == "connected"
    assert result["turns"][-2:] == ["turn.end", TEXT]


async def test_deepgram_hears(recording: str) -> None:
    async with open_standin(DeepgramStandin(), listen=True) as standin:
        result = await run_sdk("deepgram_listen", standin.url, standin.key, recording)
    assert [word for word, _, _ in result["finals"]] == TEXT.split()
    assert result["kinds"][-1] == "Metadata"
    assert result["turns"][:2] == [["Connected", ""], ["ConfigureSuccess", ""]]
    assert result["turns"][-1] == ["EndOfTurn", TEXT.capitalize()]


async def test_deepgram_speaks() -> None:
    async with open_standin(DeepgramStandin(), listen=True) as standin:
        result = await run_sdk("deepgram_speak", standin.url, standin.key, "go forward", "ten meters")
    assert [said(part) for part in result["parts"]] == ["go forward", "ten meters"]
    assert result["kinds"] == ["Metadata", "Flushed", "Flushed", "Cleared"]


async def test_elevenlabs_speaks() -> None:
    async with open_standin(ElevenLabsStandin(), listen=True) as standin:
        result = await run_sdk("elevenlabs_tts", standin.url, standin.key, "go forward |ten meters")
    assert said(result["single"]) == TEXT
    assert {name: said(audio) for name, audio in result["multi"].items()} == {"a": TEXT, "b": TEXT}
    assert sorted(result["finals"]) == ["a", "b"]


async def test_elevenlabs_hears(recording: str) -> None:
    async with open_standin(ElevenLabsStandin(), listen=True) as standin:
        seen = await run_sdk("elevenlabs_stt", standin.url, standin.key, recording)
    kinds = [kind for kind, _ in seen]
    assert kinds[:2] == ["session_started", "partial_transcript"]
    committed = dict(seen)["committed_transcript_with_timestamps"]
    assert committed["text"] == TEXT.capitalize()
    assert [word["text"] for word in committed["words"] if word["type"] == "word"] == TEXT.split()


async def test_assemblyai_hears(recording: str) -> None:
    async with open_standin(AssemblyAIStandin(), listen=True) as standin:
        seen = await run_sdk("assemblyai_stt", standin.url, standin.key, recording)
        commands = [text["type"] for text in standin.last.texts]
    assert commands == ["UpdateConfiguration", "ForceEndpoint", "Terminate"]
    assert [event["type"] for event in seen][:1] == ["Begin"]
    assert seen[-1]["type"] == "Termination"
    final = next(event for event in seen if event.get("turn_is_formatted"))
    assert final["transcript"] == "Go forward ten meters."


PROGRAMS = [
    ("cartesia_tts", CartesiaStandin),
    ("cartesia_stt", CartesiaStandin),
    ("deepgram_listen", DeepgramStandin),
    ("deepgram_speak", DeepgramStandin),
    ("elevenlabs_tts", ElevenLabsStandin),
    ("elevenlabs_stt", ElevenLabsStandin),
    ("assemblyai_stt", AssemblyAIStandin),
]


@pytest.mark.parametrize(("program", "make"), PROGRAMS, ids=[program for program, _ in PROGRAMS])
async def test_a_wrong_key_is_refused_as_the_sdk_expects(program: str, make: Any, recording: str) -> None:
    arguments = [recording] if program.endswith(("stt", "listen")) else ["go forward", "ten meters"]
    async with open_standin(make(), listen=True) as standin:
        if program == "assemblyai_stt":
            # It hands its errors to the application, and raises none.
            seen = await run_sdk(program, standin.url, "wrong-key", *arguments)
            assert seen == ["WebSocket handshake rejected (HTTP 401)"]
        else:
            count = 1 if program == "elevenlabs_tts" or program == "cartesia_tts" else len(arguments)
            with pytest.raises(AssertionError, match=r"40[13]|[Uu]nauthorized|[Ii]nvalid"):
                await run_sdk(program, standin.url, "wrong-key", *arguments[:count])
    assert standin.refused
    assert standin.connections == []


@pytest.mark.parametrize(
    ("program", "make", "error", "seen"),
    [
        ("cartesia_tts", CartesiaStandin, "voice not found", "'error'"),
        ("cartesia_stt", CartesiaStandin, "unavailable", "'error'"),
        ("deepgram_listen", DeepgramStandin, "schema", "'Error'"),
        ("deepgram_listen", DeepgramStandin, "net-0000", "1011 .*NET-0000"),
        ("deepgram_speak", DeepgramStandin, "server error", "1011 .*INTERNAL_SERVER_ERROR"),
        ("elevenlabs_tts", ElevenLabsStandin, "voice_not_found", "status_code: 1008.*voice_not_found"),
        ("elevenlabs_stt", ElevenLabsStandin, "quota_exceeded", "'quota_exceeded'"),
        ("assemblyai_stt", AssemblyAIStandin, "too many sessions", "Too many concurrent sessions"),
    ],
)
async def test_an_error_of_the_vendor_is_one_that_the_sdk_knows(
    program: str, make: Any, error: str, seen: str, recording: str
) -> None:
    """It is told as an event where the SDK does so, and raised as the SDK's own where it does not."""
    texts = {"cartesia_tts": [TEXT], "deepgram_speak": ["go forward", "ten meters"], "elevenlabs_tts": [TEXT]}
    async with open_standin(make(faults=[Fail(after=1, error=error)]), listen=True) as standin:
        try:
            told = str(await run_sdk(program, standin.url, standin.key, *texts.get(program, [recording])))
        except AssertionError as raised:
            told = str(raised)
    assert re.search(seen, told, re.DOTALL), told[-1000:]
