"""Hosts and guests: one task that keeps the time and reads the sockets of many."""

from __future__ import annotations

import math
import select
import socket
from contextlib import ExitStack
from contextvars import ContextVar
from functools import partial

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.runtime.guests import STEP_S, Guest
from voicetrio.runtime.hosts import MANY, Host, alarm_host, open_host, socket_host

needs_epoll = pytest.mark.skipif(not hasattr(select, "epoll"), reason="needs epoll")
who: ContextVar[str] = ContextVar("who", default="nobody")


@given(st.lists(st.integers(0, 20), max_size=12))
def test_alarms_ring_in_the_order_of_their_times_and_never_early(times_s):
    async def run() -> list[tuple[int, float]]:
        rung: list[tuple[int, float]] = []
        host = Host()
        for at in times_s:
            host.alarm(lambda at=at: rung.append((at, trio.current_time() - start))).set(0)
        start = trio.current_time()
        for at in times_s:
            host.alarm(lambda at=at: rung.append((at, trio.current_time() - start))).set(start + at)
        del rung[:]
        with trio.move_on_after(30):
            await host.run()
        return rung[len(times_s) :]

    rung = trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))
    assert [at for at, _ in rung] == sorted(times_s)
    assert all(now == pytest.approx(at) for at, now in rung)


async def test_an_alarm_that_is_set_anew_rings_once_and_earlier_wakes_the_clock(autojump_clock) -> None:
    async with open_host():
        rung: list[float] = []
        start = trio.current_time()
        alarm = alarm_host().alarm(lambda: rung.append(trio.current_time() - start))
        alarm.set(start + 5)
        await trio.sleep(1)
        alarm.set(start + 2)
        await trio.sleep(8)
        assert rung == [pytest.approx(2)]
        assert alarm.at == math.inf
        alarm.set(0)  # long over: it rings now
        await trio.testing.wait_all_tasks_blocked()
        assert rung == [pytest.approx(2), pytest.approx(9)]


async def test_an_alarm_that_was_closed_does_not_ring(autojump_clock) -> None:
    async with open_host():
        rung: list[int] = []
        first, second = (alarm_host().alarm(lambda n=n: rung.append(n)) for n in (1, 2))
        for alarm in (first, second):
            alarm.set(trio.current_time() + 1)
        first.close()
        await first.attend()
        await trio.sleep(2)
        assert rung == [2]


async def test_what_an_alarm_raises_is_raised_where_it_was_attended_and_nowhere_else(autojump_clock) -> None:
    def fail() -> None:
        raise ValueError("mine")

    async def attend_a_failing_one() -> None:
        alarm = alarm_host().alarm(fail)
        alarm.set(trio.current_time() + 1)
        with pytest.raises(ValueError, match="mine"):
            await alarm.attend()

    rung: list[float] = []
    async with open_host(), trio.open_nursery() as nursery:
        nursery.start_soon(attend_a_failing_one)
        other = alarm_host().alarm(lambda: rung.append(trio.current_time()))
        other.set(trio.current_time() + 2)
        await trio.sleep(3)
    assert len(rung) == 1


async def test_an_alarm_without_a_shared_clock_is_kept_by_who_attends_it(autojump_clock) -> None:
    rung: list[float] = []

    def ring() -> None:
        rung.append(trio.current_time())
        if len(rung) == 3:
            raise ValueError("enough")
        alarm.set(trio.current_time() + 1)

    alarm = alarm_host().alarm(ring)
    alarm.set(trio.current_time())
    with pytest.raises(ValueError, match="enough"):
        await alarm.attend()
    assert [late - rung[0] for late in rung] == [0, pytest.approx(1), pytest.approx(2)]


async def test_a_guest_is_called_with_the_variables_and_the_name_of_its_own_task(autojump_clock) -> None:
    seen: list[tuple[str, str]] = []

    def note() -> None:
        seen.append((who.get(), trio.lowlevel.current_task().name))

    async def session(name: str) -> None:
        who.set(name)
        alarm = alarm_host().alarm(note)
        alarm.set(trio.current_time() + 1)
        await trio.sleep(2)

    async with open_host(), trio.open_nursery() as nursery:
        for name in ("one", "two"):
            nursery.start_soon(session, name, name=f"{name}/playout")
    assert sorted(seen) == [("one", "one/playout"), ("two", "two/playout")]


async def test_a_host_gives_way_when_its_guests_together_take_long(mock_clock) -> None:
    order: list[str] = []

    def slow() -> None:
        order.append("slow")
        mock_clock.jump(STEP_S)

    async def other() -> None:
        while order.count("slow") < 3:
            order.append("other")
            await trio.lowlevel.checkpoint()

    async with open_host(), trio.open_nursery() as nursery:
        for _ in range(3):
            alarm_host().alarm(slow).set(trio.current_time())
        nursery.start_soon(other)
        await trio.testing.wait_all_tasks_blocked()
    between = order[order.index("slow") : len(order) - order[::-1].index("slow")]
    assert "other" in between


async def test_the_clock_goes_on_for_those_who_clean_up(autojump_clock) -> None:
    rung: list[float] = []
    with trio.CancelScope() as scope:
        async with open_host():
            alarm = alarm_host().alarm(lambda: rung.append(trio.current_time()))
            scope.cancel()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 3):
                alarm.set(trio.current_time() + 1)
                await trio.sleep(2)
    assert len(rung) == 1


