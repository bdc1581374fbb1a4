from __future__ import annotations

import pytest
import trio
import trio.testing
from websockets.frames import CLOSE, PING, Frame

from tests.connection.websocket.raw import REQUEST
from voicetrio.connection.websocket import (
    AnsweredPlainly,
    HandshakeFailed,
    PlainAnswer,
    Refusal,
    SocketLimits,
    UpgradeRequest,
    accept_websocket,
    open_stream_socket,
    open_websocket_client,
)
from voicetrio.errors import ConfigError


async def answer_to(request: bytes, *, refuse=None, plain=None) -> tuple[str, HandshakeFailed | None]:
    """Return the head and body of the server's answer, and what accept_websocket raised."""
    near, far = trio.testing.memory_stream_pair()
    await far.send_all(request)
    failure = None
    try:
        await accept_websocket(near, SocketLimits(), refuse=refuse, plain=plain)
    except HandshakeFailed as error:
        failure = error
    await near.aclose()
    answer = b""
    while data := await far.receive_some():
        answer += bytes(data)
    return answer.decode(), failure


async def test_a_request_is_taken_apart():
    seen: list[UpgradeRequest] = []
    answer, failure = await answer_to(REQUEST, refuse=seen.append)
    assert failure is None
    assert answer.startswith("HTTP/1.1 101 ")
    assert "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer  # RFC 6455, section 1.3
    assert seen[0].path == "/call"
    assert seen[0].query == {"input_rate": "8000"}
    assert seen[0].headers["host"] == "test"


async def test_no_extension_is_accepted():
    offer = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    answer, _failure = await answer_to(REQUEST[:-2] + offer)
    assert "xtensions" not in answer


async def test_a_plain_get_is_told_to_upgrade():
    answer, failure = await answer_to(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
    assert answer.startswith("HTTP/1.1 426 Upgrade Required")
    assert "Upgrade: websocket" in answer
    assert "WebSocket client" in answer
    assert failure.status == 426


PLAIN_GET = b"GET /page.html?x=1 HTTP/1.1\r\nHost: test\r\n\r\n"


async def test_a_plain_get_can_have_an_answer():
    seen: list[UpgradeRequest] = []

    def plain(request: UpgradeRequest) -> PlainAnswer:
        seen.append(request)
        return PlainAnswer(200, b"<p>hi", {"Content-Type": "text/html; charset=utf-8"})

    answer, failure = await answer_to(PLAIN_GET, plain=plain)
    assert answer.startswith("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n")
    assert "\r\nContent-Length: 5\r\n" in answer
    assert "\r\nConnection: close\r\n" in answer
    assert answer.endswith("\r\n\r\n<p>hi")
    assert (type(failure), failure.status) == (AnsweredPlainly, 200)
    assert (seen[0].path, seen[0].query) == ("/page.html", {"x": "1"})


async def test_a_plain_get_without_an_answer_is_told_to_upgrade():
    answer, failure = await answer_to(PLAIN_GET, plain=lambda _request: None)
    assert answer.startswith("HTTP/1.1 426 ")
    assert not isinstance(failure, AnsweredPlainly)


async def test_who_asks_for_a_websocket_is_given_no_page():
    answer, _failure = await answer_to(REQUEST, plain=lambda _request: PlainAnswer(200, b"", {}))
    assert answer.startswith("HTTP/1.1 101 ")


async def test_a_refusal_is_told_with_its_status_and_text():
    refusal = Refusal(503, "No room.\n", {"Retry-After": "7"})
    answer, failure = await answer_to(REQUEST, refuse=lambda _request: refusal)
    assert answer.startswith("HTTP/1.1 503 ")
    assert "Retry-After: 7" in answer
    assert answer.endswith("No room.\n")
    assert failure.status == 503


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (REQUEST.replace(b"GET", b"POST"), "405"),
        (REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"), "505"),
        (REQUEST.replace(b"Version: 13", b"Version: 8"), "400"),
        (REQUEST.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"short"), "400"),
        (b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\n\r\n", "414"),
        (REQUEST[:-2] + b"X: " + b"y" * 10_000 + b"\r\n\r\n", "431"),
        (REQUEST[:-2] + b"".join(b"X%d: y\r\n" % n for n in range(200)) + b"\r\n", "431"),
        (REQUEST.replace(b"input_rate=8000", b"&".join(b"a=1" for _ in range(70))), "400"),
        (b"\x16\x03\x01 not http at all\r\n\r\n", ""),
    ],
    ids="method version ws-version key long-path long-header many-headers many-fields garbage".split(),
)
async def test_a_bad_request_is_refused(request_bytes, status):
    answer, failure = await answer_to(request_bytes)
    assert failure is not None
    assert answer.startswith(f"HTTP/1.1 {status}") if status else answer == ""


async def test_a_client_that_leaves_in_the_middle_is_noticed():
    near, far = trio.testing.memory_stream_pair()
    await far.send_all(REQUEST[:30])
    await far.aclose()
    with pytest.raises(HandshakeFailed):
        await accept_websocket(near, SocketLimits())


