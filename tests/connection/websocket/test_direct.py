"""Over real sockets: writing at once, and reading past trio's streams."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from websockets.frames import BINARY, PING, PONG, TEXT

from tests.connection.websocket.raw import RawClient, open_pair
from voicetrio.connection.websocket import SocketClosed, StreamSocket
from voicetrio.connection.websocket.direct import direct_socket


@asynccontextmanager
async def tcp_pair(*, small: bool = False) -> AsyncIterator[tuple[trio.SocketStream, trio.SocketStream]]:
    """Two ends of one connection; with ``small`` buffers it holds a few kilobytes."""
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    async with listener:
        if small:
            listener.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
        far = await trio.open_tcp_stream(*listener.socket.getsockname())
        near = await listener.accept()
    if small:
        far.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, 4096)
    async with near, far:
        yield near, far


@asynccontextmanager
async def tcp_socket(*, small: bool = False) -> AsyncIterator[tuple[StreamSocket, RawClient]]:
    # The near end writes: its send buffer and the far end's receive buffer are the small ones.
    async with tcp_pair(small=small) as (far, near), open_pair("ours", streams=(near, far)) as (socket, raw):
        yield socket, raw


async def test_a_message_is_written_without_waiting():
    async with tcp_socket() as (socket, raw):
        assert socket.try_send(lambda: ["hello"])
        assert socket.try_send(lambda: [memoryview(b"\x01\x02")])
        assert (await raw.read()).data == b"hello"
        assert (await raw.read()).data == b"\x01\x02"
        assert socket.statistics().messages_sent == 2


async def test_what_the_system_does_not_take_goes_out_before_anything_else():
    async with tcp_socket(small=True) as (socket, raw):
        sizes = []
        while socket.try_send(lambda: [bytes([len(sizes)]) * 30_000]):
            sizes.append(30_000)
            assert len(sizes) < 1000
        # Part of the last one waits: nothing is written past it.
        assert not socket.try_send(lambda: ["no"])
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(socket.send, "the last")
                await raw.write(PING, b"now")
                frames = [await raw.read() for _ in range(len(sizes) + 2)]
        audio = [frame for frame in frames if frame.opcode is BINARY]
        assert [bytes(frame.data) for frame in audio] == [bytes([k]) * 30_000 for k in range(len(sizes))]
        assert {frame.opcode for frame in frames[len(sizes) :]} <= {TEXT, PONG}
        assert b"the last" in [bytes(frame.data) for frame in frames]


async def test_a_rest_goes_out_though_nobody_sends():
    async with tcp_socket(small=True) as (socket, raw):
        count = 0
        while socket.try_send(lambda: [bytes(30_000)]):
            count += 1
        with trio.fail_after(10):
            for _ in range(count):
                assert len((await raw.read()).data) == 30_000


async def test_a_broken_connection_is_told_to_who_writes():
    async with tcp_socket() as (socket, raw):
        await raw.stream.aclose()
        with trio.fail_after(10), pytest.raises(SocketClosed) as caught:
            await socket.receive()
        assert caught.value.code is None
        assert not socket.try_send(lambda: ["too late"])


async def test_a_stream_that_is_no_socket_is_not_written_past(autojump_clock):
    async with open_pair("ours") as (socket, _raw):
        assert not socket.try_send(lambda: ["hello"])
        assert socket.statistics().messages_sent == 0


async def test_the_way_past_a_stream_ends_with_it():
    async with tcp_pair() as (near, far):
        direct = direct_socket(near)
        await far.send_all(b"abc")
        assert await direct.receive_some(2) == b"ab"
        assert await direct.receive_some(10) == b"c"
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def wait() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await direct.receive_some(1)

            await trio.testing.wait_all_tasks_blocked()
            await near.aclose()
        with pytest.raises(trio.ClosedResourceError):
            direct.write_nowait(b"x")
        with pytest.raises(trio.ClosedResourceError):
            await direct.receive_some(1)


async def test_a_reset_is_a_broken_resource():
    async with tcp_pair() as (near, far):
        direct = direct_socket(near)
        await near.send_all(b"unread")
        await far.aclose()  # with data unread: a reset
        with trio.fail_after(10), pytest.raises(trio.BrokenResourceError):
            await direct.receive_some(1)
        with pytest.raises(trio.BrokenResourceError):
            direct.write_nowait(b"x")


async def test_a_socket_that_is_closed_after_it_was_ready_is_not_read_under_its_old_number(monkeypatch):
    # Between the system's word that there is something and the reader's next step, somebody else may close
    # the socket, and the next one that is opened gets its number: another session's.
    wait_readable = trio.lowlevel.wait_readable
    reading, writing = os.pipe()
    taken: list[int] = [reading, writing]
    try:
        async with tcp_pair() as (near, far):
            direct = direct_socket(near)

            async def wait_and_lose_it(descriptor: int) -> None:
                await wait_readable(descriptor)
                near.socket.close()
                taken.append(os.dup2(reading, descriptor))
                os.write(writing, b"another session's")

            monkeypatch.setattr(trio.lowlevel, "wait_readable", wait_and_lose_it)
            await far.send_all(b"mine")
            with pytest.raises(trio.ClosedResourceError):
                await direct.receive_some(100)
            monkeypatch.undo()
        assert os.read(reading, 100) == b"another session's"
    finally:
        for descriptor in taken:
            os.close(descriptor)


async def test_what_was_not_read_does_not_make_the_end_a_reset():
    async with tcp_socket() as (socket, raw):
        await trio.testing.wait_all_tasks_blocked()
        os.write(raw.stream.socket.fileno(), bytes(5000))
        socket.abort()  # in the same step: nobody has read it
        with trio.fail_after(10):
            while await raw.stream.receive_some():
                pass
