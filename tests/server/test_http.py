"""The HTTP server over real sockets: broken bodies, clients that leave or do not read, draining,
cancelling."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio

from voicetrio.errors import ConfigError
from voicetrio.server.http import AsgiApp, HttpServer, serve_http

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}


def piece(body: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


@asynccontextmanager
async def open_server(app: AsgiApp, **settings: Any) -> AsyncIterator[HttpServer]:
    async with trio.open_nursery() as nursery:
        yield await nursery.start(partial(serve_http, app, 0, **settings))
        nursery.cancel_scope.cancel()


async def connect(server: HttpServer) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", server.port)


async def read_all(stream: trio.SocketStream) -> bytes:
    got = b""
    with trio.fail_after(20):
        while data := await stream.receive_some():
            got += bytes(data)
    return got


async def test_a_body_is_sent_in_chunks_and_ended() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(piece(b"one"))
        await send(piece(b"two", more=False))

    async with open_server(app) as server, await connect(server) as stream:
        await stream.send_all(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answer = await read_all(stream)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


@pytest.mark.parametrize("way", ["returns", "raises"])
async def test_an_application_that_stops_half_way_breaks_the_body_off(way, caplog) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(piece(b"one"))
        if way == "raises":
            raise RuntimeError("half-way")

    async with open_server(app) as server, await connect(server) as stream:
        await stream.send_all(GET)
        answer = await read_all(stream)
    assert answer.endswith(b"3\r\none\r\n")  # and no last chunk
    assert ("half-way" in caplog.text) == (way == "raises")


async def test_an_application_is_told_when_the_client_leaves() -> None:
    left = trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(piece(b"one"))
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    async with open_server(app) as server:
        async with await connect(server) as stream:
            await stream.send_all(GET)
            await stream.receive_some()
        with trio.fail_after(10):
            await left.wait()


async def test_a_client_that_does_not_read_is_dropped() -> None:
    ended = trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def write() -> None:
            while True:
                await send(piece(bytes(1 << 16)))

        await send(START)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            while (await receive())["type"] != "http.disconnect":
                pass
            nursery.cancel_scope.cancel()
        ended.set()

    async with open_server(app, stall_s=0.3) as server, await connect(server) as stream:
        await stream.send_all(GET)
        with trio.fail_after(20):
            await ended.wait()
            while server.statistics().open_connections:  # noqa: ASYNC110 - counts have no event
                await trio.sleep(0.01)
        assert server.statistics().stalled == 1


async def test_cancelling_closes_the_sockets_even_under_a_write() -> None:
    writing = trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        writing.set()
        while True:
            await send(piece(bytes(1 << 16)))

    async with open_server(app, stall_s=3600) as server:
        stream = await connect(server)
        await stream.send_all(GET)
        await writing.wait()
        await trio.testing.wait_all_tasks_blocked(0.05)
    # The server's nursery was left, though its write was shielded and nobody read.
    await stream.aclose()
    assert server.statistics().open_connections == 0


async def test_closing_lets_the_requests_in_hand_finish_and_accepts_no_more() -> None:
    go = trio.Event()
    asked = trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.set()
        await go.wait()
        await send(START)
        await send(piece(b"late", more=False))

    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve_http, app, 0))
        async with await connect(server) as stream, await connect(server) as idle:
            await stream.send_all(GET)
            await asked.wait()
            server.close()
            assert server.is_closing
            with trio.fail_after(10):
                assert await idle.receive_some() == b""
            with pytest.raises(OSError, match="all attempts"):
                await connect(server)
            go.set()
            assert b"late" in await read_all(stream)


async def test_what_is_not_finished_in_time_is_cut() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(piece(b"one"))
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve_http, app, 0))
        async with await connect(server) as stream:
            await stream.send_all(GET)
            await stream.receive_some()
            server.close(0.1)
            with trio.fail_after(10):
                assert not (await read_all(stream)).endswith(b"0\r\n\r\n")


async def test_more_connections_than_allowed_are_told_to_come_back() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await trio.sleep_forever()

    async with open_server(app, max_connections=1) as server:
        async with await connect(server) as first:
            await first.send_all(GET)
            await trio.testing.wait_all_tasks_blocked(0.02)
            async with await connect(server) as second:
                answer = await read_all(second)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"Retry-After" in answer
        assert server.statistics().refused == 1


@pytest.mark.parametrize("rubbish", [b"\x00" * 100, b"GET / HTTP/1.1\r\nHost\r\n\r\n", b"A" * 70_000])
async def test_rubbish_ends_its_own_connection_only(rubbish) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(piece(b"well", more=False))

    async with open_server(app) as server:
        async with await connect(server) as stream:
            await stream.send_all(rubbish)
            answer = await read_all(stream)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
        async with await connect(server) as stream:
            await stream.send_all(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            assert b"well" in await read_all(stream)


async def test_headers_that_do_not_come_are_not_waited_for() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("there was no request")

    async with open_server(app, keep_alive_s=0.2) as server, await connect(server) as stream:
        await stream.send_all(GET[:10])
        assert await read_all(stream) == b""


async def test_a_port_in_use_is_told() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    async with open_server(app) as server:
        with pytest.raises(ConfigError, match="the port is in use"):
            await serve_http(app, server.port)
        assert server.url == f"http://127.0.0.1:{server.port}"
    with pytest.raises(ConfigError, match="stall_s"):
        await serve_http(app, 0, stall_s=0)
