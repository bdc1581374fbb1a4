from __future__ import annotations

import base64
import json

import numpy as np
import pytest
import trio

from tests.server.speech.asgi import open_call, post
from tests.server.speech.fakes import CALL_S, Tone, open_app
from voicetrio.audio.codecs import FORMATS, open_decoder
from voicetrio.errors import AudioError
from voicetrio.runtime import encoding

PATH = "/v1/audio/speech"
TEXT = "one two three four five. six seven eight nine. ten eleven twelve."
WORDS = 12


def decode(body: bytes, name: str, rate: int = 24_000) -> np.ndarray:
    known = {} if name not in ("pcm", "mulaw", "alaw", "g722") else {"rate": rate}
    with open_decoder(name, **known) as decoder:
        return np.concatenate([decoder.decode(body), decoder.finish()])


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("stream", [True, False])
async def test_every_format_decodes_to_the_whole_length(autojump_clock, name, stream) -> None:
    async with open_app() as (app, _):
        answer = await post(app, PATH, {"input": TEXT, "response_format": name, "stream": stream})
    assert (answer.status, answer.is_complete) == (200, True)
    assert answer.headers["content-type"] == FORMATS[name].content_type
    assert ("content-length" in answer.headers) == (not stream)
    rate = int(answer.headers["x-sample-rate"])
    assert rate == {"mulaw": 8000, "alaw": 8000, "g722": 16_000}.get(name, 24_000)
    decoded = decode(answer.body, name, rate)
    decoded_rate = 48_000 if name == "opus" else rate
    extra = decoded.size - round(0.1 * WORDS * decoded_rate)
    assert 0 <= extra <= (0 if FORMATS[name].is_exact else 2304)


async def test_the_first_clause_is_sent_while_the_others_are_made(autojump_clock) -> None:
    async with open_app() as (app, _):
        start = trio.current_time()
        answer = await post(app, PATH, {"input": TEXT, "response_format": "pcm"})
    times = [time - start for time, _ in answer.chunks]
    assert times[:3] == pytest.approx([CALL_S, 2 * CALL_S, 3 * CALL_S])


async def test_a_client_that_leaves_stops_the_speaking_within_one_clause(autojump_clock) -> None:
    tone = Tone()
    async with open_app(tone) as (app, service):
        async with open_call(app, PATH, {"input": TEXT, "response_format": "pcm"}) as call:
            await call.progress.wait()
            call.left.set()
        assert not call.answer.is_complete
        assert len(tone.said) <= 2
        assert service.admission.statistics().active == 0
        await trio.sleep(10)
        assert len(tone.said) <= 2
        metrics = service.metrics.render().decode()
    assert 'cut_total{route="speech",why="client left"} 1.0' in metrics


async def test_a_failure_before_the_first_byte_is_a_status(autojump_clock) -> None:
    async with open_app(Tone(fail_on="three")) as (app, _):
        answer = await post(app, PATH, {"input": TEXT})
    assert answer.status == 500
    assert answer.error == {
        "message": "the server failed to answer this request",
        "type": "server_error",
        "param": None,
        "code": "internal_error",
    }


@pytest.mark.parametrize("extra", [{}, {"stream_format": "sse"}])
async def test_a_failure_after_the_first_byte_breaks_the_body_off(autojump_clock, extra) -> None:
    async with open_app(Tone(fail_on="seven")) as (app, service):
        answer = await post(app, PATH, {"input": TEXT, "response_format": "pcm", **extra})
        assert answer.status == 200
        assert answer.body
        assert not answer.is_complete
        assert 'cut_total{route="speech",why="failed"} 1.0' in service.metrics.render().decode()
    if extra:
        last = json.loads(answer.chunks[-1][1].removeprefix(b"data: "))
        assert last["type"] == "error"


async def test_without_streaming_a_late_failure_is_still_a_status(autojump_clock) -> None:
    async with open_app(Tone(fail_on="twelve")) as (app, _):
        answer = await post(app, PATH, {"input": TEXT, "stream": False})
    assert (answer.status, answer.is_complete) == (500, True)


