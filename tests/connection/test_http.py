"""HTTP to services: over real loopback sockets, because it is the library's sockets that must be gone."""

from __future__ import annotations

import random
import ssl
from functools import partial

import pytest
import trio

from tests.connection.raw_http import CERTIFICATE, answer, chunks, serve_http
from voicetrio.connection.http import HttpSettings, ServerSentEvent, open_http
from voicetrio.errors import ConfigError, ServiceError, SessionEnded
from voicetrio.machines.reconnect import ReconnectSettings
from voicetrio.runtime.outbox import Gate, using_gate

QUICK = HttpSettings(waits=ReconnectSettings(first_s=0.001, base_s=0.001, max_s=0.001))
ONCE = HttpSettings(tries=1)


def opened(url: str, settings: HttpSettings = QUICK):
    return open_http(
        url, service="talker", headers={"Authorization": "Bearer secret-key-1"}, settings=settings
    )


async def test_a_json_answer_is_given():
    async with serve_http(answer(200, b'{"text": "hi"}')) as server, opened(server.url) as http:
        assert await http.request_json("POST", "say", json={"a": 1}) == {"text": "hi"}
    assert server.requests[0].startswith("POST /v1/say HTTP/1.1")
    assert "secret-key-1" in server.requests[0]
    assert "secret" not in repr(http)


async def test_events_of_a_stream_come_one_by_one():
    parts = (
        b"data: one\n\n",
        b"event: more\nda",
        b"ta: two\ndata: lines\n\n",
        b": nothing\n\n",
        b"data: [DONE]\n\n",
    )
    async with serve_http(chunks(*parts)) as server, opened(server.url) as http:
        async with http.stream_sse("chat", json={}) as events:
            got = [event async for event in events]
    assert got == [
        ServerSentEvent("message", "one"),
        ServerSentEvent("more", "two\nlines"),
        ServerSentEvent("message", "[DONE]"),
    ]


async def test_a_connection_is_used_again():
    async with serve_http(answer(200, b"{}")) as server, opened(server.url) as http:
        for _ in range(3):
            await http.request_json("GET", "x")
        assert server.open_sockets == 1
        assert http.statistics().requests == 3


async def test_the_clients_sockets_go_with_its_block():
    async with serve_http(answer(200, b"{}")) as server:
        async with opened(server.url) as http:
            await http.request_json("GET", "x")
            assert server.open_sockets == 1
        await server.wait_no_sockets()


@pytest.mark.parametrize("how", ["cancelled while waiting", "cancelled in the body", "left early", "raised"])
async def test_a_stream_that_is_given_up_closes_its_socket(how: str):
    async with serve_http(chunks(b"data: 1\n\n", b"data: 2\n\n", then="stall")) as server:
        async with opened(server.url) as http:
            with trio.CancelScope() as scope:
                try:
                    async with http.stream_sse("chat") as events:
                        await events.receive()
                        if how == "left early":
                            pass
                        elif how == "raised":
                            raise KeyError("mine")
                        elif how == "cancelled in the body":
                            scope.cancel()
                            await trio.sleep_forever()
                        else:
                            await events.receive()
                            scope.deadline = trio.current_time() + 0.01
                            await events.receive()
                except KeyError:
                    assert how == "raised"
            await server.wait_no_sockets()
            assert http.statistics().open_streams == 0


async def test_two_hundred_cancelled_streams_leave_no_socket():
    async with serve_http(chunks(b"data: 1\n\n", then="stall")) as server, opened(server.url) as http:

        async def one() -> None:
            with trio.CancelScope() as scope:
                async with http.stream_sse("chat") as events:
                    await events.receive()
                    scope.cancel()
                    await events.receive()

        for _ in range(20):
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(one)
        await server.wait_no_sockets()
        assert len(server.requests) == 200


async def test_a_passing_failure_is_tried_again_before_anything_was_given():
    scripts = (answer(503), answer(500, b'{"error": {"message": "oops"}}'), answer(200, b'{"ok": 1}'))
    async with serve_http(*scripts) as server, opened(server.url) as http:
        assert await http.request_json("GET", "x") == {"ok": 1}
    assert http.statistics().retries == 2


