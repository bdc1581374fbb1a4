"""Keys, limits, health, metrics, origins."""

from __future__ import annotations

import pytest
import trio

from tests.server.speech.asgi import form, get, open_call, post
from tests.server.speech.fakes import CALL_S, Tone, open_app
from voicetrio.errors import ConfigError
from voicetrio.server.speech.keys import ApiKeys
from voicetrio.server.speech.serve import serve_speech
from voicetrio.server.speech.service import open_speech_service

SPEECH = "/v1/audio/speech"
BODY = {"input": "one two.", "response_format": "pcm"}
KEY = "a-key-that-is-long-enough"


async def test_with_keys_only_their_owners_are_let_in(autojump_clock) -> None:
    async with open_app(keys=[f"alice={KEY}", f"{KEY}-2"]) as (app, _):
        for path, body in (
            (SPEECH, BODY),
            ("/v1/audio/transcriptions", b""),
            ("/dev/phonemize", {"text": "x"}),
        ):
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {KEY}"}):
                answer = await post(app, path, body, headers=headers)
                assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
                assert answer.headers["www-authenticate"] == "Bearer"
        for path in ("/v1/models", "/v1/audio/voices", "/metrics"):
            assert (await get(app, path)).status == 401
        for key in (KEY, f"{KEY}-2"):
            headers = {"Authorization": f"Bearer {key}"}
            assert (await post(app, SPEECH, BODY, headers=headers)).status == 200
        for path in ("/healthz", "/readyz", "/", "/docs"):
            assert (await get(app, path)).status == 200


def test_keys_that_can_be_guessed_are_refused_and_none_is_shown() -> None:
    with pytest.raises(ConfigError, match="too short"):
        ApiKeys(["secret"])
    assert KEY not in repr(ApiKeys([KEY]))


async def test_what_cannot_wait_is_told_when_to_come_back(autojump_clock) -> None:
    statuses = []

    async def ask(app) -> None:
        answer = await post(app, SPEECH, BODY)
        statuses.append((answer.status, answer.headers.get("retry-after")))

    async with open_app(max_active=1, max_waiting=2) as (app, service):
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask, app)
                await trio.testing.wait_all_tasks_blocked()
            ready = await get(app, "/readyz")
            assert (ready.status, ready.body) == (503, b"full\n")
        assert sorted(statuses) == [(200, None)] * 3 + [(503, "3")] * 2
        assert service.admission.statistics().refused_full == 2


async def test_one_clients_requests_at_once_are_limited(autojump_clock) -> None:
    async with open_app(max_active_a_key=1) as (app, _):
        async with open_call(app, SPEECH, BODY):
            await trio.testing.wait_all_tasks_blocked()
            refused = await post(app, SPEECH, BODY)
            other = await post(app, SPEECH, BODY, client="192.0.2.1")
    assert (refused.status, refused.error["type"]) == (429, "rate_limit_error")
    assert other.status == 200


async def test_one_clients_requests_a_minute_are_limited(autojump_clock) -> None:
    async with open_app(requests_a_minute=2) as (app, _):
        statuses = [(await post(app, SPEECH, BODY)) for _ in range(3)]
        assert [answer.status for answer in statuses] == [200, 200, 429]
        wait_s = int(statuses[2].headers["retry-after"])
        assert wait_s == pytest.approx(30 - 2 * CALL_S, abs=1)
        await trio.sleep(wait_s)
        assert (await post(app, SPEECH, BODY)).status == 200


async def test_a_recording_that_would_be_refused_is_not_read_first(autojump_clock) -> None:
    body, headers = form({"file": b"x" * 1_000_000})
    async with open_app(requests_a_minute=1) as (app, _):
        assert (await post(app, SPEECH, BODY)).status == 200
        async with open_call(app, "/v1/audio/transcriptions", body, headers=headers) as call:
            pieces = len(call._pieces)
        assert call.answer.status == 429
        assert len(call._pieces) == pieces


async def test_a_client_that_leaves_the_queue_frees_its_place(autojump_clock) -> None:
    async with open_app(max_active=1, max_waiting=1) as (app, service):
        async with open_call(app, SPEECH, BODY):
            await trio.testing.wait_all_tasks_blocked()
            async with open_call(app, SPEECH, BODY) as waiting:
                await trio.testing.wait_all_tasks_blocked()
                assert service.admission.statistics().waiting == 1
                waiting.left.set()
            assert service.admission.statistics().waiting == 0


