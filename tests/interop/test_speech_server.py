"""The openai package against our speech server: every format, every response format, errors, a broken
stream."""

from __future__ import annotations

import base64
import json
import threading
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import trio

from tests.interop.running import needs_sdks, run_sdk
from tests.server.browser import needs_browser, open_page
from tests.server.speech.fakes import Parrot, Tone
from voicetrio.audio import wav_bytes
from voicetrio.server.speech.keys import ApiKeys
from voicetrio.server.speech.serve import serve_speech
from voicetrio.server.speech.service import open_speech_service
from voicetrio.services.speech.engine import SpokenClause

pytestmark = needs_sdks

KEY = "a-key-for-the-interop-tests"
SPOKEN_S = 1.0
PRIMING_S = {"mp3": 2304 / 24_000, "aac": 2048 / 24_000}


@attrs.define
class Failing(Tone):
    """Fails at a word, after a moment in which the first bytes can go out."""

    def speak(self, words: Any, voice: Any, speed: float) -> SpokenClause:
        if any("FAIL" in word.written for word in words):
            threading.Event().wait(0.5)
            raise RuntimeError("told to fail")
        return super().speak(words, voice, speed)


async def run_flows(folder: Path) -> Any:
    recording = folder / "recording.wav"
    noise = np.random.default_rng(1).integers(-9000, 9000, 3 * 16_000).astype(np.int16)
    recording.write_bytes(wav_bytes(noise, 16_000))
    async with open_speech_service([Failing()], keys=ApiKeys([KEY]), decoder=Parrot()) as service:
        async with trio.open_nursery() as nursery:
            server = await nursery.start(partial(serve_speech, service, 0))
            result = await run_sdk("openai_speech", f"{server.url}/v1", KEY, str(folder), str(recording))
            nursery.cancel_scope.cancel()
    return result


async def test_the_openai_package_completes_its_flows(tmp_path: Path) -> None:
    result = await run_flows(tmp_path)
    assert {"tone", "whisper-1", "tts-1", "gpt-4o-mini-tts"} <= set(result["models"])
    assert result["model"] == "gpt-4o-mini-tts"
    speech = result["speech"]
    for way in ("streamed", "whole"):
        for name, seconds in speech[way].items():
            if seconds is not None:
                assert 0 <= seconds - SPOKEN_S <= PRIMING_S.get(name, 0.0), (way, name)
    assert set(speech["whole"]) == {"mp3", "opus", "aac", "flac", "wav", "pcm", "mulaw", "alaw"}
    assert speech["events"] == {
        "kinds": ["speech.audio.delta", "speech.audio.done"],
        "last": "speech.audio.done",
        "seconds": SPOKEN_S,
    }
    heard = result["transcription"]
    assert heard["json"] == heard["text"].strip() == "I heard 3 seconds."
    assert heard["srt"].startswith("1\n00:00:00,000 --> ")
    assert heard["vtt"].startswith("WEBVTT\n")
    assert heard["verbose"] == {
        "duration": 3.0,
        "words": [["I", 0.0, 0.1], ["heard", 0.2, 0.5]],
        "segments": ["I heard"],
    }
    assert heard["events"] == ["transcript.text.delta", "transcript.text.done"]
    assert result["errors"] == {
        "key": ["AuthenticationError", 401, "invalid_api_key", None],
        "model": ["BadRequestError", 400, "model_not_found", "model"],
        "voice": ["BadRequestError", 400, "invalid_voice", "voice"],
        "format": ["BadRequestError", 400, "invalid_value", "response_format"],
        "speed": ["BadRequestError", 400, "invalid_value", "speed"],
        "input": ["BadRequestError", 400, "unspeakable_input", "input"],
        "file": ["BadRequestError", 400, "invalid_audio", "file"],
        "retrieve": ["NotFoundError", 404, "model_not_found", "model"],
    }
    assert result["broken"] != "nothing"


@pytest.mark.browser
@needs_browser
async def test_a_browser_decodes_every_format_that_it_knows(tmp_path: Path) -> None:
    await run_flows(tmp_path)
    lengths = {}
    async with open_page(tmp_path) as page:
        for name in ("mp3", "opus", "aac", "flac", "wav"):
            for way in ("streamed", "whole"):
                data = base64.b64encode((tmp_path / f"{way}.{name}").read_bytes()).decode()
                lengths[way, name] = await page.evaluate(
                    "(async () => {"
                    f"const bytes = Uint8Array.from(atob({json.dumps(data)}), (c) => c.charCodeAt(0));"
                    "const context = new OfflineAudioContext(1, 24000, 24000);"
                    "return (await context.decodeAudioData(bytes.buffer)).length; })()"
                )
    for (way, name), count in lengths.items():
        extra = count - round(24_000 * SPOKEN_S)
        # Browsers cut priming as they like, and resample opus from 48 kHz.
        most = 2304 if name in PRIMING_S else 1
        assert -most <= extra <= most, (way, name, count)
