"""The way to a server: real sockets of the loopback, and our WebSocket layer over streams in virtual time."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import attrs
import pytest
import trio
import trio.testing
import trio_websocket
from trio.testing import memory_stream_pair

from tests.connection.raw_http import CERTIFICATE, KEY, answer, serve_http
from tests.runtime.peer import Peer
from voicetrio.connection.connection import open_connection
from voicetrio.connection.dialling import hide, websocket_dialler
from voicetrio.connection.faults import ConnectionLost
from voicetrio.connection.settings import ConnectionSettings
from voicetrio.connection.websocket import (
    HandshakeFailed,
    MessageSocket,
    Refusal,
    SocketClosed,
    SocketLimits,
    StreamSocket,
    UpgradeRequest,
    accept_websocket,
    adopt_trio_websocket,
    open_stream_socket,
    open_websocket_client,
)
from voicetrio.errors import ConfigError, MissingExtra, ServiceError
from voicetrio.machines.reconnect import ReconnectSettings
from voicetrio.runtime.behaviour import SessionContext
from voicetrio.runtime.session import open_session


@attrs.define
class EchoServer:
    port: int = 0
    requests: list[UpgradeRequest] = attrs.field(factory=list)
    targets: list[str] = attrs.field(factory=list)
    """What a proxy was asked to connect to."""
    alive: int = 0
    most_alive: int = 0
    closing: Callable[[str], tuple[int, str] | None] = lambda _text: None
    ends: list[SocketClosed] = attrs.field(factory=list)
    """How the streams ended that were not refused."""
    ended: trio.Event = attrs.field(factory=trio.Event)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/listen"


@asynccontextmanager
async def serve_echo(
    *, tls: bool = False, refusal: Refusal | None = None, proxy: bool = False
) -> AsyncIterator[EchoServer]:
    """Serve WebSockets that say everything back; with ``proxy``, behind an HTTP CONNECT."""
    server = EchoServer()

    def judge(request: UpgradeRequest) -> Refusal | None:
        server.requests.append(request)
        return refusal

    async def talk(socket: StreamSocket) -> None:
        while True:
            message = await socket.receive()
            code = server.closing(str(message))
            if code is not None:
                await socket.close(*code)
            else:
                await socket.send(message)

    async def handle(stream: trio.abc.Stream) -> None:
        server.alive += 1
        server.most_alive = max(server.most_alive, server.alive)
        try:
            if proxy:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += await stream.receive_some(1)
                server.targets.append(head.decode())
                await stream.send_all(b"HTTP/1.1 200 Connected\r\n\r\n")
            if tls:
                context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                context.load_cert_chain(CERTIFICATE, KEY)
                stream = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
            driver, _request = await accept_websocket(stream, SocketLimits(), refuse=judge)
            async with open_stream_socket(stream, driver, SocketLimits()) as socket:
                await talk(socket)
        except SocketClosed as closed:
            server.ends.append(closed)
            server.ended.set()
        except (OSError, trio.BrokenResourceError, HandshakeFailed):
            pass  # ssl.SSLError is an OSError
        finally:
            server.alive -= 1
            await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        server.port = listeners[0].socket.getsockname()[1]
        yield server
        nursery.cancel_scope.cancel()


async def test_a_real_server_that_closes_is_dialled_again():
    async with serve_echo() as server:
        server.closing = lambda text: (1011, "overloaded") if text == "close" else None
        async with open_connection(websocket_dialler(server.url, proxy=None), name="echo") as connection:
            for count in range(1, 4):
                await connection.send("one")
                assert await connection.receive() == "one"
                await connection.send("close")
                with pytest.raises(ConnectionLost, match="overloaded"):
                    await connection.receive()
                assert connection.statistics().lost == count
        assert server.most_alive == 1


async def test_headers_are_sent_anew_with_each_dial():
    keys = iter(["first-key", "second-key"])
    async with serve_echo() as server:
        dial = websocket_dialler(
            server.url, headers=lambda: [("Authorization", f"Token {next(keys)}")], proxy=None
        )
        async with open_connection(dial) as connection:
            await connection.wait_usable()
            connection.recycle("test")
            with pytest.raises(ConnectionLost):
                await connection.receive()
            await connection.wait_usable()
    assert [request.headers["authorization"] for request in server.requests] == [
        "Token first-key",
        "Token second-key",
    ]


async def test_a_refused_key_does_not_stand_in_the_error():
    async with serve_echo(refusal=Refusal(401, "the key my-secret-key is wrong")) as server:
        dial = websocket_dialler(server.url, headers=[("Authorization", "Token my-secret-key")], proxy=None)
        async with open_connection(dial, name="echo") as connection:
            with pytest.raises(ServiceError, match="the key … is wrong") as caught:
                await connection.wait_usable()
    assert caught.value.fault == "credentials"
    assert "Check the key" in str(caught.value)
    assert len(server.requests) == 1


async def test_an_answer_that_is_no_websocket():
    async with serve_http(answer(200, b"<html>welcome</html>", kind="text/html")) as server:
        async with open_connection(
            websocket_dialler(server.url.replace("http", "ws"), proxy=None)
        ) as connection:
            with pytest.raises(ServiceError, match="HTTP 200") as caught:
                await connection.wait_usable()
    assert not caught.value.transient


async def test_tls_is_verified():
    async with serve_echo(tls=True) as server:
        url = server.url.replace("ws:", "wss:")
        async with open_connection(websocket_dialler(url, proxy=None), name="echo") as connection:
            with pytest.raises(ServiceError, match="its certificate does not verify") as caught:
                await connection.wait_usable()
            assert connection.statistics().dials == 1
        assert caught.value.fault == "network"
        trusting = ssl.create_default_context(cafile=CERTIFICATE)
        async with open_connection(websocket_dialler(url, ssl_context=trusting, proxy=None)) as connection:
            await connection.send("hello")
            assert await connection.receive() == "hello"


async def test_a_name_that_does_not_resolve_is_tried_again_within_the_budget():
    budget = ReconnectSettings(per_session=2, first_s=0, base_s=0)
    dial = websocket_dialler("wss://nobody.invalid/", proxy=None)
    async with open_connection(dial, name="echo", reconnect=budget) as connection:
        with pytest.raises(ServiceError, match=r"gave up after 2 tries.*cannot be resolved") as caught:
            await connection.wait_usable()
    assert (caught.value.fault, caught.value.transient) == ("network", True)


@pytest.mark.parametrize("tls", [False, True])
async def test_a_proxy_is_asked_to_connect(tls: bool):
    trusting = ssl.create_default_context(cafile=CERTIFICATE)
    async with serve_echo(proxy=True, tls=tls) as server:
        dial = websocket_dialler(
            "wss://127.0.0.1:9999/listen" if tls else "ws://service.example/listen",
            ssl_context=trusting,
            proxy=f"http://user:pass@127.0.0.1:{server.port}",
        )
        async with open_connection(dial) as connection:
            await connection.send("through")
            assert await connection.receive() == "through"
    target = "127.0.0.1:9999" if tls else "service.example:80"
    assert server.targets[0].startswith(f"CONNECT {target} HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic dXNlcjpwYXNz" in server.targets[0]


async def test_the_environments_proxy_is_used(monkeypatch: pytest.MonkeyPatch):
    async with serve_echo(proxy=True) as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.port}")
        monkeypatch.setenv("no_proxy", "")
        async with open_connection(websocket_dialler("ws://service.example/")) as connection:
            await connection.wait_usable()
    assert len(server.targets) == 1


@asynccontextmanager
async def serve_socks(*, verdict: int = 0, upstream: int = 0) -> AsyncIterator[tuple[int, list[str]]]:
    """Serve SOCKS 5 (RFC 1928, 1929): give the port, and what was asked for."""
    asked: list[str] = []

    async def read(stream: trio.abc.Stream, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += bytes(await stream.receive_some(count - len(data)))
        return data

    async def copy(source: trio.abc.Stream, sink: trio.abc.Stream) -> None:
        async for data in source:
            await sink.send_all(data)

    async def handle(stream: trio.SocketStream) -> None:
        _version, methods = await read(stream, 2)
        await read(stream, methods)
        await stream.send_all(b"\x05\x02")
        _version, length = await read(stream, 2)
        user = await read(stream, length)
        password = await read(stream, (await read(stream, 1))[0])
        await stream.send_all(b"\x01\x00")
        kind = (await read(stream, 4))[3]
        assert kind == 3, "the proxy resolves the name"
        name = await read(stream, (await read(stream, 1))[0])
        port = int.from_bytes(await read(stream, 2), "big")
        asked.append(f"{user.decode()}:{password.decode()}@{name.decode()}:{port}")
        await stream.send_all(bytes([5, verdict, 0, 1, 0, 0, 0, 0, 0, 0]))
        if not verdict:
            far = await trio.open_tcp_stream("127.0.0.1", upstream)
            async with far, stream, trio.open_nursery() as nursery:
                nursery.start_soon(copy, far, stream)
                await copy(stream, far)
                nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        yield listeners[0].socket.getsockname()[1], asked
        nursery.cancel_scope.cancel()


async def test_a_socks_proxy_is_asked_for_the_servers_name():
    async with serve_echo() as server, serve_socks(upstream=server.port) as (port, asked):
        dial = websocket_dialler("ws://service.example/", proxy=f"socks5h://user:pass@127.0.0.1:{port}")
        async with open_connection(dial) as connection:
            await connection.send("through")
            assert await connection.receive() == "through"
    assert asked == ["user:pass@service.example:80"]


async def test_a_socks_proxy_that_refuses_says_so():
    budget = ReconnectSettings(per_session=1, first_s=0)
    async with serve_socks(verdict=2) as (port, asked):
        dial = websocket_dialler(
            "ws://service.example/", proxy=f"socks5h://user:secret-pass@127.0.0.1:{port}"
        )
        async with open_connection(dial, name="echo", reconnect=budget) as connection:
            with pytest.raises(
                ServiceError, match=r"the proxy .* refuses to connect: .*not allowed by ruleset"
            ) as caught:
                await connection.wait_usable()
    assert "secret-pass" not in str(caught.value)
    assert len(asked) == 2


def test_a_socks_proxy_without_its_extra_says_which_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("voicetrio.connection.proxies.find_spec", lambda _name: None)
    with pytest.raises(MissingExtra, match=r"a socks5h proxy needs the extra 'socks'"):
        websocket_dialler("ws://service.example/", proxy="socks5h://127.0.0.1:1")


def test_a_bad_proxy_does_not_show_its_password():
    with pytest.raises(ConfigError) as caught:
        websocket_dialler("ws://service.example/", proxy="http://user:secret-pass@host/path")
    assert "secret-pass" not in str(caught.value)


async def test_a_proxy_that_refuses_says_so():
    async with serve_http(answer(407)) as server:
        dial = websocket_dialler("ws://service.example/", proxy=f"http://127.0.0.1:{server.port}")
        async with open_connection(dial) as connection:
            with pytest.raises(ServiceError, match=r"the proxy .* refuses to connect \(HTTP 407\)") as caught:
                await connection.wait_usable()
    assert caught.value.fault == "credentials"


@pytest.mark.parametrize(
    "answered",
    [
        b"",
        b"\x05\x00",
        b"HTTP/1.1 200 " + b"x" * 10_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 407 No\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 407 No\r\nContent-Length: 99999999999999\r\n\r\n",
    ],
    ids=["nothing", "socks", "long", "many", "coding", "body"],
)
async def test_a_proxy_that_answers_oddly_is_one_error(answered: bytes):
    async def script(stream: trio.abc.Stream, _request: str) -> None:
        await stream.send_all(answered)
        await stream.aclose()

    async with serve_http(script) as server:
        dial = websocket_dialler("ws://service.example/", proxy=f"http://127.0.0.1:{server.port}")
        with pytest.raises(HandshakeFailed, match=r"the proxy 127\.0\.0\.1:\d+ "):
            async with dial(SocketLimits()):
                pass


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1/path", "ftp://x", "http://", "http://x:port"])
def test_a_proxy_that_cannot_be_used_is_one_clear_error(proxy: str):
    with pytest.raises(ConfigError, match="prox"):
        websocket_dialler("ws://service.example/", proxy=proxy)


def test_secrets_are_hidden_and_short_words_are_left_alone():
    assert hide("Token abcdefgh1 no", ["Token abcdefgh1", "no"]) == "… no"
    assert hide("bad key abcdefgh1", ["Bearer abcdefgh1"]) == "bad key …"
    assert hide("bad key abcde…", ["Bearer abcdefgh1"]) == "bad key …"
    assert hide("bad ab…", ["Bearer abcdefgh1"]) == "bad ab…"


REFUSALS = {
    '{"err_code":"INVALID_AUTH","err_msg":"Invalid credentials.","request_id":"1"}': "Invalid credentials.",
    '{"detail":{"status":"invalid_api_key","message":"Invalid API key"}}': "Invalid API key",
    '{"error_code":"unauthorized","title":"Unauthorized","message":"no such key","status_code":401}': (
        "no such key"
    ),
    '{"error":{"message":"Incorrect API key\\nprovided","code":"invalid_api_key"}}': (
        "Incorrect API key provided"
    ),
    "": "Status",
    "<html><head><title>Log in</title></head></html>": (
        "a web page (Log in) instead of the service's answer: is it the right address, or a proxy?"
    ),
}


@pytest.mark.parametrize("body", REFUSALS)
async def test_a_refused_upgrade_is_one_readable_line(body: str):
    async with serve_http(answer(401, body.encode(), kind="application/octet-stream")) as server:
        dial = websocket_dialler(server.url.replace("http", "ws"), proxy=None)
        async with open_connection(dial, name="echo") as connection:
            with pytest.raises(ServiceError) as caught:
                await connection.wait_usable()
    advice = "Check the key, and that it may use this service"
    assert str(caught.value) == f"echo: refused: {REFUSALS[body]} (HTTP 401). {advice}"


@pytest.mark.parametrize("tls", [False, True])
async def test_a_session_that_is_cancelled_says_goodbye_and_waits_for_nothing(tls: bool):
    trusting = ssl.create_default_context(cafile=CERTIFICATE)
    async with serve_echo(tls=tls) as server:
        dial = websocket_dialler(
            server.url.replace("ws:", "wss:" if tls else "ws:"), ssl_context=trusting, proxy=None
        )

        async def behaviour(_context: SessionContext) -> None:
            async with open_connection(dial) as connection:
                await connection.send("hello")
                assert await connection.receive() == "hello"
                session.cancel()
                await trio.sleep_forever()

        async with open_session(Peer(), behaviour) as session:
            await session.wait_ended()
        with trio.fail_after(5):
            await server.ended.wait()
    assert [(end.by, end.code) for end in server.ends] == [("peer", 1001)]


# --- our layer, in virtual time ---


class Partition:
    """Servers at the far ends of memory streams; ``cut`` lets them hear and say nothing any more."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._streams: list[_Held] = []

    @asynccontextmanager
    async def connect(self, limits: SocketLimits) -> AsyncIterator[MessageSocket]:
        near, far = memory_stream_pair()
        self._nursery.start_soon(self._serve, far)
        async with open_websocket_client("ws://far/", limits=limits, stream=near) as socket:
            yield socket

    async def _serve(self, far: trio.abc.Stream) -> None:
        quiet = SocketLimits(keepalive_s=1e9)
        driver, _request = await accept_websocket(far, quiet)
        held = _Held(far)
        self._streams.append(held)
        await StreamSocket(held, driver, quiet).run()

    def cut(self) -> None:
        for stream in self._streams:
            stream.is_cut = True