async def test_health_answers_while_every_worker_speaks(autojump_clock) -> None:
    async with open_app(call_s=100.0) as (app, service):
        async with open_call(app, SPEECH, BODY) as call:
            await trio.testing.wait_all_tasks_blocked()
            start = trio.current_time()
            assert (await get(app, "/healthz")).body == b"ok\n"
            assert (await get(app, "/readyz")).body == b"ready\n"
            service.is_draining = True
            refused = await get(app, "/readyz")
            assert (refused.status, refused.body) == (503, b"draining\n")
            assert (await get(app, "/healthz")).status == 200
            assert trio.current_time() == start
            call.left.set()


async def test_metrics_tell_what_happened(autojump_clock) -> None:
    async with open_app() as (app, _):
        await post(app, SPEECH, BODY)
        await post(app, SPEECH, {"input": ""})
        await post(app, "/no/such/place", {})
        text = (await get(app, "/metrics")).body.decode()
    for line in (
        'voicetrio_speech_requests_total{route="speech",status="200"} 1.0',
        'voicetrio_speech_requests_total{route="speech",status="400"} 1.0',
        'voicetrio_speech_audio_seconds_total{engine="tone",format="pcm"} 0.2',
        'voicetrio_model_loaded{model="tone"} 1.0',
        'voicetrio_model_loaded{model="whisper-tiny.en"} 0.0',
        "voicetrio_speech_active 0.0",
    ):
        assert line in text
    assert "such" not in text


async def test_models_are_unloaded_on_demand(autojump_clock) -> None:
    tone = Tone()
    async with open_app(tone) as (app, service):
        await post(app, SPEECH, BODY)
        assert (await post(app, "/dev/unload", {})).json == {"unloaded": ["tone"]}
        await trio.testing.wait_all_tasks_blocked()
        assert not service.engines.statistics()[0].is_loaded
        assert (await post(app, "/dev/unload", {})).json == {"unloaded": []}
        assert (await post(app, SPEECH, BODY)).status == 200
        assert tone.loads == 2


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:80", 200),
        ("http://evil.example", 403),
        ("null", 403),
        (None, 200),
    ],
)
async def test_pages_of_other_origins_may_not_use_it(autojump_clock, origin, status) -> None:
    headers = {"Host": "127.0.0.1"} | ({"Origin": origin} if origin else {})
    async with open_app() as (app, _):
        assert (await post(app, SPEECH, BODY, headers=headers)).status == status
        assert (await get(app, "/healthz", headers=headers)).status == 200


async def test_http_2_is_told_to_come_back_with_1(autojump_clock) -> None:
    async with open_app() as (app, _):
        call_scope = {"type": "http", "http_version": "2", "method": "GET", "path": "/", "headers": []}
        sent = []

        async def send(message) -> None:
            sent.append(message)

        await app(call_scope, None, send)
    assert sent[0]["status"] == 505


@pytest.mark.parametrize(("path", "method", "status"), [("/v1/nothing", "GET", 404), (SPEECH, "GET", 405)])
async def test_wrong_addresses_and_methods_have_errors_of_the_same_shape(
    autojump_clock, path, method, status
):
    async with open_app() as (app, _):
        answer = await post(app, path, None, method=method)
    assert answer.status == status
    assert answer.error["type"] == "invalid_request_error"


async def test_other_machines_need_a_key_or_an_explicit_word() -> None:
    async with open_speech_service([Tone()]) as service:
        with pytest.raises(ConfigError, match="can be reached by other machines"):
            await serve_speech(service, 0, "0.0.0.0")
        async with trio.open_nursery() as nursery:
            server = await nursery.start(
                lambda task_status: serve_speech(
                    service, 0, "0.0.0.0", allow_anonymous=True, task_status=task_status
                )
            )
            assert server.url.startswith("http://127.0.0.1:")
            server.close()


async def test_keys_of_one_name_share_their_limits(autojump_clock) -> None:
    async with open_app(keys=[f"alice={KEY}", f"alice={KEY}-2", f"{KEY}-3"], requests_a_minute=1) as (app, _):
        statuses = [
            (await post(app, SPEECH, BODY, headers={"Authorization": f"Bearer {key}"})).status
            for key in (KEY, f"{KEY}-2", f"{KEY}-3")
        ]
    assert statuses == [200, 429, 200]