async def test_an_engine_that_cannot_be_loaded_is_unavailable_and_tried_again(autojump_clock) -> None:
    tone = Tone(load_failure=ValueError("no weights"))
    async with open_app(tone) as (app, _):
        answer = await post(app, PATH, {"input": TEXT})
        assert (answer.status, answer.error["code"]) == (503, "engine_unavailable")
        assert "no weights" in answer.error["message"]
        tone.load_failure = None
        assert (await post(app, PATH, {"input": TEXT})).status == 200


async def test_events_carry_the_audio_and_end_with_done(autojump_clock) -> None:
    async with open_app() as (app, _):
        answer = await post(app, PATH, {"input": TEXT, "response_format": "pcm", "stream_format": "sse"})
    events = [
        json.loads(event.removeprefix("data: ")) for event in answer.body.decode().split("\n\n") if event
    ]
    assert {event["type"] for event in events[:-1]} == {"speech.audio.delta"}
    audio = b"".join(base64.b64decode(event["audio"]) for event in events[:-1])
    assert len(audio) == 2 * 24_000 * WORDS // 10
    usage = events[-1]["usage"]
    assert events[-1]["type"] == "speech.audio.done"
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "input", "missing_field"),
        ({"input": 5}, "input", "invalid_value"),
        ({"input": ""}, "input", "unspeakable_input"),
        ({"input": " \n "}, "input", "unspeakable_input"),
        ({"input": "!!! ... \N{SPARKLES}"}, "input", "unspeakable_input"),
        ({"input": "\u4f60\u597d"}, "input", "unspeakable_input"),
        ({"input": "x" * 4097}, "input", "too_long"),
        ({"input": "hi", "model": "zork"}, "model", "model_not_found"),
        ({"input": "hi", "voice": "zork"}, "voice", "invalid_voice"),
        ({"input": "hi", "voice": {"id": "zork"}}, "voice", "invalid_voice"),
        ({"input": "hi", "voice": {"name": "low"}}, "voice", "invalid_value"),
        ({"input": "hi", "voice": "low++high"}, "voice", "invalid_voice"),
        ({"input": "hi", "voice": "+low"}, "voice", "invalid_voice"),
        ({"input": "hi", "voice": "low(0)+high"}, "voice", "invalid_voice"),
        ({"input": "hi", "voice": "low(-1)+high"}, "voice", "invalid_voice"),
        ({"input": "hi", "voice": "low(nan)+high"}, "voice", "invalid_voice"),
        ({"input": "hi", "voice": "low(1e999)+high"}, "voice", "invalid_voice"),
        ({"input": "hi", "voice": "low(2+high"}, "voice", "invalid_voice"),
        ({"input": "hi", "voice": "low+zork"}, "voice", "invalid_voice"),
        ({"input": "hi", "voice": ""}, "voice", "invalid_voice"),
        ({"input": "hi", "response_format": "midi"}, "response_format", "invalid_value"),
        ({"input": "hi", "speed": 0.1}, "speed", "invalid_value"),
        ({"input": "hi", "speed": "fast"}, "speed", "invalid_value"),
        ({"input": "hi", "sample_rate": 44_100, "response_format": "opus"}, "sample_rate", "invalid_value"),
        ({"input": "hi", "bit_rate": 64_000, "response_format": "wav"}, "bit_rate", "invalid_value"),
        ({"input": "hi", "volume_multiplier": 0}, "volume_multiplier", "invalid_value"),
        ({"input": "hi", "stream_format": "smoke"}, "stream_format", "invalid_value"),
        ({"input": "<speak>hi", "ssml": True}, "input", "invalid_markup"),
        ({"input": "<!DOCTYPE a><speak>hi</speak>", "ssml": True}, "input", "invalid_markup"),
        ({"input": "<s>" * 30, "ssml": True}, "input", "invalid_markup"),
        ({"input": "[pause:x] hi", "allow_voice_tags": True}, "input", "invalid_markup"),
        ({"input": "[pause:60s]" * 11 + "hi", "allow_voice_tags": True}, "input", "invalid_markup"),
        ({"input": "[voice:zork] hi", "allow_voice_tags": True}, "voice", "invalid_voice"),
        ({"input": "hi", "pronunciations": {"hi": {}}}, "pronunciations", "invalid_value"),
        ([], None, "invalid_value"),
    ],
)
async def test_a_wrong_request_is_told_which_field_is_wrong(autojump_clock, body, param, code) -> None:
    async with open_app() as (app, _):
        answer = await post(app, PATH, body)
    assert answer.status == 400
    assert answer.error["param"] == param
    assert answer.error["code"] == code
    assert answer.error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {"Content-Type": "application/json"}, 400),
        (b"\xff\xfe", {"Content-Type": "application/json"}, 400),
        (b'{"input": NaN}', {"Content-Type": "application/json"}, 400),
        (b'{"input": "hi"}', {}, 415),
        (b'{"input": "hi"}', {"Content-Type": "text/plain"}, 415),
        (b"x" * 200_000, {"Content-Type": "application/json"}, 413),
        (b"{}", {"Content-Type": "application/json", "Content-Length": "999999999"}, 413),
    ],
)
async def test_a_body_that_is_no_request_is_refused(autojump_clock, body, headers, status) -> None:
    async with open_app() as (app, _):
        answer = await post(app, PATH, body, headers=headers)
    assert answer.status == status
    assert answer.error["message"]


