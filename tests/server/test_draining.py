"""Stopping: nobody new is let in, those who are there finish, nobody is waited for beyond the deadline."""

from __future__ import annotations

import json
import math
from functools import partial

import pytest
import trio

from tests.server.calls import Handler, calling, listen, read_to_end, tell_a_story, until
from voicetrio.connection.websocket import HandshakeFailed, open_websocket_client
from voicetrio.runtime.session import open_session
from voicetrio.server.serve import serve_sessions
from voicetrio.server.settings import ServerSettings


async def plain_get(server, path: str) -> str:
    stream = await trio.open_tcp_stream("127.0.0.1", server.port)
    async with stream:
        await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        got = b""
        while data := await stream.receive_some():
            got += bytes(data)
    return got.decode()


async def test_a_drain_lets_the_sessions_finish_and_refuses_new_ones(autojump_clock):
    handler = Handler()
    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve_sessions, handler, 0))
        assert "200 OK" in await plain_get(server, "/readyz")
        async with calling(server) as (socket, _hello):
            server.drain(60)
            began = trio.current_time()
            with pytest.raises(HandshakeFailed) as caught:
                async with open_websocket_client(server.url):
                    raise AssertionError("it must not open")
            assert (caught.value.status, caught.value.retry_after) == (503, "5")
            ready = await plain_get(server, "/readyz")
            assert "503 Service Unavailable" in ready
            assert ready.endswith("draining\n")
            assert "200 OK" in await plain_get(server, "/healthz")
            await trio.sleep(20)
            await socket.send(json.dumps({"type": "end"}))
            messages, closed = await read_to_end(socket)
            assert closed.code == 1000
            told = [json.loads(message) for message in messages if isinstance(message, str)]
            (warning,) = [fields for fields in told if fields.get("event") == "session_expiring"]
            assert (warning["reason"], warning["left_s"]) == ("server_restart", 60)
    # The server has returned: it did not wait for the deadline.
    assert trio.current_time() - began < 25
    assert handler.sessions[0].result.reason == "source_ended"


async def test_a_drain_needs_no_reason(autojump_clock):
    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve_sessions, Handler(tell_a_story), 0))
        async with calling(server) as (socket, _hello):
            server.drain(20, reason="")
            began = trio.current_time()
            await read_to_end(socket)
    assert trio.current_time() - began < 20


async def test_a_drain_without_a_deadline_waits_for_the_last_session_and_returns(autojump_clock):
    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve_sessions, Handler(), 0))
        async with calling(server) as (socket, _hello):
            server.drain(math.inf)
            assert server.why_not_ready() == "draining"
            await trio.sleep(100)
            await socket.send(json.dumps({"type": "end"}))
            _messages, closed = await read_to_end(socket)
            assert (closed.code, closed.reason) == (1000, "source_ended")


async def test_what_is_left_before_the_deadline_is_ended_gracefully(autojump_clock):
    handler = Handler(tell_a_story)
    async with trio.open_nursery() as nursery:
        server = await nursery.start(
            partial(serve_sessions, handler, 0, settings=ServerSettings(last_words_s=5))
        )
        async with calling(server) as (socket, _hello):
            server.drain(20)
            began = trio.current_time()
            messages, closed = await read_to_end(socket)
            assert (closed.code, closed.reason) == (1012, "server_restart")
            assert 15 < trio.current_time() - began < 20
            assert json.loads(messages[-1]) == {"type": "bye", "reason": "server_restart"}
    assert trio.current_time() - began < 20
    assert handler.sessions[0].result.reason == "server_restart"


async def test_at_the_deadline_nothing_is_left(autojump_clock):
    async def stubborn(context) -> None:
        await trio.sleep_forever()

    sessions = []

    async def handler(peer) -> None:
        async with open_session(peer, stubborn) as session:
            sessions.append(session)
            await session.wait_ended()
        await trio.sleep_forever()  # and it does not return either

    async with trio.open_nursery() as nursery:
        server = await nursery.start(
            partial(serve_sessions, handler, 0, settings=ServerSettings(last_words_s=0))
        )
        async with calling(server) as (socket, _hello):
            server.drain(10, code=1001)
            began = trio.current_time()
            _messages, closed = await read_to_end(socket)
            assert closed.code == 1001
    assert 8.5 < trio.current_time() - began <= 10
    assert sessions[0].result.reason in ("cancelled", "server_restart")


async def test_a_second_drain_can_only_shorten(autojump_clock):
    async with trio.open_nursery() as nursery:
        server = await nursery.start(
            partial(serve_sessions, Handler(), 0, settings=ServerSettings(last_words_s=0))
        )
        async with calling(server) as (socket, _hello):
            began = trio.current_time()
            server.drain(100)
            await trio.sleep(1)
            server.drain(5)
            server.drain(1000)
            await read_to_end(socket)
    assert trio.current_time() - began == pytest.approx(6, abs=1.5)


async def test_a_drain_without_sessions_is_over_at_once(autojump_clock):
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve_sessions, Handler(), 0))
        server.drain(30)
    assert trio.current_time() == began


async def test_a_peer_whose_session_has_not_begun_is_drained_too(autojump_clock):
    async def slow(peer) -> None:
        await trio.sleep(3)
        async with open_session(peer, listen) as session:
            await session.wait_ended()

    async with trio.open_nursery() as nursery:
        server = await nursery.start(
            partial(serve_sessions, slow, 0, settings=ServerSettings(last_words_s=9))
        )
        async with open_websocket_client(server.url) as socket:
            await until(lambda: server.statistics().open_sessions == 1)
            server.drain(10)
            _messages, closed = await read_to_end(socket)
            assert closed.code == 1012
    assert trio.current_time() < 10