async def test_a_guest_that_left_is_not_called() -> None:
    calls: list[int] = []
    guest = Guest(lambda: calls.append(1))
    guest.leave()
    guest.visit(trio.lowlevel.current_task())
    await guest.wait_over()
    assert calls == []


# --- sockets ---


def pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return ours, theirs


async def settle() -> None:
    for _ in range(20):
        await trio.lowlevel.checkpoint()


@needs_epoll
async def test_each_socket_is_read_by_its_own_guest() -> None:
    got: dict[str, bytes] = {"a": b"", "b": b""}

    async def one(name: str, ours: socket.socket) -> None:
        def read() -> None:
            got[name] += ours.recv(3)
            if got[name].endswith(b"."):
                guest.leave()

        with socket_host().watching(ours.fileno(), read) as guest:
            await guest.wait_over()

    (a, to_a), (b, to_b) = pair(), pair()
    with trio.fail_after(10), a, b, to_a, to_b:
        async with open_host(), trio.open_nursery() as nursery:
            nursery.start_soon(one, "a", a)
            nursery.start_soon(one, "b", b)
            to_b.send(b"longer than a read.")
            await settle()
            to_a.send(b"a.")
    assert got == {"a": b"a.", "b": b"longer than a read."}


@needs_epoll
async def test_what_a_reader_raises_is_its_own_and_the_others_are_read() -> None:
    got: list[bytes] = []

    async def failing(ours: socket.socket) -> None:
        def read() -> None:
            raise ValueError("mine")

        with pytest.raises(ValueError, match="mine"), socket_host().watching(ours.fileno(), read) as guest:
            await guest.wait_over()

    (a, to_a), (b, to_b) = pair(), pair()
    with trio.fail_after(10), a, b, to_a, to_b:
        async with open_host(), trio.open_nursery() as nursery:
            nursery.start_soon(failing, a)
            await settle()
            with socket_host().watching(b.fileno(), lambda: got.append(b.recv(10))):
                to_a.send(b"x")
                to_b.send(b"y")
                await settle()
    assert got == [b"y"]


@needs_epoll
async def test_a_number_that_was_given_to_another_socket_is_that_ones() -> None:
    got: list[bytes] = []
    old, to_old = pair()
    number = old.fileno()
    with trio.fail_after(10), to_old:
        async with open_host():
            together = socket_host()
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


@needs_epoll
async def test_a_socket_that_is_watched_no_more_is_left_alone() -> None:
    calls: list[int] = []
    ours, theirs = pair()
    with ours, theirs:
        async with open_host():
            with socket_host().watching(ours.fileno(), lambda: calls.append(1)):
                pass
            theirs.send(b"x")
            await settle()
    assert calls == []


@needs_epoll
async def test_without_a_server_each_reads_its_own_socket() -> None:
    assert socket_host() is None
    async with open_host():
        assert socket_host() is not None
    assert socket_host() is None


@needs_epoll
async def test_a_socket_that_is_let_go_of_while_another_is_read_is_not_read() -> None:
    order: list[str] = []
    (a, to_a), (b, to_b) = pair(), pair()
    with trio.fail_after(10), a, b, to_a, to_b:
        async with open_host():
            watched = {"a": ExitStack(), "b": ExitStack()}

            def read(name: str, other: str, ours: socket.socket) -> None:
                order.append(name)
                ours.recv(1)
                watched[other].close()

            host = socket_host()
            with watched["a"], watched["b"]:
                watched["a"].enter_context(host.watching(a.fileno(), lambda: read("a", "b", a)))
                watched["b"].enter_context(host.watching(b.fileno(), lambda: read("b", "a", b)))
                to_a.send(b"x")
                to_b.send(b"x")
                await settle()
    assert len(order) == 1


@needs_epoll
async def test_of_many_sockets_each_is_read_however_often_something_comes() -> None:
    count = MANY + 1
    got = [b""] * count
    done = trio.Event()
    pairs = [pair() for _ in range(count)]

    def read(number: int) -> None:
        got[number] += pairs[number][0].recv(100)
        if all(len(data) == 3 for data in got):
            done.set()
        elif len(got[number]) < 3:
            pairs[number][1].send(b".")

    with trio.fail_after(10), ExitStack() as sockets:
        for ours, theirs in pairs:
            sockets.enter_context(ours)
            sockets.enter_context(theirs)
        async with open_host():
            with ExitStack() as watched:
                for number, (ours, theirs) in enumerate(pairs):
                    watched.enter_context(socket_host().watching(ours.fileno(), partial(read, number)))
                    theirs.send(b".")
                await done.wait()
    assert got == [b"..."] * count


async def test_without_epoll_a_host_keeps_the_time_and_reads_no_sockets(autojump_clock, monkeypatch) -> None:
    monkeypatch.delattr(select, "epoll", raising=False)
    rung: list[float] = []
    async with open_host():
        assert socket_host() is None
        alarm_host().alarm(lambda: rung.append(trio.current_time())).set(trio.current_time() + 1)
        await trio.sleep(2)
    assert len(rung) == 1


async def test_an_alarm_that_another_one_puts_off_does_not_ring_before(autojump_clock) -> None:
    start = trio.current_time()
    rung: list[float] = []
    async with open_host():
        host = alarm_host()
        second = host.alarm(lambda: rung.append(trio.current_time() - start))
        first = host.alarm(lambda: second.set(start + 3))
        first.set(start + 1)
        second.set(start + 1)
        await trio.sleep(5)
    assert rung == [pytest.approx(3)]
