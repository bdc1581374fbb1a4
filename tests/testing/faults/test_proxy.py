"""A bad network, on the loopback and under virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from voicetrio.errors import ConfigError
from voicetrio.testing.faults.proxy import FaultProxy, NetworkFaults, open_fault_proxy
from voicetrio.testing.leaks import assert_no_leaks


@asynccontextmanager
async def echo_through(faults: NetworkFaults) -> AsyncIterator[tuple[FaultProxy, trio.SocketStream]]:
    """Open a proxy before an echo server, and a stream through it."""

    async def echo(stream: trio.SocketStream) -> None:
        try:
            async for data in stream:
                await stream.send_all(data)
        except trio.BrokenResourceError:
            pass

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        await nursery.start(trio.serve_listeners, echo, listeners)
        async with open_fault_proxy("127.0.0.1", port, faults) as proxy:
            async with await trio.open_tcp_stream("127.0.0.1", proxy.port) as stream:
                yield proxy, stream
        nursery.cancel_scope.cancel()


async def receive_exactly(stream: trio.SocketStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = await stream.receive_some()
        assert more
        data += more
    return data


async def test_a_good_network_changes_nothing(autojump_clock: MockClock) -> None:
    with assert_no_leaks():
        async with echo_through(NetworkFaults()) as (proxy, stream):
            await stream.send_all(b"x" * 10_000)
            assert await receive_exactly(stream, 10_000) == b"x" * 10_000
            await trio.testing.wait_all_tasks_blocked()
            await stream.send_eof()
            assert await stream.receive_some() == b""
            # Only now: the proxy counts what it has sent, and the receiver may have it a step before.
            assert proxy.statistics().bytes_up == proxy.statistics().bytes_down == 10_000
    assert trio.current_time() == 0


async def test_a_delay_counts_once_each_way(autojump_clock: MockClock) -> None:
    async with echo_through(NetworkFaults(delay_s=0.25)) as (_, stream):
        await stream.send_all(b"ping")
        assert await receive_exactly(stream, 4) == b"ping"
    assert trio.current_time() == pytest.approx(0.5)


async def test_jitter_keeps_the_order(autojump_clock: MockClock) -> None:
    async with echo_through(NetworkFaults(jitter_s=0.2)) as (_, stream):
        sent = b""
        for number in range(50):
            piece = bytes([number] * 10)
            sent += piece
            await stream.send_all(piece)
            await trio.sleep(0.01)
        assert await receive_exactly(stream, len(sent)) == sent
    assert 0.5 <= trio.current_time() <= 1.0


async def test_bandwidth_is_shared_by_what_is_on_its_way(autojump_clock: MockClock) -> None:
    async with echo_through(NetworkFaults(bytes_per_s=10_000)) as (_, stream):
        await stream.send_all(bytes(20_000))
        await receive_exactly(stream, 20_000)
    assert trio.current_time() == pytest.approx(2.0, rel=0.25)


async def test_a_stalled_network_carries_on_after_its_resume(autojump_clock: MockClock) -> None:
    async with echo_through(NetworkFaults()) as (proxy, stream):
        proxy.stall()
        await stream.send_all(b"late")
        with trio.move_on_after(60) as scope:
            await stream.receive_some()
        assert scope.cancelled_caught
        proxy.resume()
        assert await receive_exactly(stream, 4) == b"late"


async def test_a_connection_is_cut_after_so_many_bytes(autojump_clock: MockClock) -> None:
    async with echo_through(NetworkFaults(cut_after_bytes=100)) as (proxy, stream):
        await stream.send_all(bytes(99))
        assert len(await receive_exactly(stream, 99)) == 99
        await stream.send_all(bytes(50))
        with pytest.raises(trio.BrokenResourceError):
            await receive_exactly(stream, 1000)
        assert proxy.statistics().bytes_up == 100


async def test_a_reset_reaches_the_client_as_an_error(autojump_clock: MockClock) -> None:
    async with echo_through(NetworkFaults()) as (proxy, stream):
        await stream.send_all(b"x")
        await receive_exactly(stream, 1)
        assert proxy.statistics().open_connections == 1
        proxy.reset()
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        await trio.testing.wait_all_tasks_blocked()
        assert proxy.statistics().open_connections == 0
        assert proxy.statistics().connections == 1


async def test_a_server_that_cannot_be_reached_resets_the_client(autojump_clock: MockClock) -> None:
    async with open_fault_proxy("127.0.0.1", 1) as proxy:
        async with await trio.open_tcp_stream("127.0.0.1", proxy.port) as stream:
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()


def test_faults_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="must not be negative"):
        NetworkFaults(delay_s=-1)
    with pytest.raises(ConfigError, match="bytes_per_s"):
        NetworkFaults(bytes_per_s=0)