class _Held(trio.abc.Stream):
    """A stream that can fall silent without closing."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self.is_cut = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self._stream.receive_some(max_bytes)
        if self.is_cut:
            await trio.sleep_forever()
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self.is_cut:
            await trio.sleep_forever()
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


@pytest.mark.parametrize("cut_at_s", [0.1, 2.0, 4.9, 5.0, 7.3, 12.6])
async def test_a_peer_that_falls_silent_is_noticed_within_keepalive_and_a_second(
    cut_at_s: float, autojump_clock
):
    async with trio.open_nursery() as nursery:
        far = Partition(nursery)
        settings = ConnectionSettings(ping_s=5, pong_s=1)
        async with open_connection(far.connect, settings=settings) as connection:
            await connection.wait_usable()
            await trio.sleep(cut_at_s)
            far.cut()
            started = trio.current_time()
            with pytest.raises(ConnectionLost, match="no answer to pings"):
                await connection.receive()
            assert trio.current_time() - started <= 5 + 1
            await connection.wait_usable()
            assert trio.current_time() - started <= 5 + 1 + 0.25
        nursery.cancel_scope.cancel()


async def test_a_peer_that_answers_pings_is_kept(autojump_clock):
    async with trio.open_nursery() as nursery:
        far = Partition(nursery)
        async with open_connection(far.connect) as connection:
            await connection.wait_usable()
            await trio.sleep(600)
            assert connection.stream == 1
            assert connection.statistics().round_trip_s is not None
        nursery.cancel_scope.cancel()


async def test_a_connection_of_trio_websocket_fits_the_same_seam(autojump_clock):
    async with trio.open_nursery() as nursery:

        async def serve(stream: trio.abc.Stream) -> None:
            driver, _request = await accept_websocket(stream, SocketLimits())
            with suppress(SocketClosed):
                async with open_stream_socket(stream, driver, SocketLimits()) as socket:
                    await socket.send(f"re {await socket.receive()}")
                    await socket.receive()

        @asynccontextmanager
        async def connect(limits: SocketLimits) -> AsyncIterator[MessageSocket]:
            near, far = memory_stream_pair()
            nursery.start_soon(serve, far)
            async with trio.open_nursery() as inner:
                held = await trio_websocket.wrap_client_stream(inner, near, "far", "/")
                async with adopt_trio_websocket(held, limits) as socket:
                    yield socket
                inner.cancel_scope.cancel()

        async with open_connection(connect) as connection:
            await connection.send("hello")
            assert await connection.receive() == "re hello"