async def test_tries_are_limited_and_the_last_error_tells():
    async with (
        serve_http(answer(503, b'{"error": {"message": "we are down"}}')) as server,
        opened(server.url) as http,
    ):
        with pytest.raises(ServiceError, match="talker: HTTP 503, we are down") as caught:
            await http.request_json("GET", "x")
    assert caught.value.transient
    assert caught.value.fault == "theirs"
    assert len(server.requests) == 3
    assert http.statistics().failures == 1


async def test_the_minutes_budget_is_for_all_requests():
    settings = HttpSettings(tries=3, tries_per_minute=3, waits=QUICK.waits)
    async with serve_http(answer(503)) as server, opened(server.url, settings) as http:
        for _ in range(5):
            with pytest.raises(ServiceError):
                await http.request_json("GET", "x")
    assert len(server.requests) == 5 + 3


async def test_a_client_may_have_no_second_tries_at_all():
    settings = HttpSettings(tries=3, tries_per_minute=0, waits=QUICK.waits)
    async with serve_http(answer(503)) as server, opened(server.url, settings) as http:
        with pytest.raises(ServiceError, match="HTTP 503"):
            await http.request_json("GET", "x")
    assert len(server.requests) == 1


async def test_retry_after_is_obeyed():
    scripts = (answer(429, more=("Retry-After: 0.2",)), answer(200, b"{}"))
    async with serve_http(*scripts) as server, opened(server.url) as http:
        await http.request_json("GET", "x")
    assert server.times[1] - server.times[0] >= 0.2


async def test_a_retry_after_that_is_too_long_ends_the_tries():
    async with serve_http(answer(429, more=("Retry-After: 3600",))) as server, opened(server.url) as http:
        with pytest.raises(ServiceError) as caught:
            await http.request_json("GET", "x")
    assert (caught.value.fault, caught.value.retry_after_s) == ("limit", 3600)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("script", "fault", "transient", "text"),
    [
        (
            answer(401, b'{"error": {"message": "bad key secret-key-1"}}'),
            "credentials",
            False,
            "bad key …: check the key",
        ),
        (
            answer(403, b'{"detail": {"message": "no voice cloning"}}'),
            "credentials",
            False,
            "no voice cloning",
        ),
        (answer(404, b'{"message": "no such model"}'), "ours", False, "no such model"),
        (answer(422, b'{"detail": [{"msg": "text too long"}]}'), "ours", False, "text too long"),
        (answer(429, b'{"error": {"code": "insufficient_quota"}}'), "limit", False, "insufficient_quota"),
        (answer(302, more=("Location: http://127.0.0.1/x",)), "ours", False, "the address has moved"),
        (
            answer(502, b"<html><title>502 Bad\nGateway</title>", kind="text/html"),
            "theirs",
            True,
            "Bad Gateway",
        ),
        (answer(200, b"<!DOCTYPE html><title>Log in</title>", kind="text/html"), "network", False, "Log in"),
        (answer(200, b"{nonsense"), "theirs", False, "not JSON: '{nonsense'"),
        (answer(200, b"[1]"), "theirs", False, "sent list where an object belongs"),
        (chunks(b'{"a"', then="drop", kind="application/json"), "theirs", True, "broke off"),
    ],
)
async def test_what_went_wrong_says_whose_fault_it_is(script, fault: str, transient: bool, text: str):
    async with serve_http(script) as server, opened(server.url, ONCE) as http:
        with pytest.raises(ServiceError) as caught:
            await http.request_json("GET", "x")
    assert (caught.value.fault, caught.value.transient) == (fault, transient)
    assert text in str(caught.value)
    assert "secret-key-1" not in str(caught.value)


async def test_a_stream_that_stalls_is_an_error():
    settings = HttpSettings(answer_s=0.05)
    async with (
        serve_http(chunks(b"data: 1\n\n", then="stall")) as server,
        opened(server.url, settings) as http,
    ):
        async with http.stream_sse("chat") as events:
            assert (await events.receive()).data == "1"
            with pytest.raises(ServiceError, match=r"sent nothing for 0\.05 s") as caught:
                await events.receive()
    assert caught.value.transient


