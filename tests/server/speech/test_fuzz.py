"""Whatever a request holds, its client gets a whole answer or is told what was wrong: never a 500, never a
cut."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.server.speech.asgi import post
from tests.server.speech.fakes import Tone, open_app

REQUESTS = 40
PIECES = (
    "hi", "", " ", "...", "5" * 300, "@" * 500, "." * 500, "$" * 300, "\0", "a\0b", "\u202e",
    "\N{GRINNING FACE}", "[pause:1s]", "[pause:-1]", "[rate:nan]", "[voice:]", "[voice:low(nan)]",
    "<speak>", "</speak>", "<break/>", "<speak><prosody rate='1e400'>x</prosody></speak>",
    "<speak><break time='1e9s'/></speak>", "[a](/b/)", "[](//)", "\ue0000\ue001", "1/0", "10^99999",
    "1e999", "99:99", "31.31.3131", "2025-13-45", "$1.999", "v1.2.3.4.5", "-", "\N{EM DASH}", "½", "²",
    "\u0663", "\uff11\uff12", "\u2167", "1" * 400 + "th", "#", "%s", "St.", "http://", "www.", "x@y",
    "3-", "$-", "5-$", "9am-", "Mon-", "1 1/2", "10 in", "\ud83d", "US US",
)  # fmt: skip
ODD = (None, True, 0, -1, 1.5, 1e308, "x", [], {}, ["a"], {"id": "low"}, {"id": ""}, 10**30)
FIELDS: dict[str, tuple[Any, ...]] = {
    "model": ("tone", "tts-1"),
    "voice": ("low", "high", "low+high(2)", "alloy"),
    "response_format": ("mp3", "wav", "pcm", "opus", "flac", "aac", "mulaw", "alaw", "g722"),
    "speed": (0.25, 1, 4),
    "stream": (True, False),
    "sample_rate": (8000, 16_000, 44_100, 48_000, 8001),
    "bit_rate": (6000, 64_000, 320_000),
    "volume_multiplier": (0.1, 8),
    "normalization_options": ({"normalize": False},),
    "pronunciations": ({"a": "b"}, {"": "x"}, {"5": {"say": "1e999"}}, {"hi": {"ipa": "\0"}}),
    "allow_voice_tags": (True,),
    "ssml": (True,),
    "stream_format": ("audio", "sse"),
}
KEYS = {
    "/v1/audio/speech": "input",
    "/dev/captioned_speech": "input",
    "/dev/dialogue": "turns",
    "/dev/phonemize": "text",
    "/dev/generate_from_phonemes": "phonemes",
}


def some_text(rng: random.Random) -> str:
    return "".join(rng.choice(PIECES) + rng.choice(("", " ", "\n")) for _ in range(rng.randrange(1, 6)))


def some_request(rng: random.Random, key: str) -> Any:
    if rng.random() < 0.02:
        return rng.choice(ODD)
    body: dict[str, Any] = {key: some_text(rng)}
    if key == "turns":
        voices = ("low", "high", "zork", None)
        body[key] = [{"text": some_text(rng), "voice": rng.choice(voices)} for _ in range(rng.randrange(4))]
    for field in rng.sample(sorted(FIELDS), rng.randrange(4)):
        body[field] = rng.choice(FIELDS[field] if rng.random() < 0.7 else ODD)
    return body


@pytest.mark.parametrize("path", KEYS)
async def test_no_request_makes_the_server_fail(autojump_clock, path) -> None:
    rng = random.Random(path)
    seen = set()
    async with open_app(Tone(fail_on="\N{SNOWMAN}"), call_s=0.0) as (app, _):
        for _ in range(REQUESTS):
            body = some_request(rng, KEYS[path])
            headers = {"Content-Type": "application/json"}
            answer = await post(app, path, json.dumps(body).encode(), headers=headers)
            assert answer.is_complete, body
            assert answer.status in (200, 400), (body, answer.body)
            if answer.status == 400:
                assert answer.error["message"], body
            seen.add(answer.status)
    assert seen == {200, 400}
