"""What only our own socket does."""

from __future__ import annotations

import math

import pytest
import trio
import trio.testing
from websockets.frames import BINARY, CLOSE, PING, PONG, TEXT

from tests.connection.websocket.raw import RawClient, open_pair
from voicetrio.connection.websocket import (
    SocketClosed,
    SocketLimits,
    StreamSocket,
    accept_websocket,
    open_stream_socket,
)


async def how_it_ended(socket: StreamSocket) -> str:
    """Read what is there, and return why there is no more."""
    try:
        while True:
            await socket.receive()
    except SocketClosed as closed:
        return str(closed)


async def test_pings_are_answered_though_nobody_receives(autojump_clock):
    async with open_pair("ours") as (_socket, raw):
        for number in range(50):
            await raw.write(BINARY, bytes(100))
            await raw.write(PING, bytes([number]))
            assert (await raw.read()).data == bytes([number])


async def test_a_close_is_noticed_though_nobody_receives(autojump_clock):
    async with open_pair("ours") as (socket, raw):
        await raw.write(TEXT, b"waiting")
        await raw.close(4001)
        assert (await raw.read_close()).code == 4001
        assert not socket.is_open


async def test_an_inbox_that_nobody_empties_is_bounded(autojump_clock):
    limits = SocketLimits(max_inbox_bytes=10_000)
    async with open_pair("ours", limits=limits) as (socket, raw):
        for _ in range(20):
            await raw.write(BINARY, bytes(1000))
        assert (await raw.read_close()).code == 1008
        assert socket.statistics().inbox_messages <= 11
        for _ in range(socket.statistics().inbox_messages):
            await socket.receive()
        with pytest.raises(SocketClosed, match="faster"):
            await socket.receive()


async def test_a_ping_is_answered_while_we_close(autojump_clock):
    async with open_pair("ours") as (socket, raw):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(socket.close)
            assert (await raw.read()).opcode is CLOSE
            await raw.write(PING, b"late")
            pong = await raw.read()
            assert (pong.opcode, pong.data) == (PONG, b"late")
            await raw.close()
        assert await raw.read() is None


async def test_the_peers_answer_ends_a_close_at_once_though_it_keeps_its_socket(autojump_clock):
    async with open_pair("ours") as (socket, raw):
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(socket.close)
            await raw.read_close()
            await raw.close()
        assert trio.current_time() == started


async def test_messages_that_come_after_our_close_are_not_kept(autojump_clock):
    async with open_pair("ours") as (socket, raw):

        async def receive() -> None:
            with pytest.raises(SocketClosed):
                await socket.receive()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            nursery.start_soon(socket.close)
            await raw.read_close()
            await raw.write(TEXT, b"too late")
            await trio.testing.wait_all_tasks_blocked()
            await raw.close()


async def test_a_peer_that_reads_nothing_while_it_pings_is_dropped(autojump_clock):
    limits = SocketLimits(keepalive_s=10, keepalive_timeout_s=5)
    async with open_pair("ours", limits=limits, streams=trio.testing.lockstep_stream_pair()) as (socket, raw):
        await trio.sleep(1)
        await raw.write(PING, b"?")
        with pytest.raises(SocketClosed):
            await socket.receive()
        assert trio.current_time() <= 16


async def test_without_keepalive_a_silent_peer_stays(autojump_clock):
    async with open_pair("ours", limits=SocketLimits(keepalive_s=math.inf)) as (socket, raw):
        await trio.sleep(10_000)
        await raw.write(TEXT, b"there")
        assert await socket.receive() == "there"


async def test_cancelled_it_does_not_wait_for_a_peer_that_takes_nothing(autojump_clock):
    with trio.move_on_after(1):
        async with open_pair("ours", streams=trio.testing.lockstep_stream_pair()):
            await trio.sleep_forever()
    assert trio.current_time() == pytest.approx(1, abs=0.06)


async def test_cancelled_in_the_midst_of_a_message_it_says_nothing_more(autojump_clock):
    near, far = trio.testing.lockstep_stream_pair()
    with trio.move_on_after(1):
        async with open_pair("ours", streams=(near, far)) as (socket, _raw), trio.open_nursery() as nursery:
            nursery.start_soon(socket.send, bytes(1000))
            assert len(await far.receive_some(10)) == 10
            await trio.sleep_forever()
    assert trio.current_time() == pytest.approx(1)
    close_head = bytes([0x80 | CLOSE])
    assert close_head not in await far.receive_some(2000)
    assert await far.receive_some(2000) == b""


async def test_over_tcp_the_last_word_is_written_at_once():
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listeners[0]:
        port = listeners[0].socket.getsockname()[1]
        far = await trio.open_tcp_stream("127.0.0.1", port)
        near = await listeners[0].accept()
    async with far:
        with trio.CancelScope() as scope:
            async with open_pair("ours", streams=(near, far)) as (_socket, raw):
                scope.cancel()
                await trio.sleep_forever()
        assert (await raw.read_close()).code == 1001
        assert await raw.read_close() is None


