from __future__ import annotations

import json

import numpy as np
import pytest

from tests.server.speech.asgi import form, open_call, post
from tests.server.speech.fakes import open_app
from voicetrio.audio.codecs import encode_whole
from voicetrio.services.local.stt import Recognised

PATH = "/v1/audio/transcriptions"


def noise(seconds: float, rate: int = 16_000) -> np.ndarray:
    return np.random.default_rng(1).integers(-9000, 9000, round(seconds * rate)).astype(np.int16)


def wav(seconds: float = 3.0, rate: int = 16_000) -> bytes:
    return encode_whole("wav", noise(seconds, rate), rate)


async def ask(app, fields):
    body, headers = form(fields)
    return await post(app, PATH, body, headers=headers)


@pytest.mark.parametrize(
    ("response_format", "expected"),
    [
        (None, '{"text": "I heard 3 seconds."}'),
        ("json", '{"text": "I heard 3 seconds."}'),
        ("text", "I heard 3 seconds.\n"),
        ("srt", "1\n00:00:00,000 --> 00:00:00,500\nI heard\n\n"),
        ("vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:00.500\nI heard\n\n"),
    ],
)
async def test_each_response_format(autojump_clock, response_format, expected) -> None:
    fields = {"file": wav(), "model": "whisper-1"}
    async with open_app() as (app, _):
        answer = await ask(app, fields | ({"response_format": response_format} if response_format else {}))
    assert answer.status == 200
    assert answer.body.decode() == expected


async def test_verbose_json_has_the_words_or_the_segments_that_were_asked_for(autojump_clock) -> None:
    both = ["word", "segment"]
    async with open_app() as (app, _):
        fields = {"file": wav(), "response_format": "verbose_json"}
        plain = (await ask(app, fields)).json
        full = (await ask(app, fields | {"timestamp_granularities[]": both})).json
    assert plain["duration"] == 3.0
    assert plain["language"] == "english"
    assert "words" not in plain
    assert full["words"] == [
        {"word": "I", "start": 0.0, "end": 0.1},
        {"word": "heard", "start": 0.2, "end": 0.5},
    ]
    assert full["segments"][0]["text"] == "I heard"
    assert full["segments"] == plain["segments"]


@pytest.mark.parametrize("name", ["wav", "mp3", "opus", "flac", "aac"])
async def test_every_common_container_is_read(autojump_clock, name) -> None:
    file = encode_whole(name, noise(3.0, 24_000), 24_000)
    async with open_app() as (app, _):
        assert (await ask(app, {"file": file})).json == {"text": "I heard 3 seconds."}


async def test_a_long_recording_is_cut_and_streamed_part_by_part(autojump_clock) -> None:
    async with open_app() as (app, _):
        fields = {"file": wav(70.0), "stream": "true"}
        answer = await ask(app, fields)
    events = [
        json.loads(event.removeprefix("data: ")) for event in answer.body.decode().split("\n\n") if event
    ]
    assert [event["type"] for event in events] == [
        *["transcript.text.delta"] * (len(events) - 1),
        "transcript.text.done",
    ]
    assert "".join(event["delta"] for event in events[:-1]) == events[-1]["text"]
    seconds = [int(event["delta"].split()[2]) for event in events[:-1]]
    assert sum(seconds) == pytest.approx(70, abs=2)
    assert max(seconds) <= 25


async def test_silence_is_not_decoded(autojump_clock) -> None:
    file = encode_whole("wav", np.zeros(16_000 * 5, np.int16), 16_000)
    async with open_app() as (app, _):
        assert (await ask(app, {"file": file})).json == {"text": ""}


async def test_a_failure_after_the_first_part_breaks_the_stream_off(autojump_clock) -> None:
    class Tired:
        calls = 0

        def decode(self, _samples, _rate) -> Recognised:
            self.calls += 1
            if self.calls > 1:
                raise RuntimeError("no more")
            return Recognised("Once.", (), 0.0, 0.0)

    async with open_app(decoder=Tired()) as (app, _):
        answer = await ask(app, {"file": wav(60.0), "stream": "true"})
    assert answer.status == 200
    assert not answer.is_complete
    assert json.loads(answer.chunks[-1][1].removeprefix(b"data: "))["type"] == "error"


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"model": "whisper-1"}, "file", "missing_field"),
        ({"file": "not a file"}, "file", "missing_field"),
        ({"file": b""}, "file", "invalid_audio"),
        ({"file": b"this is no audio at all"}, "file", "invalid_audio"),
        ({"file": wav()[:44]}, "file", "invalid_audio"),
        ({"file": b"fLaC" + bytes(500)}, "file", "invalid_audio"),
        ({"file": wav(), "model": "zork"}, "model", "model_not_found"),
        ({"file": wav(), "response_format": "pdf"}, "response_format", "invalid_value"),
        ({"file": wav(), "language": "de"}, "language", "invalid_value"),
        ({"file": wav(), "temperature": "hot"}, "temperature", "invalid_value"),
        ({"file": wav(), "stream": "maybe"}, "stream", "invalid_value"),
        ({"file": wav(), "stream": "true", "response_format": "srt"}, "stream", "invalid_value"),
        ({"file": wav(), "timestamp_granularities[]": "word"}, "timestamp_granularities", "invalid_value"),
    ],
)
async def test_a_wrong_request_is_told_which_field_is_wrong(autojump_clock, fields, param, code) -> None:
    async with open_app() as (app, _):
        answer = await ask(app, fields)
    assert (answer.status, answer.error["param"], answer.error["code"]) == (400, param, code)


async def test_a_recording_that_ends_early_is_read_as_far_as_it_goes(autojump_clock) -> None:
    async with open_app() as (app, _):
        assert (await ask(app, {"file": wav(5.0)[: 44 + 2 * 16_000 * 2]})).json == {
            "text": "I heard 2 seconds."
        }


async def test_a_small_file_of_hours_is_refused(autojump_clock) -> None:
    file = encode_whole("flac", np.zeros(24_000 * 120, np.int16), 24_000)
    assert len(file) < 100_000
    async with open_app(max_recording_s=60.0) as (app, _):
        answer = await ask(app, {"file": file})
    assert (answer.status, answer.error["param"]) == (400, "file")
    assert "60 s" in answer.error["message"]


async def test_a_body_over_the_limit_is_refused_while_it_comes(autojump_clock) -> None:
    async with open_app(max_upload_bytes=10_000) as (app, _):
        assert (await ask(app, {"file": wav(10.0)})).status == 413


@pytest.mark.parametrize("body", [b"", b"--edge\r\nrubbish", b"--other--\r\n"])
async def test_a_form_that_is_none_is_refused(autojump_clock, body) -> None:
    async with open_app() as (app, _):
        headers = {"Content-Type": "multipart/form-data; boundary=edge"}
        assert (await post(app, PATH, body, headers=headers)).status == 400
        assert (await post(app, PATH, body, headers={"Content-Type": "audio/wav"})).status == 415
        assert (await post(app, PATH, body, headers={"Content-Type": "multipart/form-data"})).status == 400


async def test_an_upload_that_stalls_is_not_waited_for(autojump_clock) -> None:
    body, headers = form({"file": wav()})
    async with open_app(upload_stall_s=5.0) as (app, _):
        async with open_call(app, PATH, body[:1000], headers=headers) as call:
            pieces, call._pieces = call._pieces, []

            async def receive():
                if pieces:
                    return {"type": "http.request", "body": pieces.pop(0), "more_body": True}
                await call.left.wait()

            call.receive = receive
    assert call.answer.status == 408
