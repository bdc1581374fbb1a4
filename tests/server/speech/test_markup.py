"""Captions, dialogue, tags, SSML, phonemes, pronunciations, normalisation: what the text asks for is
heard."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from tests.server.speech.asgi import get, post
from tests.server.speech.fakes import Tone, open_app

SPEECH = "/v1/audio/speech"
RATE = 24_000


async def length_s(app, body) -> float:
    answer = await post(app, SPEECH, {"response_format": "pcm", **body})
    assert answer.status == 200, answer.body
    return len(answer.body) / 2 / RATE


async def test_captions_come_with_the_audio_they_belong_to(autojump_clock) -> None:
    async with open_app() as (app, _):
        body = {"input": "It costs $5. Two more words - here.", "response_format": "pcm"}
        answer = await post(app, "/dev/captioned_speech", body)
        whole = (await post(app, "/dev/captioned_speech", body | {"stream": False})).json
        bare = (await post(app, "/dev/captioned_speech", body | {"return_timestamps": False})).body
    lines = [json.loads(line) for line in answer.body.splitlines()]
    audio = b"".join(base64.b64decode(line["audio"]) for line in lines)
    words = [word for line in lines for word in line["timestamps"]]
    assert audio == base64.b64decode(whole["audio"])
    assert words == whole["timestamps"]
    assert b"timestamps" not in bare
    assert [word["word"] for word in words] == ["It", "costs", "$5.", "Two", "more", "words", "here."]
    assert [word["spoken"] for word in words][2] == "five dollars"
    times = [time for word in words for time in (word["start_time"], word["end_time"])]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(len(audio) / 2 / RATE, abs=0.001)
    assert "voice" not in words[0]


async def test_a_failure_within_captions_is_a_line_and_a_broken_body(autojump_clock) -> None:
    async with open_app(Tone(fail_on="seven")) as (app, _):
        answer = await post(
            app, "/dev/captioned_speech", {"input": "One two. Six seven.", "response_format": "pcm"}
        )
    assert not answer.is_complete
    assert json.loads(answer.body.splitlines()[-1])["error"]["code"] == "internal_error"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("one two.", 0.2),
        ("one [pause:1.5s] two.", 1.7),
        ("[pause:300ms]one two.", 0.5),
        ("one [pause:1s] [pause:0.5] two.", 1.7),
        ("one [rate:2]two three.", 0.2),
        ("one [rate:0.5]two [voice:high]three.", 0.4),
        ("one two. [pause:1]", 1.2),
    ],
)
async def test_tags_change_the_length_by_exactly_what_they_say(autojump_clock, text, seconds) -> None:
    async with open_app() as (app, _):
        assert await length_s(app, {"input": text, "allow_voice_tags": True}) == pytest.approx(
            seconds, abs=1e-4
        )


async def test_without_leave_tags_are_said(autojump_clock) -> None:
    tone = Tone()
    async with open_app(tone) as (app, _):
        await post(app, SPEECH, {"input": "one [pause:1s] two."})
    assert tone.said[0][0] == "one [pause:1s] two."


async def test_a_voice_tag_changes_the_voice_and_captions_name_it(autojump_clock) -> None:
    async with open_app() as (app, _):
        body = {"input": "one [voice:high] two.", "allow_voice_tags": True, "stream": False, "voice": "low"}
        words = (await post(app, "/dev/captioned_speech", body)).json["timestamps"]
    assert [(word["word"], word["voice"]) for word in words] == [("one", "low"), ("two.", "high")]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("<speak>one two</speak>", 0.2),
        ('<speak>one<break time="2s"/>two</speak>', 2.2),
        ('<speak>one<break strength="none"/>two</speak>', 0.2),
        ('<speak><prosody rate="200%">one two</prosody> three</speak>', 0.2),
        ('<speak><prosody rate="slow"><prosody rate="2">one two three</prosody></prosody></speak>', 0.2),
        ("<speak><p>one two</p><p>three</p></speak>", 0.3 + 2 * 0.4),
        ('<speak><sub alias="in three days">i3d</sub></speak>', 0.3),
        ('<speak><say-as interpret-as="characters">ABC</say-as></speak>', 0.3),
        ('<speak><say-as interpret-as="digits">1234</say-as></speak>', 0.4),
        ('<speak><phoneme ph="wɜld">world</phoneme> <voice name="high">two</voice></speak>', 0.2),
        ('<?xml version="1.0" encoding="UTF-16"?><speak>one two</speak>', 0.2),
        ("<speak><emphasis>one</emphasis> <lang>two</lang> &amp;</speak>", 0.3),
    ],
)
async def test_ssml_is_heeded(autojump_clock, text, seconds) -> None:
    async with open_app() as (app, _):
        heard = await length_s(app, {"input": text, "ssml": True})
    assert heard == pytest.approx(seconds, abs=1e-4)


async def test_no_markup_of_ssml_is_said(autojump_clock) -> None:
    tone = Tone()
    text = (
        '<speak>one<break/><s>two</s><p>three</p><prosody rate="fast">four</prosody> '
        "<emphasis>five</emphasis> "
        '<say-as interpret-as="digits">6</say-as> <sub alias="x">seven</sub> <phoneme ph="e">eight</phoneme>'
        "</speak>"
    )
    async with open_app(tone) as (app, _):
        await length_s(app, {"input": text, "ssml": True})
    said = " ".join(text for text, *_ in tone.said)
    assert said == "one two three four five 6 seven eight"


async def test_phonemes_in_the_text_and_pronunciations_of_the_request(autojump_clock) -> None:
    async with open_app() as (app, _):
        body = {
            "input": "Say [tomato](/təmɑtoʊ/), GIF and 5.",
            "stream": False,
            "pronunciations": {"gif": "dʒɪf", "5": {"say": "a handful"}},
        }
        words = (await post(app, "/dev/captioned_speech", body)).json["timestamps"]
    assert [(word["word"], word["spoken"]) for word in words] == [
        ("Say", "Say"),
        ("tomato,", "təmɑtoʊ"),
        ("GIF", "dʒɪf"),
        ("and", "and"),
        ("5.", "a handful"),
    ]


async def test_normalisation_can_be_switched_off(autojump_clock) -> None:
    async with open_app() as (app, _):
        body = {"input": "Dr. No has $50.", "stream": False}
        on = (await post(app, "/dev/captioned_speech", body)).json["timestamps"]
        body["normalization_options"] = {"normalize": False}
        off = (await post(app, "/dev/captioned_speech", body)).json["timestamps"]
    assert [word["spoken"] for word in on] == ["doctor", "No", "has", "fifty dollars"]
    assert [word["spoken"] for word in off] == ["Dr", "No", "has", "five zero"]


async def test_a_dialogue_has_voices_and_pauses_of_engines_of_different_rates(autojump_clock) -> None:
    from voicetrio.services.speech.engine import Voice

    other = Tone("other", (Voice("far"),), can_mix=False, rate=16_000)
    async with open_app(Tone(), other) as (app, _):
        body = {
            "turns": [{"voice": "low", "text": "one two."}, {"voice": "far", "text": "[three](/x/) four."}],
            "inputs": [],
            "pause_between_turns": 1.0,
            "response_format": "pcm",
        }
        whole = await post(app, "/dev/dialogue", body)
        same = await post(
            app,
            "/dev/dialogue",
            body
            | {
                "turns": [],
                "inputs": [{"voice_id": "low", "text": "one"}, {"voice_id": "far", "text": "two"}],
            },
        )
        wrong = [
            await post(app, "/dev/dialogue", broken)
            for broken in ({}, {"turns": [{"text": ""}]}, {"turns": [{"text": "hi", "voice": "zork"}]})
        ]
    samples = np.frombuffer(whole.body, "<i2")
    assert samples.size == pytest.approx(1.4 * RATE, abs=2)
    assert not samples[round(0.25 * RATE) : round(1.15 * RATE)].any()
    assert len(same.body) == pytest.approx(2 * 1.2 * RATE, abs=4)
    assert [(answer.status, answer.error["param"]) for answer in wrong] == [
        (400, "inputs"),
        (400, "turns.0.text"),
        (400, "voice"),
    ]


async def test_phonemes_of_a_text_and_a_text_of_phonemes(autojump_clock) -> None:
    async with open_app() as (app, _):
        told = (await post(app, "/dev/phonemize", {"text": "It costs $5. [x](/iks/)"})).json
        said = await post(app, "/dev/generate_from_phonemes", {"phonemes": "həloʊ, wɜld."})
        empty = await post(app, "/dev/generate_from_phonemes", {"phonemes": " . "})
    assert told == {"phonemes": "It costs five-dollars iks", "model": "tone"}
    assert said.headers["content-type"] == "audio/wav"
    assert len(said.body) == 44 + 2 * round(0.2 * RATE)
    assert (empty.status, empty.error["param"]) == (400, "phonemes")


async def test_the_voices_and_the_models_are_listed_and_each_can_be_asked_for(autojump_clock) -> None:
    async with open_app() as (app, _):
        voices = (await get(app, "/v1/audio/voices")).json["voices"]
        models = (await get(app, "/v1/models")).json["data"]
        assert [voice["id"] for voice in voices] == ["low", "high"]
        assert {"tone", "whisper-1", "tts-1", "tts-1-hd", "gpt-4o-mini-tts"} <= {
            model["id"] for model in models
        }
        for model in models:
            assert (await get(app, f"/v1/models/{model['id']}")).json == model
        missing = await get(app, "/v1/models/zork")
        assert (missing.status, missing.error["code"]) == (404, "model_not_found")