async def test_a_cancelled_run_holds_the_socket_for_a_goodbye(autojump_clock):
    near, far = trio.testing.memory_stream_pair()
    raw = RawClient(far)
    async with trio.open_nursery() as opening:
        opening.start_soon(raw.shake_hands)
        driver, _request = await accept_websocket(near, SocketLimits())
    socket, hold = StreamSocket(near, driver, SocketLimits()), trio.Event()

    async def say_goodbye() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.move_on_after(1, shield=True):
                await trio.sleep(0.5)
                await socket.close(1001, wait_answer=False)
            hold.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: socket.run(hold=hold))
        nursery.start_soon(say_goodbye)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert trio.current_time() == pytest.approx(0.5)
    assert (await raw.read_close()).code == 1001


async def test_a_hold_that_is_never_released_is_bounded(autojump_clock):
    near, far = trio.testing.memory_stream_pair()
    raw = RawClient(far)
    limits = SocketLimits(close_s=3)
    async with trio.open_nursery() as opening:
        opening.start_soon(raw.shake_hands)
        driver, _request = await accept_websocket(near, limits)
    socket = StreamSocket(near, driver, limits)
    with trio.move_on_after(1):
        await socket.run(hold=trio.Event())
    assert trio.current_time() == pytest.approx(4)
    assert (await raw.read_close()).code == 1001
    assert await raw.read() is None


class TrickleStream(trio.abc.Stream):
    """Writes one byte a millisecond, and remembers what it wrote."""

    def __init__(self, inner: trio.abc.Stream) -> None:
        self._inner = inner
        self.written = bytearray()
        self.is_slow = False

    async def send_all(self, data) -> None:
        if not self.is_slow:
            await self._inner.send_all(data)
            return
        for byte in bytes(data):
            await trio.sleep(0.001)
            self.written.append(byte)

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes=None):
        return await self._inner.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self._inner.aclose()


@pytest.mark.parametrize("cancel_ms", range(0, 60, 3))
async def test_whenever_a_sender_is_cancelled_the_wire_is_whole_frames_and_at_most_one_torn_one(
    cancel_ms, autojump_clock
):
    near, far = trio.testing.memory_stream_pair()
    stream, raw = TrickleStream(near), RawClient(far)
    async with trio.open_nursery() as opening:
        opening.start_soon(raw.shake_hands)
        driver, _request = await accept_websocket(stream, SocketLimits())
    stream.is_slow = True
    is_torn = False
    async with open_stream_socket(stream, driver, SocketLimits()) as socket:

        async def send_until_cancelled() -> None:
            with trio.move_on_at(cancel_ms / 1000):
                while True:
                    await socket.send(b"payload")

        async def go_on() -> None:
            nonlocal is_torn
            try:
                for _ in range(4):
                    await socket.send(b"another")
                    await trio.sleep(0.011)
            except trio.BrokenResourceError:
                is_torn = True

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_until_cancelled)
            nursery.start_soon(go_on)
    frames = [b"\x82\x07payload", b"\x82\x07another", b"\x88\x02\x03\xe8"]
    rest = bytes(stream.written)
    whole = []
    while frame := next((frame for frame in frames if rest.startswith(frame)), None):
        whole.append(frame)
        rest = rest.removeprefix(frame)
    if is_torn:
        assert rest
        assert frames[0].startswith(rest) or frames[1].startswith(rest)
    else:
        assert rest == b""
        assert whole.count(frames[1]) == 4
        assert whole[-1] == frames[2]


async def test_bytes_faster_than_their_limit_end_the_connection(autojump_clock):
    limits = SocketLimits(max_bytes_per_s=10_000, burst_bytes=20_000)
    async with open_pair("ours", limits=limits) as (socket, raw):
        for _ in range(100):  # in time: 9 000 bytes a second
            await raw.write(BINARY, bytes(880))
            await socket.receive()
            await trio.sleep(0.1)
        for _ in range(30):
            await raw.write(BINARY, bytes(1000))
        assert (await raw.read_close()).code == 1008
        assert "faster than the limit" in await how_it_ended(socket)


async def test_a_flood_of_pings_counts_as_bytes(autojump_clock):
    limits = SocketLimits(max_bytes_per_s=1000, burst_bytes=2000)
    async with open_pair("ours", limits=limits) as (_socket, raw), trio.open_nursery() as nursery:

        async def flood() -> None:
            for _ in range(100):
                await raw.write(PING, bytes(100))

        nursery.start_soon(flood)
        while (frame := await raw.read()).opcode is PONG:
            pass
        assert (frame.opcode, frame.data[:2]) == (CLOSE, (1008).to_bytes(2, "big"))


async def test_messages_faster_than_their_limit_end_the_connection(autojump_clock):
    limits = SocketLimits(max_messages_per_s=100, burst_messages=50)
    async with open_pair("ours", limits=limits) as (socket, raw):
        for _ in range(60):
            await raw.write(TEXT, b"x")
        assert (await raw.read_close()).code == 1008
        assert "faster than the limit" in await how_it_ended(socket)
