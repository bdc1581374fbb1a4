"""Contexts: pieces of work that share a connection, and nothing else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from tests.connection.fake_server import FakeServer, Meeting
from voicetrio.connection.connection import Connection, open_connection
from voicetrio.connection.contexts import Contexts
from voicetrio.connection.faults import ConnectionLost
from voicetrio.errors import ConfigError, ServiceError


@asynccontextmanager
async def opened(server: FakeServer, **options: Any) -> AsyncIterator[tuple[Contexts[bytes], Connection]]:
    """Give contexts whose service sends ``id kind`` lines; each ``audio`` is one second."""

    def on_message(message: str | bytes) -> None:
        assert isinstance(message, str)
        name, kind = message.split()
        if kind == "done":
            contexts.finish(name)
        elif kind == "error":
            contexts.fail(name, ServiceError("bad voice", service="talker"))
        else:
            contexts.deliver(name, kind.encode(), 1.0)

    async with open_connection(server.connect, name="talker", on_message=on_message) as connection:
        contexts: Contexts[bytes] = Contexts(
            connection, cancel=lambda name: json.dumps({"cancel": name}), **options
        )
        yield contexts, connection


async def test_each_context_gets_its_own(autojump_clock):
    server = FakeServer()
    async with opened(server) as (contexts, _connection):
        async with contexts.lease() as one, contexts.lease() as two:
            await one.send("text")
            for line in (f"{one.id} a", f"{two.id} b", f"{one.id} c", f"{two.id} done", f"{one.id} done"):
                server.socket.say(line)
            assert [item async for item in one] == [b"a", b"c"]
            assert [item async for item in two] == [b"b"]
    assert server.texts == ["text"]  # what is finished is not cancelled


async def test_releasing_is_synchronous_and_late_chunks_are_dropped(autojump_clock):
    server = FakeServer()
    async with opened(server) as (contexts, _connection):
        async with contexts.lease() as one:
            server.socket.say(f"{one.id} a")
            await one.receive()
        one.release()
        server.socket.say(f"{one.id} late")
        server.socket.say("nobody b")
        async with contexts.lease() as two:
            server.socket.say(f"{two.id} b")
            assert await two.receive() == b"b"
        counts = contexts.statistics()
        assert (counts.late_items, counts.unknown_items, counts.released) == (1, 1, 2)
        server.socket.say(f"{one.id} done")
        await trio.sleep(0.1)
        assert contexts.statistics().released == 1
    assert server.texts == [json.dumps({"cancel": one.id}), json.dumps({"cancel": two.id})]


async def test_a_cancelled_reply_releases_its_context(autojump_clock):
    server = FakeServer()
    async with opened(server) as (contexts, _connection):
        with trio.move_on_after(1):
            async with contexts.lease() as one:
                await one.receive()
        assert contexts.statistics().open == 0
        await trio.testing.wait_all_tasks_blocked()
        assert server.texts == [json.dumps({"cancel": one.id})]


async def test_an_error_fails_its_context_only(autojump_clock):
    server = FakeServer()
    async with opened(server) as (contexts, connection):
        async with contexts.lease() as one, contexts.lease() as two:
            server.socket.say(f"{one.id} a")
            server.socket.say(f"{one.id} error")
            server.socket.say(f"{two.id} b")
            assert await one.receive() == b"a"
            with pytest.raises(ServiceError, match="bad voice"):
                await one.receive()
            with pytest.raises(ServiceError, match="bad voice"):
                await one.send("more")
            assert await two.receive() == b"b"
        assert connection.is_usable


async def test_a_consumer_that_takes_nothing_fails_its_context_only(autojump_clock):
    server = FakeServer()
    async with opened(server, buffer_s=3.0) as (contexts, connection):
        async with contexts.lease() as one, contexts.lease() as two:
            for _ in range(5):
                server.socket.say(f"{one.id} a")
            server.socket.say(f"{two.id} b")
            assert await two.receive() == b"b"
            assert one.buffered_s == 3.0
            assert [await one.receive() for _ in range(3)] == [b"a"] * 3
            with pytest.raises(ServiceError, match="more than 3 s of media") as caught:
                await one.receive()
            assert caught.value.fault == "ours"
        assert contexts.statistics().overflows == 1
        assert connection.stream == 1
    assert server.texts[0] == json.dumps({"cancel": one.id})


async def test_a_lost_stream_fails_its_contexts_after_what_they_had(autojump_clock):
    server = FakeServer(Meeting(lives_s=20, code=1011), Meeting())
    async with opened(server) as (contexts, _connection):
        async with contexts.lease() as one:
            server.socket.say(f"{one.id} a")
            await trio.sleep(21)
            assert await one.receive() == b"a"
            with pytest.raises(ConnectionLost):
                await one.receive()
            with pytest.raises(ConnectionLost):
                await one.send("more")
            async with contexts.lease() as two:
                assert (one.stream, two.stream) == (1, 2)
        assert contexts.statistics().released == 1


async def test_places_are_limited_and_a_released_one_counts_until_it_is_confirmed(autojump_clock):
    server = FakeServer()
    async with opened(server, max_open=2, linger_s=5.0) as (contexts, _connection):
        async with contexts.lease() as one, contexts.lease():
            with trio.move_on_after(100) as scope:
                async with contexts.lease():
                    pytest.fail("there were two already")
            assert scope.cancelled_caught
            one.release()
            released = trio.current_time()
            async with contexts.lease():
                assert trio.current_time() - released == 5.0
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(trio.sleep, 1)
        # One of three is confirmed at once.
        async with contexts.lease() as last:
            server.socket.say(f"{last.id} done")
            assert [item async for item in last] == []
            async with contexts.lease():
                pass


async def test_a_context_on_a_stream_that_is_replaced_finishes_there(autojump_clock):
    server = FakeServer()
    async with opened(server) as (contexts, connection):
        async with contexts.lease() as one:
            connection.going_away("it said so")
            await trio.sleep(2)
            assert connection.stream == 2
            server.sockets[0].say(f"{one.id} a")
            assert await one.receive() == b"a"
            await one.send("more")
            await trio.sleep(0.1)
            assert server.alive == 2
        await trio.sleep(0.1)
        assert server.alive == 1
    assert "more" in [message for _time, message in server.sockets[0].written]


async def test_a_stream_that_is_replaced_may_not_stay_for_ever(autojump_clock):
    server = FakeServer()
    async with opened(server) as (contexts, connection):
        async with contexts.lease() as one:
            connection.going_away("it said so")
            started = trio.current_time()
            with pytest.raises(ConnectionLost, match="its time to finish was over"):
                await one.receive()
            assert trio.current_time() - started <= 10.3


async def test_a_connection_that_gave_up_gives_no_context(autojump_clock):
    server = FakeServer(Meeting(status=401))
    async with opened(server) as (contexts, _connection):
        with pytest.raises(ServiceError, match="HTTP 401"):
            async with contexts.lease():
                pytest.fail("there is no connection")


async def test_no_place_at_all_is_refused(autojump_clock):
    server = FakeServer()
    with pytest.raises(ConfigError, match="max_open must be at least 1"):
        async with opened(server, max_open=0):
            pass
