from __future__ import annotations

import json
import logging
from functools import partial

import pytest
import trio
from websockets.frames import CLOSE, PING, TEXT

from tests.connection.websocket.raw import RawClient
from tests.server.calls import listen, until
from voicetrio.connection.websocket import SocketLimits, open_websocket_client
from voicetrio.runtime.session import open_session
from voicetrio.server.hosting import WebSocketHost, serve_trio_websocket
from voicetrio.transports.websocket import open_adopted_peer


async def handle(request) -> None:
    if request.path == "/raise":
        await request.accept()
        raise RuntimeError("a bug of the application")
    if request.path == "/close":
        connection = await request.accept()
        await connection.aclose(1000)
        return
    async with open_adopted_peer(await request.accept(), headers=request.headers) as peer:
        async with open_session(peer, listen) as session:
            await session.wait_ended()


async def garbage(host: WebSocketHost) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", host.port) as stream:
        raw = RawClient(stream)
        await raw.shake_hands()
        await stream.send_all(b"\xff" * 64)
        await raw.read_close()


async def a_request_that_is_none(host: WebSocketHost) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", host.port) as stream:
        await stream.send_all(b"\x00\x01\r\n\r\n")
        await trio.sleep(0.01)


async def a_handler_that_raises(host: WebSocketHost) -> None:
    async with open_websocket_client(f"ws://127.0.0.1:{host.port}/raise"):
        await trio.sleep(0.01)


async def a_ping_during_the_close(host: WebSocketHost) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", host.port) as stream:
        raw = RawClient(stream)
        await stream.send_all(
            b"GET /close HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += bytes(await stream.receive_some(1))
        while (await raw.read()).opcode is not CLOSE:
            pass
        await raw.write(PING, b"late")
        await trio.sleep(0.01)


async def a_reset(host: WebSocketHost) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", host.port) as stream:
        await RawClient(stream).shake_hands()
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


async def text_that_is_none(host: WebSocketHost) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", host.port) as stream:
        raw = RawClient(stream)
        await raw.shake_hands()
        await raw.write(TEXT, b"\xff\xfe")
        closed = await raw.read_close()
        assert closed is None or closed.code == 1007


FAULTS = [
    garbage,
    a_request_that_is_none,
    a_handler_that_raises,
    a_ping_during_the_close,
    a_reset,
    text_that_is_none,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_a_fault_in_one_connection_does_not_reach_another(nursery, caplog, fault):
    caplog.set_level(logging.CRITICAL, "voicetrio.server")
    limits = SocketLimits(handshake_s=0.3)
    host = await nursery.start(partial(serve_trio_websocket, handle, 0, limits=limits))
    async with open_websocket_client(f"ws://127.0.0.1:{host.port}/") as healthy:
        assert json.loads(await healthy.receive())["type"] == "hello"
        with trio.fail_after(10):
            await fault(host)
        await until(lambda: host.statistics().open_connections == 1)
        await healthy.send(json.dumps({"type": "message"}))
        while "bad_field" not in (message := await healthy.receive()):
            pass
        assert json.loads(message)["type"] == "error"


async def test_what_a_handler_raises_when_the_host_is_cancelled_goes_no_further(caplog):
    caplog.set_level(logging.CRITICAL, "voicetrio.server")

    async def fail_in_cleaning_up(request) -> None:
        await request.accept()
        async with trio.open_nursery() as tasks:
            tasks.start_soon(trio.sleep_forever)
            try:
                handling.set()
                await trio.sleep_forever()
            finally:
                raise RuntimeError("a bug in cleaning up")

    handling = trio.Event()
    async with trio.open_nursery() as nursery:
        host = await nursery.start(serve_trio_websocket, fail_in_cleaning_up, 0)
        async with open_websocket_client(f"ws://127.0.0.1:{host.port}/"):
            await handling.wait()
            nursery.cancel_scope.cancel()
    assert host.statistics().failed == 1


async def test_a_handshake_has_a_deadline(nursery, autojump_clock):
    host = await nursery.start(
        lambda task_status: serve_trio_websocket(
            handle, 0, limits=SocketLimits(handshake_s=5), task_status=task_status
        )
    )
    async with await trio.open_tcp_stream("127.0.0.1", host.port) as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\n")
        assert await stream.receive_some() == b""
        assert trio.current_time() == pytest.approx(5, abs=0.1)
    assert host.statistics().not_opened == 1
