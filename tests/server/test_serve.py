from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import trio
import trio.testing

from voicetrio.connection.websocket import (
    HandshakeFailed,
    SocketClosed,
    SocketLimits,
    open_websocket_client,
)
from voicetrio.errors import ConfigError
from voicetrio.frames import AudioFrame
from voicetrio.runtime.session import open_session
from voicetrio.server.peer import ServedPeer
from voicetrio.server.serve import serve_sessions


async def echo(context) -> None:
    """Play back what comes in, until it ends."""
    speech = context.playout.open_speech("echo")
    speech.release()
    async for frame in context.inlet:
        await speech.send(AudioFrame.from_samples(frame.samples, context.playout.rate))
    speech.finish()


async def answer(peer: ServedPeer) -> None:
    async with open_session(peer, echo) as session:
        await session.wait_ended()


async def wait_until(condition) -> None:
    """Let other tasks and the kernel go on until ``condition`` holds; bounded by the test's own patience."""
    with trio.fail_after(10):
        while not condition():  # noqa: ASYNC110 - the kernel sets no event
            await trio.sleep(0.01)


async def read_to_end(socket) -> tuple[list[bytes | str], SocketClosed]:
    """Return what comes until the connection ends, and how it ended."""
    messages = []
    try:
        while True:
            messages.append(await socket.receive())
    except SocketClosed as closed:
        return messages, closed


async def wait_for_ever(_argument) -> None:
    await trio.sleep_forever()


async def test_a_client_is_served_over_loopback(nursery):
    server = await nursery.start(serve_sessions, answer, 0)
    assert server.url == f"ws://127.0.0.1:{server.port}"
    async with open_websocket_client(server.url + "/?input_rate=24000") as client:
        hello = json.loads(await client.receive())
        assert (hello["type"], hello["input_rate"], hello["output_rate"]) == ("hello", 24000, 24000)
        spoken = np.arange(1, 2401, dtype="<i2").tobytes()
        for start in range(0, len(spoken), 960):
            await client.send(spoken[start : start + 960])
        await client.send('{"type": "end"}')
        messages, closed = await read_to_end(client)
        heard = b"".join(message for message in messages if isinstance(message, bytes))
        assert heard == spoken
        assert (closed.code, closed.reason) == (1000, "source_ended")
    await wait_until(lambda: server.statistics().open_sockets + server.statistics().open_sessions == 0)
    counts = server.statistics()
    assert (counts.accepted, counts.refused, counts.failed, counts.open_sessions) == (1, 0, 0, 0)


async def test_the_handler_sees_how_the_client_came(nursery):
    seen = []

    async def look(peer: ServedPeer) -> None:
        seen.append((peer.request.path, dict(peer.request.query), peer.request.headers["x-token"], peer.name))
        assert peer.request.remote.startswith("127.0.0.1:")
        await trio.lowlevel.checkpoint()

    server = await nursery.start(serve_sessions, look, 0)
    async with open_websocket_client(server.url + "/room/7?a=b%20c", headers=[("X-Token", "t")]) as client:
        with pytest.raises(SocketClosed) as caught:
            await client.receive()
        assert (caught.value.code, caught.value.reason) == (1000, "no session")
    assert seen == [("/room/7", {"a": "b c"}, "t", "peer-1")]


async def test_a_handler_that_raises_ends_its_own_session_only(nursery, caplog):
    async def fail_sometimes(peer: ServedPeer) -> None:
        if peer.request.path == "/fail":
            raise RuntimeError("a bug of the application")
        await answer(peer)

    server = await nursery.start(serve_sessions, fail_sometimes, 0)
    async with open_websocket_client(server.url) as healthy:
        with caplog.at_level(logging.ERROR, "voicetrio.server"):
            async with open_websocket_client(server.url + "/fail") as client:
                with pytest.raises(SocketClosed) as caught:
                    await client.receive()
                assert caught.value.code == 1011
            await wait_until(lambda: server.statistics().open_sessions == 1)
        assert json.loads(await healthy.receive())["type"] == "hello"
    assert server.statistics().failed == 1
    assert "a bug of the application" in caplog.text


@pytest.mark.parametrize("where", ["in the behaviour", "in the body"])
async def test_a_session_that_fails_is_no_server_that_goes_away(nursery, caplog, where):
    async def behaviour(context) -> None:
        if where == "in the behaviour":
            raise RuntimeError(where)
        await context.wait_ending()

    async def handler(peer: ServedPeer) -> None:
        async with open_session(peer, behaviour) as session:
            if where == "in the body":
                raise RuntimeError(where)
            await session.wait_ended()

    server = await nursery.start(serve_sessions, handler, 0)
    async with open_websocket_client(server.url) as client:
        _messages, closed = await read_to_end(client)
        # 1001 would invite the client to come back at once.
        assert closed.code == 1011
    await wait_until(lambda: server.statistics().failed == 1)


@pytest.mark.parametrize(
    ("request_bytes", "answer_start"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 426 "),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 405 "),
        (b"\x00\x01\x02\r\n\r\n", b""),
    ],
    ids=["get", "post", "garbage"],
)
async def test_what_is_no_websocket_is_refused(nursery, request_bytes, answer_start):
    server = await nursery.start(serve_sessions, answer, 0)
    stream = await trio.open_tcp_stream("127.0.0.1", server.port)
    async with stream:
        await stream.send_all(request_bytes)
        got = b""
        while data := await stream.receive_some():
            got += bytes(data)
    assert got.startswith(answer_start)
    assert bool(got) == bool(answer_start)
    await wait_until(lambda: server.statistics().open_sockets == 0)
    assert (server.statistics().refused, server.statistics().accepted) == (1, 0)