async def test_a_slow_request_is_given_up(autojump_clock):
    near, far = trio.testing.memory_stream_pair()

    async def drip() -> None:
        for byte in REQUEST:
            await far.send_all(bytes([byte]))
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(drip)
        with pytest.raises(HandshakeFailed, match="longer than 5 s"):
            await accept_websocket(near, SocketLimits(handshake_s=5))
        assert trio.current_time() == 5
        nursery.cancel_scope.cancel()


async def test_frames_that_come_with_the_request_are_not_lost(autojump_clock):
    near, far = trio.testing.memory_stream_pair()
    await far.send_all(REQUEST + b"\x81\x82\x00\x00\x00\x00hi")
    driver, _request = await accept_websocket(near, SocketLimits())
    async with open_stream_socket(near, driver, SocketLimits(close_s=0.01)) as socket:
        assert await socket.receive() == "hi"
        socket.abort()


# --- the client's side ---


async def connect_to(answer: bytes, **limits) -> None:
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            await far.receive_some(65536)
            await far.send_all(answer)
            if not answer.startswith(b"HTTP/1.1 1"):
                await far.aclose()

        nursery.start_soon(serve)
        try:
            async with open_websocket_client("ws://test/", stream=near, limits=SocketLimits(**limits)):
                raise AssertionError("it must not open")
        finally:
            nursery.cancel_scope.cancel()


async def test_a_refused_client_is_told_status_text_and_when_to_come_back():
    answer = b"HTTP/1.1 503 Busy\r\nRetry-After: 5\r\nContent-Length: 8\r\n\r\nNo room.\r\n"
    with pytest.RaisesGroup(HandshakeFailed) as caught:
        await connect_to(answer)
    (error,) = caught.value.exceptions
    assert (error.status, error.retry_after, error.why) == (503, "5", "No room.")


@pytest.mark.parametrize(
    "answer",
    [
        b"220 mail.test ESMTP\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: wrong\r\n\r\n",
        b"",
    ],
    ids="not-http wrong-accept silence".split(),
)
async def test_what_is_no_websocket_server_is_noticed(answer, autojump_clock):
    with pytest.RaisesGroup(HandshakeFailed):
        await connect_to(answer, handshake_s=5)


async def test_a_server_that_never_answers_is_given_up(autojump_clock):
    near, _far = trio.testing.memory_stream_pair()
    with pytest.raises(HandshakeFailed, match="within 5 s"):
        async with open_websocket_client("ws://test/", stream=near, limits=SocketLimits(handshake_s=5)):
            raise AssertionError("it must not open")
    assert trio.current_time() == 5


async def test_nobody_listens():
    with pytest.raises(HandshakeFailed, match=r"cannot reach 127\.0\.0\.1:1:"):
        async with open_websocket_client("ws://127.0.0.1:1/"):
            raise AssertionError("it must not open")


@pytest.mark.parametrize("url", ["http://test/", "ws://", "ws://test/#part", "ws://test:port/"])
async def test_a_bad_address_is_a_config_error(url):
    with pytest.raises(ConfigError, match="not a WebSocket address"):
        async with open_websocket_client(url):
            raise AssertionError("it must not open")


def test_a_limit_must_be_positive():
    with pytest.raises(ConfigError, match="close_s must be above 0"):
        SocketLimits(close_s=0)


async def test_a_request_over_the_limit_is_refused():
    headers = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(40))
    answer, failure = await answer_to(REQUEST[:-2] + headers + b"\r\n")
    assert answer.startswith("HTTP/1.1 431 ")
    assert failure.status == 431


async def test_what_a_client_sent_is_never_html():
    evil = (
        b"GET /<script>alert(1)</script> HTTP/1.1\r\nHost: x\r\nUpgrade: <b>\r\nConnection: upgrade\r\n\r\n"
    )
    answer, _failure = await answer_to(evil)
    head = answer.partition("\r\n\r\n")[0].lower()
    assert "content-type: text/plain" in head
    assert "x-content-type-options: nosniff" in head


async def test_a_bad_request_is_not_asked_about():
    asked = []
    await answer_to(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n", refuse=asked.append)
    await answer_to(REQUEST.replace(b"13", b"12"), refuse=asked.append)
    assert asked == []


async def test_a_ping_before_the_answer_waits_for_it():
    ping = Frame(PING, b"early").serialize(mask=True)
    answer, failure = await answer_to(REQUEST + ping)
    assert failure is None
    assert answer.startswith("HTTP/1.1 101 ")


@pytest.mark.parametrize(
    "early",
    [b"\xff" * 20, Frame(CLOSE, b"").serialize(mask=True), b"GET / HTTP/1.1\r\n\r\n"],
    ids=["noise", "a close frame", "a request"],
)
async def test_whatever_follows_a_bad_request_is_not_looked_at(early):
    answer, failure = await answer_to(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n" + early)
    assert answer.startswith("HTTP/1.1 426 ")
    assert failure.status == 426
