"""What our WebSocket layer makes of each faulty server and client, on the loopback."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from voicetrio.connection.websocket import (
    HandshakeFailed,
    SocketClosed,
    SocketLimits,
    accept_websocket,
    open_stream_socket,
    open_websocket_client,
)
from voicetrio.testing.faults import sockets
from voicetrio.testing.leaks import assert_no_leaks

LIMITS = SocketLimits(keepalive_s=1.0, keepalive_timeout_s=0.5, close_s=0.5, handshake_s=2.0)


async def ending_of(fault: sockets.SocketFault) -> SocketClosed:
    """Connect to a faulty server and return how the connection ended."""
    async with sockets.open_faulty_server(fault) as server:
        async with open_websocket_client(server.url, limits=LIMITS) as socket:
            with pytest.raises(SocketClosed) as caught:
                await socket.receive()
        assert server.connections == 1
    return caught.value


@pytest.mark.parametrize(
    ("fault", "code", "by"),
    [
        (sockets.HalfClose(), None, "network"),
        (sockets.Reset(), None, "network"),
        (sockets.TornFrame(), None, "network"),
        (sockets.Garbage(), 1002, "us"),
        (sockets.CloseWith(1000), 1000, "peer"),
        (sockets.CloseWith(1008, "policy"), 1008, "peer"),
        (sockets.CloseWith(1011), 1011, "peer"),
        (sockets.CloseWith(1006), None, "network"),
        (sockets.IgnoreEverything(), None, "network"),
        (sockets.StopReading(), None, "network"),
    ],
    ids=repr,
)
async def test_each_ending_of_a_server_is_one_value(
    fault: sockets.SocketFault, code: int | None, by: str, autojump_clock: MockClock
) -> None:
    with assert_no_leaks(channels=False):
        ending = await ending_of(fault)
    assert (ending.code, ending.by) == (code, by)
    assert trio.current_time() <= 3.0


async def test_a_close_that_is_answered_late_or_never_is_bounded(autojump_clock: MockClock) -> None:
    for fault, lasts_s in (
        (sockets.SocketFault(), 0.0),
        (sockets.LateCloseAnswer(0.2), 0.2),
        (sockets.LateCloseAnswer(), 0.5),
    ):
        async with sockets.open_faulty_server(fault) as server:
            async with open_websocket_client(server.url, limits=LIMITS) as socket:
                before = trio.current_time()
                await socket.close()
            assert trio.current_time() - before == pytest.approx(lasts_s, abs=0.05)


async def test_a_refused_upgrade_carries_its_status(autojump_clock: MockClock) -> None:
    refusal = sockets.RefuseUpgrade(429, (("Retry-After", "7"),))
    async with sockets.open_faulty_server(refusal) as server:
        with pytest.raises(HandshakeFailed) as caught:
            async with open_websocket_client(server.url, limits=LIMITS):
                pass
    assert (caught.value.status, caught.value.retry_after) == (429, "7")


async def test_a_server_that_never_answers_the_upgrade_is_given_up(autojump_clock: MockClock) -> None:
    async with sockets.open_faulty_server(sockets.SilentUpgrade()) as server:
        with pytest.raises(HandshakeFailed, match="within 2 s"):
            async with open_websocket_client(server.url, limits=LIMITS):
                pass


async def test_a_server_can_treat_each_connection_differently(autojump_clock: MockClock) -> None:
    plan = [sockets.CloseWith(1008), sockets.CloseWith(1000)]
    async with sockets.open_faulty_server(lambda number: plan[number]) as server:
        for code in (1008, 1000):
            async with open_websocket_client(server.url, limits=LIMITS) as socket:
                with pytest.raises(SocketClosed) as caught:
                    await socket.receive()
                assert caught.value.code == code
        assert len(server.times) == 2


@pytest.mark.parametrize(
    ("fault", "by"),
    [
        (sockets.Reset(0.1), "network"),
        (sockets.TornFrame(), "network"),
        (sockets.Garbage(), "us"),
        (sockets.CloseWith(1001, "going"), "peer"),
        (sockets.IgnoreEverything(), "network"),
    ],
    ids=repr,
)
async def test_a_server_of_ours_survives_each_faulty_client(
    fault: sockets.SocketFault, by: str, autojump_clock: MockClock
) -> None:
    endings: list[SocketClosed] = []

    async def serve(stream: trio.SocketStream) -> None:
        driver, _ = await accept_websocket(stream, LIMITS)
        async with open_stream_socket(stream, driver, LIMITS, remote="client") as socket:
            try:
                await socket.receive()
            except SocketClosed as closed:
                endings.append(closed)

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    with assert_no_leaks(channels=False):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, serve, listeners)
            await sockets.connect_faulty_client(f"ws://127.0.0.1:{port}", fault)
            await trio.sleep(3)
            nursery.cancel_scope.cancel()
    assert [ending.by for ending in endings] == [by]


async def test_a_server_that_is_not_there_is_an_os_error() -> None:
    with pytest.raises(OSError, match="connect"):
        await sockets.connect_faulty_client("ws://127.0.0.1:1", sockets.Reset())