async def test_rates_that_are_not_offered_are_refused_with_400(nursery):
    server = await nursery.start(serve_sessions, answer, 0)
    with pytest.raises(HandshakeFailed, match="output_rate must be one of") as caught:
        async with open_websocket_client(server.url + "?output_rate=11025"):
            raise AssertionError("it must not open")
    assert caught.value.status == 400


async def test_a_slow_handshake_is_given_up(nursery, autojump_clock):
    server = await nursery.start(
        lambda task_status: serve_sessions(
            answer, 0, limits=SocketLimits(handshake_s=5), task_status=task_status
        )
    )
    stream = await trio.open_tcp_stream("127.0.0.1", server.port)
    async with stream:
        await stream.send_all(b"GET / HTTP/1.1\r\n")
        assert await stream.receive_some() == b""
        assert trio.current_time() == pytest.approx(5)
    assert server.statistics().refused == 1


async def test_a_peer_that_floods_is_cut_off_alone(nursery):
    server = await nursery.start(serve_sessions, answer, 0)
    async with open_websocket_client(server.url) as healthy, open_websocket_client(server.url) as bad:
        await bad.send(bytes(100_000))
        _messages, closed = await read_to_end(bad)
        assert closed.code == 1009
        assert json.loads(await healthy.receive())["type"] == "hello"
        await wait_until(lambda: server.statistics().open_sessions == 1)


async def test_close_accepts_nobody_and_lets_sessions_go_on():
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            server = await nursery.start(serve_sessions, answer, 0)
            async with open_websocket_client(server.url) as client:
                await client.receive()
                server.close()
                await trio.testing.wait_all_tasks_blocked()
                with pytest.raises(HandshakeFailed):
                    async with open_websocket_client(server.url):
                        raise AssertionError("it must not open")
                await client.send(bytes(9600))
                while not isinstance(await client.receive(), bytes):
                    pass
            # The nursery ends by itself after the last session.


async def test_cancelling_the_server_says_goodbye_and_leaves_no_task():
    sessions = []

    async def handler(peer: ServedPeer) -> None:
        async with open_session(peer, echo) as session:
            sessions.append(session)
            await session.wait_ended()

    before = trio.lowlevel.current_statistics().tasks_living
    async with trio.open_nursery() as clients:
        async with trio.open_nursery() as nursery:
            server = await nursery.start(serve_sessions, handler, 0)
            codes = []

            async def call() -> None:
                async with open_websocket_client(server.url) as client:
                    codes.append((await read_to_end(client))[1].code)

            for _ in range(3):
                clients.start_soon(call)
            await wait_until(lambda: len(sessions) == 3)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert codes == [1001] * 3
    assert [session.result.reason for session in sessions] == ["cancelled"] * 3
    assert trio.lowlevel.current_statistics().tasks_living == before
    assert server.statistics().open_sockets == 0


@pytest.mark.parametrize("has_tasks", [False, True])
async def test_what_a_handler_raises_when_the_server_is_cancelled_is_logged_and_goes_no_further(
    caplog, has_tasks
):
    caplog.set_level(logging.CRITICAL, "voicetrio.server")

    async def handler(peer: ServedPeer) -> None:
        async with trio.open_nursery() as tasks:
            if has_tasks:  # then the group that comes out holds a Cancelled, too
                tasks.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise RuntimeError("a bug in cleaning up")

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_sessions, handler, 0)
        async with open_websocket_client(server.url):
            await wait_until(lambda: server.statistics().open_sessions == 1)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert server.statistics().failed == 1


async def test_who_waits_for_a_server_learns_that_it_was_cancelled(autojump_clock):
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_sessions, answer, 0)
        nursery.cancel_scope.cancel()
    with trio.fail_after(1):
        await server.wait_over()


async def test_a_handler_that_does_not_use_its_peer_is_told_of_no_error_when_the_server_stops():
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_sessions, wait_for_ever, 0)
        async with open_websocket_client(server.url) as client:
            await wait_until(lambda: server.statistics().open_sessions == 1)
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True), pytest.raises(SocketClosed) as caught:
                await client.receive()
            assert caught.value.code == 1001


async def test_a_port_in_use_is_one_clear_error(nursery):
    server = await nursery.start(serve_sessions, answer, 0)
    with pytest.raises(
        ConfigError, match=rf"cannot listen on 127\.0\.0\.1:{server.port}: the port is in use"
    ):
        await serve_sessions(answer, server.port)


@pytest.mark.parametrize("port", [-1, 65536])
async def test_an_impossible_port_is_refused(port):
    with pytest.raises(ConfigError, match="from 0 to 65535"):
        await serve_sessions(answer, port)


async def test_an_address_that_is_not_this_machines_is_refused():
    with pytest.raises(
        ConfigError, match=r"cannot listen on 192\.0\.2\.1:0: this machine has no such address"
    ):
        await serve_sessions(answer, 0, "192.0.2.1", open_to_all=True)
