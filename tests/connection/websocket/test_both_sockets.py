"""What holds for our own socket and for an adopted one alike."""

from __future__ import annotations

import contextvars

import pytest
import trio
import trio.testing
from websockets.frames import BINARY, CONT, PING, PONG, TEXT

from tests.connection.websocket.raw import Kind, open_pair
from voicetrio.connection.websocket import SocketClosed, SocketLimits

pytestmark = pytest.mark.parametrize("kind", ["ours", "adopted"])


async def test_messages_go_both_ways_and_keep_their_kind(kind: Kind, autojump_clock):
    async with open_pair(kind) as (socket, raw):
        await raw.write(TEXT, "grüße".encode())
        await raw.write(BINARY, b"\x00\x01")
        assert await socket.receive() == "grüße"
        assert await socket.receive() == b"\x00\x01"
        await socket.send("hello")
        await socket.send(memoryview(b"\x02\x03"))
        assert (await raw.read()).data == b"hello"
        frame = await raw.read()
        assert (frame.opcode, frame.data) == (BINARY, b"\x02\x03")
        counts = socket.statistics()
        assert (counts.messages_sent, counts.messages_received) == (2, 2)
        assert (counts.bytes_sent, counts.bytes_received) == (7, 7)


async def test_fragments_are_joined_with_a_ping_in_between(kind: Kind, autojump_clock):
    async with open_pair(kind) as (socket, raw):
        await raw.write(TEXT, "ü".encode()[:1], fin=False)
        await raw.write(PING, b"now")
        await raw.write(CONT, "ü".encode()[1:], fin=False)
        await raw.write(CONT, b"!")
        assert await socket.receive() == "ü!"
        pong = await raw.read()
        assert (pong.opcode, pong.data) == (PONG, b"now")


async def test_text_that_is_not_utf8_ends_the_connection(kind: Kind, autojump_clock):
    async with open_pair(kind) as (socket, raw):
        await raw.write(TEXT, b"\xff\xfe")
        close = await raw.read_close()
        if kind == "ours":  # trio-websocket drops the socket without a word
            assert close.code == 1007
        with pytest.raises(SocketClosed):
            await socket.receive()


async def test_a_message_over_the_limit_fails_with_1009(kind: Kind, autojump_clock):
    async with open_pair(kind, max_message_bytes=100) as (socket, raw):
        await raw.write(BINARY, bytes(101))
        assert (await raw.read_close()).code == 1009
        with pytest.raises(SocketClosed) as caught:
            await socket.receive()
        assert (caught.value.code, caught.value.by) == (1009, "us")


async def test_fragments_over_the_limit_fail_with_1009(kind: Kind, autojump_clock):
    async with open_pair(kind, max_message_bytes=100) as (_socket, raw):
        await raw.write(BINARY, bytes(60), fin=False)
        await raw.write(CONT, bytes(41), fin=False)
        assert (await raw.read_close()).code == 1009


async def test_the_end_is_told_once_after_the_last_message(kind: Kind, autojump_clock):
    async with open_pair(kind) as (socket, raw):
        await raw.write(TEXT, b"last")
        await raw.close(4000, "done")
        assert (await raw.read_close()).code == 4000
        assert await socket.receive() == "last"
        with pytest.raises(SocketClosed) as caught:
            await socket.receive()
        assert (caught.value.code, caught.value.reason, caught.value.by) == (4000, "done", "peer")
        with pytest.raises(trio.ClosedResourceError):
            await socket.receive()
        assert not socket.is_open


async def test_an_end_without_a_goodbye_has_no_code(kind: Kind, autojump_clock):
    async with open_pair(kind) as (socket, raw):
        await raw.stream.aclose()
        with pytest.raises(SocketClosed) as caught:
            await socket.receive()
        assert (caught.value.code, caught.value.by) == (None, "network")
        with pytest.raises(trio.BrokenResourceError):
            await socket.send("too late")


async def test_close_waits_for_the_answer(kind: Kind, autojump_clock):
    async with open_pair(kind, limits=SocketLimits(close_s=5)) as (socket, raw):

        async def answer() -> None:
            close = await raw.read_close()
            assert (close.code, close.reason) == (1000, "bye")
            await trio.sleep(1)
            await raw.close()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            started = trio.current_time()
            await socket.close(1000, "bye")
            assert trio.current_time() - started == pytest.approx(1)
        with pytest.raises(SocketClosed) as caught:
            await socket.receive()
        assert (caught.value.code, caught.value.by) == (1000, "us")
        with pytest.raises(trio.BrokenResourceError):
            await socket.send("too late")


