"""Reading many sockets in one task."""

from __future__ import annotations

import select
import socket

import pytest
import trio

from voicetrio.connection.websocket.ready import open_ready_sockets, ready_sockets

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="needs epoll")


def pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return ours, theirs


async def settle() -> None:
    for _ in range(20):
        await trio.lowlevel.checkpoint()


async def test_each_socket_is_read_by_its_own_guest() -> None:
    got: dict[str, bytes] = {"a": b"", "b": b""}

    async def one(name: str, ours: socket.socket) -> None:
        def read() -> None:
            got[name] += ours.recv(3)
            if got[name].endswith(b"."):
                guest.leave()

        with ready_sockets().watching(ours.fileno(), read) as guest:
            await guest.wait_over()

    (a, to_a), (b, to_b) = pair(), pair()
    with trio.fail_after(10), a, b, to_a, to_b:
        async with open_ready_sockets(), trio.open_nursery() as nursery:
            nursery.start_soon(one, "a", a)
            nursery.start_soon(one, "b", b)
            to_b.send(b"longer than a read.")
            await settle()
            to_a.send(b"a.")
    assert got == {"a": b"a.", "b": b"longer than a read."}


async def test_what_a_reader_raises_is_its_own_and_the_others_are_read() -> None:
    got: list[bytes] = []

    async def failing(ours: socket.socket) -> None:
        def read() -> None:
            raise ValueError("mine")

        with pytest.raises(ValueError, match="mine"), ready_sockets().watching(ours.fileno(), read) as guest:
            await guest.wait_over()

    (a, to_a), (b, to_b) = pair(), pair()
    with trio.fail_after(10), a, b, to_a, to_b:
        async with open_ready_sockets(), trio.open_nursery() as nursery:
            nursery.start_soon(failing, a)
            await settle()
            with ready_sockets().watching(b.fileno(), lambda: got.append(b.recv(10))):
                to_a.send(b"x")
                to_b.send(b"y")
                await settle()
    assert got == [b"y"]


async def test_a_number_that_was_given_to_another_socket_is_that_ones() -> None:
    got: list[bytes] = []
    old, to_old = pair()
    number = old.fileno()
    with trio.fail_after(10), to_old:
        async with open_ready_sockets():
            together = ready_sockets()
            first = together.watching(number, lambda: got.append(b"wrong"))
            first.__enter__()
            old.close()
            new, to_new = pair()
            with new, to_new:
                assert number in (new.fileno(), to_new.fileno())
                if new.fileno() != number:
                    new, to_new = to_new, new
                    new.setblocking(False)
                with together.watching(new.fileno(), lambda: got.append(new.recv(10))):
                    first.__exit__(None, None, None)
                    to_new.send(b"right")
                    await settle()
    assert got == [b"right"]


async def test_a_socket_that_is_watched_no_more_is_left_alone() -> None:
    calls: list[int] = []
    ours, theirs = pair()
    with ours, theirs:
        async with open_ready_sockets():
            with ready_sockets().watching(ours.fileno(), lambda: calls.append(1)):
                pass
            theirs.send(b"x")
            await settle()
    assert calls == []


async def test_without_a_server_each_reads_its_own() -> None:
    assert ready_sockets() is None
    async with open_ready_sockets():
        assert ready_sockets() is not None
    assert ready_sockets() is None