async def test_too_many_requests_at_once_are_not_the_servers_fault():
    settings = HttpSettings(tries=1, answer_s=0.2, max_connections=1)
    async with serve_http(chunks(b"x", then="stall")) as server, opened(server.url, settings) as http:
        async with http.stream("GET", "x"):
            with pytest.raises(ServiceError, match="all its 1 connections were in use") as caught:
                await http.request("GET", "x")
    assert (caught.value.fault, caught.value.transient) == ("ours", True)
    assert len(server.requests) == 1


async def test_a_refusal_that_never_ends_is_told_in_time():
    async def drip(stream: trio.abc.Stream, _request: str) -> None:
        await stream.send_all(b"HTTP/1.1 400 No\r\nContent-Length: 60000\r\n\r\nno ")
        while True:
            await stream.send_all(b".")
            await trio.sleep(0.02)

    settings = HttpSettings(tries=1, answer_s=0.2)
    async with serve_http(drip) as server, opened(server.url, settings) as http:
        with trio.fail_after(10), pytest.raises(ServiceError, match=r"HTTP 400, no \."):
            await http.request("GET", "x")


async def test_what_nobody_takes_fails_its_stream_only():
    settings = HttpSettings(max_buffered_bytes=1000)
    big = chunks(bytes(600), bytes(600), bytes(600), then="stall", kind="audio/pcm")
    async with serve_http(big, answer(200, b"{}")) as server, opened(server.url, settings) as http:
        async with http.stream("GET", "audio") as stream:
            await trio.sleep(0.05)
            assert len(await stream.receive()) == 600
            with pytest.raises(ServiceError, match="more than 1000 bytes"):
                await stream.receive()
        assert await http.request_json("GET", "x") == {}


async def test_nobody_there():
    async with serve_http(answer(200)) as server:
        url = server.url
    async with opened(url, ONCE) as http:
        with pytest.raises(ServiceError) as caught:
            await http.request_json("GET", "x")
    assert (caught.value.fault, caught.value.transient) == ("network", True)


async def test_a_name_that_does_not_resolve():
    async with opened("http://nobody.invalid/", ONCE) as http:
        with pytest.raises(ServiceError, match="cannot be resolved") as caught:
            await http.request_json("GET", "x")
    assert caught.value.fault == "network"


async def test_a_certificate_is_verified():
    async with serve_http(answer(200, b"{}"), tls=True) as server:
        url = server.url.replace("http:", "https:")
        async with opened(url) as http:
            with pytest.raises(ServiceError, match="certificate does not verify") as caught:
                await http.request_json("GET", "x")
            assert (caught.value.fault, caught.value.transient) == ("network", False)
            assert http.statistics().requests == 1
        context = ssl.create_default_context(cafile=CERTIFICATE)
        async with open_http(url, service="talker", ssl_context=context) as http:
            assert await http.request_json("GET", "x") == {}


async def test_a_port_that_does_not_speak_tls():
    async def garbage(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some(1)
            await stream.send_all(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, garbage, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        async with opened(f"https://127.0.0.1:{port}/", ONCE) as http:
            with pytest.raises(ServiceError, match="TLS failed") as caught:
                await http.request_json("GET", "x")
        nursery.cancel_scope.cancel()
    assert caught.value.fault == "network"


async def test_a_cancelled_session_sends_no_request():
    gate = Gate()
    gate.shut()
    async with serve_http(answer(200, b"{}")) as server, opened(server.url) as http:
        with using_gate(gate), pytest.raises(SessionEnded):
            await http.request_json("GET", "x")
    assert server.requests == []


@pytest.mark.parametrize("url", ["ws://host/", "nonsense", "https://", "http://host:port/"])
async def test_a_bad_address_is_one_clear_error(url: str):
    with pytest.raises(ConfigError, match="is not an HTTP address"):
        async with open_http(url, service="talker"):
            pass


async def test_jitter_comes_from_the_given_chance():
    waits = ReconnectSettings(first_s=0.05)
    times = []
    for _ in range(2):
        async with serve_http(answer(503), answer(200, b"{}")) as server:
            settings = HttpSettings(waits=waits)
            async with open_http(server.url, service="t", settings=settings, chance=random.Random(4)) as http:
                await http.request_json("GET", "x")
        times.append(server.times[1] - server.times[0])
    assert min(times) >= random.Random(4).uniform(0, 0.05)