async def test_close_waits_for_a_silent_peer_only_so_long(kind: Kind, autojump_clock):
    async with open_pair(kind, limits=SocketLimits(close_s=5)) as (socket, raw):
        started = trio.current_time()
        await socket.close()
        assert trio.current_time() - started == pytest.approx(5)
        assert (await raw.read_close()).code == 1000
        assert await raw.read() is None


async def test_a_goodbye_without_waiting_is_written_and_the_socket_is_gone(kind: Kind, autojump_clock):
    async with open_pair(kind, limits=SocketLimits(close_s=5)) as (socket, raw):
        started = trio.current_time()
        await socket.close(1001, "going", wait_answer=False)
        assert trio.current_time() - started <= 0.05
        close = await raw.read_close()
        assert (close.code, close.reason) == (1001, "going")
        assert await raw.read() is None


async def test_closing_twice_does_nothing(kind: Kind, autojump_clock):
    async with open_pair(kind) as (socket, _raw):
        await socket.close(wait_answer=False)
        started = trio.current_time()
        await socket.close()
        assert trio.current_time() == started


async def test_a_peer_that_takes_nothing_cannot_hold_a_close(kind: Kind, autojump_clock):
    streams = trio.testing.lockstep_stream_pair()
    async with open_pair(kind, limits=SocketLimits(close_s=5), streams=streams) as (socket, _raw):
        started = trio.current_time()
        await socket.close()
        assert trio.current_time() - started == pytest.approx(5)


async def test_abort_drops_without_a_goodbye(kind: Kind, autojump_clock):
    async with open_pair(kind) as (socket, raw):
        socket.abort()
        assert not socket.is_open
        assert await raw.read_close() is None
        with pytest.raises(SocketClosed) as caught:
            await socket.receive()
        assert caught.value.by == "us"


async def test_nothing_follows_a_torn_frame(kind: Kind, autojump_clock):
    near, far = trio.testing.lockstep_stream_pair()
    async with open_pair(kind, streams=(near, far)) as (socket, _raw):
        with trio.move_on_after(1) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(socket.send, bytes(1000))
                got = bytes(await far.receive_some(10))
        assert scope.cancelled_caught
        with pytest.raises(trio.BrokenResourceError):
            await socket.send("after")
        await socket.close()
        while more := await far.receive_some(65536):
            got += bytes(more)
        assert len(got) <= 1004
        assert b"after" not in got


async def test_a_send_cancelled_before_its_first_byte_did_not_happen(kind: Kind, autojump_clock):
    async with open_pair(kind) as (socket, raw):
        with trio.CancelScope() as scope:
            scope.cancel()
            await socket.send("never")
        await socket.send("still here")
        assert (await raw.read()).data == b"still here"


async def test_a_receive_that_is_cancelled_loses_nothing(kind: Kind, autojump_clock):
    async with open_pair(kind) as (socket, raw):
        with trio.move_on_after(1):
            await socket.receive()
        await raw.write(TEXT, b"kept")
        assert await socket.receive() == "kept"


async def test_two_tasks_cannot_receive(kind: Kind, autojump_clock):
    async with open_pair(kind) as (socket, raw):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(socket.receive)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError):
                await socket.receive()
            await raw.write(TEXT, b"x")


async def test_a_queued_message_is_written_though_nobody_sends(kind: Kind, autojump_clock):
    async with open_pair(kind) as (socket, raw):
        assert socket.send_nowait("queued")
        assert (await raw.read()).data == b"queued"


async def test_the_queue_of_a_peer_that_takes_nothing_is_bounded(kind: Kind, autojump_clock):
    async with open_pair(kind, streams=trio.testing.lockstep_stream_pair()) as (socket, _raw):
        accepted = 0
        while socket.send_nowait("x" * 1000):
            accepted += 1
        assert 10 < accepted < 100
        await trio.testing.wait_all_tasks_blocked()
        socket.abort()
        assert not socket.send_nowait("x")


async def test_pings_that_are_answered_keep_it_open(kind: Kind, autojump_clock):
    limits = SocketLimits(keepalive_s=10, keepalive_timeout_s=3)
    async with open_pair(kind, limits=limits) as (socket, raw):
        started = trio.current_time()
        for _ in range(3):
            ping = await raw.read()
            assert ping.opcode is PING
            await trio.sleep(0.5)
            await raw.write(PONG, bytes(ping.data))
        assert trio.current_time() - started == pytest.approx(31.5, abs=1.5)
        await trio.testing.wait_all_tasks_blocked()
        assert socket.is_open
        assert socket.statistics().pings_answered == 3
        assert socket.statistics().round_trip_s == pytest.approx(0.5)