async def test_a_body_that_does_not_come_is_not_waited_for(autojump_clock) -> None:
    async with open_app(upload_stall_s=5.0) as (app, _):
        start = trio.current_time()
        async with open_call(app, PATH, b"", headers={"Content-Type": "application/json"}) as call:
            call._pieces.clear()
    assert call.answer.status == 408
    assert trio.current_time() - start == pytest.approx(5.0)


async def test_speed_volume_rate_and_mix_reach_the_audio(autojump_clock) -> None:
    async with open_app() as (app, _):
        whole = {"input": "one two three four.", "response_format": "pcm"}
        plain = decode((await post(app, PATH, whole)).body, "pcm")
        fast = decode((await post(app, PATH, whole | {"speed": 2.0})).body, "pcm")
        loud = decode((await post(app, PATH, whole | {"volume_multiplier": 2.0})).body, "pcm")
        slow_rate = decode((await post(app, PATH, whole | {"sample_rate": 8000})).body, "pcm", 8000)
        mixed = decode((await post(app, PATH, whole | {"voice": "low(2)+high(1)"})).body, "pcm")
    assert plain.size == 2 * fast.size == 3 * slow_rate.size
    assert np.abs(loud).max() == pytest.approx(2 * np.abs(plain).max(), abs=2)
    assert pitch(plain) == pytest.approx(300, abs=5)
    assert pitch(mixed) == pytest.approx(500, abs=5)


def pitch(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples))
    return float(np.argmax(spectrum)) * 24_000 / samples.size


async def test_openais_names_mean_the_default_engine(autojump_clock) -> None:
    tone = Tone()
    async with open_app(tone) as (app, _):
        for model in ("tts-1", "tts-1-hd", "gpt-4o-mini-tts", "tone"):
            for voice in ("alloy", {"id": "ash"}):
                assert (await post(app, PATH, {"input": "hi", "model": model, "voice": voice})).status == 200
    assert [mix[0][0] for _, mix, _ in tone.said] == ["low", "high"] * 4


async def test_requests_at_once_do_not_hear_each_other(autojump_clock) -> None:
    answers = {}

    async def ask(voice: str, number: int) -> None:
        body = {"input": TEXT, "voice": voice, "response_format": "flac"}
        answers[voice, number] = await post(app, PATH, body)

    async with open_app(workers=2) as (app, _):
        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(ask, "low", number)
                nursery.start_soon(ask, "high", number)
    for (voice, _), answer in answers.items():
        assert pitch(decode(answer.body, "flac")) == pytest.approx(300 if voice == "low" else 900, abs=5)


async def test_a_model_is_unloaded_when_idle_and_loaded_again(autojump_clock) -> None:
    tone = Tone()
    async with open_app(tone, idle_s=60.0) as (app, service):
        for loads in (1, 1, 2):
            await post(app, PATH, {"input": "hi", "response_format": "pcm"})
            assert tone.loads == loads
            await trio.sleep(30 if loads == 1 and len(tone.said) == 1 else 100)
        assert not service.engines.statistics()[0].is_loaded


async def test_a_codec_that_fails_is_the_servers_fault(autojump_clock, monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AudioError("mp3: the library failed")

    monkeypatch.setattr(encoding, "open_encoder", fail)
    async with open_app() as (app, _):
        answer = await post(app, PATH, {"input": TEXT})
    assert (answer.status, answer.error["code"]) == (500, "internal_error")