async def test_a_peer_that_does_not_answer_pings_is_gone(kind: Kind, autojump_clock):
    limits = SocketLimits(keepalive_s=10, keepalive_timeout_s=3)
    async with open_pair(kind, limits=limits) as (socket, _raw):
        started = trio.current_time()
        with pytest.raises(SocketClosed, match="no answer to pings") as caught:
            await socket.receive()
        assert trio.current_time() - started == pytest.approx(13)
        assert (caught.value.code, caught.value.by) == (None, "network")


async def test_a_peer_that_takes_nothing_is_noticed_by_its_missing_pong(kind: Kind, autojump_clock):
    limits = SocketLimits(keepalive_s=10, keepalive_timeout_s=3)
    async with open_pair(kind, limits=limits, streams=trio.testing.lockstep_stream_pair()) as (socket, _raw):
        started = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):
            await socket.send("stuck")
        assert trio.current_time() - started == pytest.approx(13)


async def test_an_exception_of_the_block_passes_as_it_is_and_says_going_away(kind: Kind, autojump_clock):
    near, far = trio.testing.memory_stream_pair()
    with pytest.raises(KeyError):
        async with open_pair(kind, streams=(near, far)) as (_socket, raw):
            raise KeyError("mine")
    assert (await raw.read_close()).code == 1001


async def test_what_a_block_raises_while_it_is_cancelled_is_not_lost(kind: Kind, autojump_clock):
    async def use(scope: trio.CancelScope) -> None:
        with scope:
            async with open_pair(kind):
                scope.cancel()
                raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await use(trio.CancelScope())


async def test_a_cancelled_block_drops_the_socket_with_no_more_than_a_last_word(kind: Kind, autojump_clock):
    near, far = trio.testing.memory_stream_pair()
    with trio.move_on_after(1):
        async with open_pair(kind, streams=(near, far)) as (_socket, raw):
            await trio.sleep_forever()
    assert trio.current_time() == pytest.approx(1)
    close = await raw.read_close()
    # trio-websocket has no way to write a close frame without awaiting its answer.
    assert (None if close is None else close.code) == (1001 if kind == "ours" else None)
    assert await raw.read_close() is None


async def test_a_listener_is_given_what_waited_and_what_comes_and_then_the_end(kind: Kind, autojump_clock):
    async with open_pair(kind) as (socket, raw):
        await raw.write(TEXT, b"waited")
        await trio.sleep(0.1)
        heard: list[bytes | str] = []

        async def speak() -> None:
            await trio.sleep(0.1)
            for number in range(3):
                await raw.write(BINARY, bytes([number]))
            await raw.close(4000, "done")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(speak)
            with pytest.raises(SocketClosed) as caught:
                await socket.listen(heard.append)
        assert heard == ["waited", b"\x00", b"\x01", b"\x02"]
        assert (caught.value.code, caught.value.reason) == (4000, "done")
        with pytest.raises(trio.ClosedResourceError):
            await socket.listen(heard.append)


async def test_what_a_listener_raises_is_its_own_and_the_connection_goes_on(kind: Kind, autojump_clock):
    async with open_pair(kind) as (socket, raw):

        def fail(_message: bytes | str) -> None:
            raise ValueError("a bug of the listener")

        await raw.write(TEXT, b"first")
        with pytest.raises(ValueError, match="a bug of the listener"):
            await socket.listen(fail)
        await raw.write(TEXT, b"second")
        assert await socket.receive() == "second"
        await socket.send("still here")
        assert (await raw.read()).data == b"still here"


async def test_a_cancelled_listener_leaves_what_it_was_not_given(kind: Kind, autojump_clock):
    async with open_pair(kind) as (socket, raw):
        heard: list[bytes | str] = []
        with trio.move_on_after(0.1):
            await socket.listen(heard.append)
        await raw.write(TEXT, b"later")
        await trio.sleep(0.1)
        assert heard == []
        assert await socket.receive() == "later"


async def test_a_listener_sees_its_own_context_variables(kind: Kind, autojump_clock):
    async with open_pair(kind) as (socket, raw):
        mine = contextvars.ContextVar("mine", default="nobody's")
        seen: list[str] = []

        async def listen() -> None:
            mine.set("the listener's")
            await socket.listen(lambda _message: seen.append(mine.get()))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            await raw.write(TEXT, b"now")
            await trio.sleep(0.1)
            nursery.cancel_scope.cancel()
        assert seen == ["the listener's"]
