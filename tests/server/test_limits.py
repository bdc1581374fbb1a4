"""What a server refuses, and when it ends what it let in; under virtual time."""

from __future__ import annotations

import json
import logging
from contextlib import suppress

import pytest
import trio
import trio.testing

from tests.server.calls import Handler, calling, read_to_end, serving, tell_a_story, until
from voicetrio.connection.websocket import HandshakeFailed, SocketLimits, open_websocket_client
from voicetrio.errors import ConfigError
from voicetrio.events import SessionExpiring
from voicetrio.server.authentication import BearerTokens, Credentials
from voicetrio.server.serve import serve_sessions
from voicetrio.server.settings import ServerSettings

TOKEN = "a token that is long enough"


async def refused(server, target="/", headers=()) -> HandshakeFailed:
    """Connect, and return how that was refused."""
    try:
        async with open_websocket_client(server.url + target, headers=list(headers)):
            raise AssertionError("it must not open")
    except HandshakeFailed as failure:
        return failure


async def test_who_comes_when_every_slot_is_taken_is_told_when_to_come_back(autojump_clock):
    handler = Handler()
    async with serving(handler, settings=ServerSettings(max_sessions=2, retry_after_s=9)) as server:
        async with calling(server), calling(server) as (second, _hello):
            began = trio.current_time()
            failure = await refused(server)
            assert (failure.status, failure.retry_after) == (503, "9")
            assert trio.current_time() - began < 0.05
            await second.send('{"type": "end"}')
            await read_to_end(second)
            await until(lambda: server.statistics().open_sessions == 1)
            async with calling(server):
                pass
        assert server.statistics().admission.refused == {"full": 1}
    assert len(handler.peers) == 3


async def test_a_slot_is_given_back_when_the_client_left_in_the_handshake(autojump_clock):
    handler = Handler()
    async with serving(handler, settings=ServerSettings(max_sessions=1)) as server:
        async with calling(server):
            pass
        await until(lambda: server.statistics().admission.taken == 0)
        async with calling(server):
            assert server.statistics().admission.taken == 1


async def test_an_overloaded_process_refuses_before_a_handler_runs(autojump_clock):
    handler = Handler()
    async with serving(handler, settings=ServerSettings(max_lag_s=0.02)) as server:
        for _ in range(10):
            await trio.sleep(0.05)
            autojump_clock.jump(0.1)
            await trio.lowlevel.checkpoint()
        assert (await refused(server)).status == 503
        assert server.why_not_ready() == "lag"
        await trio.sleep(3)
        async with calling(server):
            pass
    assert len(handler.peers) == 1


async def test_nobody_reaches_a_handler_without_credentials(autojump_clock):
    handler = Handler()
    authenticate = BearerTokens({"ada": TOKEN})
    async with serving(handler, authenticate=authenticate, settings=ServerSettings(max_sessions=1)) as server:
        for headers in ([], [("Authorization", "Bearer no")], [("Authorization", f"Basic {TOKEN}")]):
            assert (await refused(server, headers=headers)).status == 401
        assert handler.peers == []
        async with calling(server, headers=[("Authorization", f"Bearer {TOKEN}")]):
            assert handler.peers[0].credentials == Credentials(subject="ada")
            # Who is not known is not told that the server is full either.
            assert (await refused(server)).status == 401
        assert server.statistics().admission.refused == {"credentials": 4}


async def test_foreign_pages_do_not_connect(autojump_clock):
    async with serving(Handler(), allowed_origins=["https://app.example"]) as server:
        assert (await refused(server, headers=[("Origin", "https://evil.example")])).status == 403
        async with calling(server, headers=[("Origin", "https://app.example")]):
            pass


async def test_a_path_that_is_too_long_is_refused(autojump_clock):
    async with serving(Handler()) as server:
        assert (await refused(server, "/" + "a" * 1025)).status == 414
        assert (await refused(server, "/" + "a" * 9000)).status in (414, 431)


async def test_other_machines_need_credentials_or_a_decision():
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0 can be reached from other machines"):
        await serve_sessions(Handler(), 0, "0.0.0.0")
    for options in ({"open_to_all": True}, {"authenticate": BearerTokens({"ada": TOKEN})}):
        async with serving(Handler(), host="0.0.0.0", **options):
            pass


async def test_connections_that_say_nothing_do_not_keep_others_out_for_long(autojump_clock):
    settings = ServerSettings(max_handshakes=3, limits=SocketLimits(handshake_s=5))
    async with serving(Handler(), settings=settings) as server:
        silent = [await trio.open_tcp_stream("127.0.0.1", server.port) for _ in range(3)]
        await until(lambda: server.statistics().open_sockets == 3)
        late = await trio.open_tcp_stream("127.0.0.1", server.port)
        assert b"503 Service Unavailable" in bytes(await late.receive_some())
        assert await late.receive_some() == b""
        await trio.sleep(5)
        async with calling(server):
            pass
        for stream in (*silent, late):
            await stream.aclose()
        assert server.statistics().admission.refused == {"handshakes": 1}


async def test_a_request_in_drops_has_no_more_time_than_another(autojump_clock):
    settings = ServerSettings(limits=SocketLimits(handshake_s=5))
    async with serving(Handler(), settings=settings) as server:
        stream = await trio.open_tcp_stream("127.0.0.1", server.port)
        began = trio.current_time()
        with suppress(trio.BrokenResourceError):
            for byte in b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 100:
                await stream.send_all(bytes([byte]))
                await trio.sleep(0.5)
        assert trio.current_time() - began == pytest.approx(5.5, abs=0.6)
        await stream.aclose()


async def test_a_client_that_sends_nothing_is_idle(autojump_clock):
    handler = Handler()
    async with serving(handler, settings=ServerSettings(idle_s=60)) as server:
        async with calling(server) as (socket, _hello):
            await trio.sleep(50)
            await socket.send(bytes(640))
            began = trio.current_time()
            messages, closed = await read_to_end(socket)
            assert trio.current_time() - began == pytest.approx(60, abs=0.5)
            assert json.loads(messages[-1]) == {"type": "bye", "reason": "idle"}
            assert closed.code == 1000
        await until(lambda: server.statistics().open_sessions == 0)
    assert handler.sessions[0].result.reason == "idle"


async def test_a_session_that_lasts_too_long_is_warned_and_ended(autojump_clock, caplog):
    handler = Handler(tell_a_story)
    settings = ServerSettings(max_session_s=50, warn_s=10, idle_s=1000)
    with caplog.at_level(logging.INFO, "voicetrio.server"):
        async with serving(handler, settings=settings) as server:
            async with calling(server) as (socket, _hello):
                messages, closed = await read_to_end(socket)
            await until(lambda: server.statistics().open_sessions == 0)
            assert server.tally.ends == {"max_duration": 1}
    told = [json.loads(message) for message in messages if isinstance(message, str)]
    (warning,) = [fields for fields in told if fields.get("event") == "session_expiring"]
    assert (warning["reason"], warning["left_s"]) == ("max_duration", pytest.approx(10))
    (event,) = [event for event in handler.events if isinstance(event, SessionExpiring)]
    (ending,) = [fields for fields in told if fields.get("event") == "session_ending"]
    assert ending["time"] - event.time == pytest.approx(10)
    assert closed.reason == "max_duration"
    assert "peer-1: session-1 ended: max_duration" in caplog.text


async def test_a_peer_that_stops_reading_ends_alone(autojump_clock):
    handler = Handler(tell_a_story)
    settings = ServerSettings(resume_s=0, limits=SocketLimits(keepalive_s=1e6))
    async with serving(handler, settings=settings) as server:
        async with calling(server) as (healthy, _hello):
            stream = await trio.open_tcp_stream("127.0.0.1", server.port)
            stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
            await stream.send_all(
                b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            heard = 0
            while not server.tally.ends:
                heard += isinstance(await healthy.receive(), bytes)
            assert handler.sessions[1].result.reason == "peer_gone"
            assert heard > 100
            assert handler.sessions[0].ending is False
            await stream.aclose()


async def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="max_sessions must be above 0"):
        ServerSettings(max_sessions=0)
    with pytest.raises(ConfigError, match="resume_s must not be below 0"):
        ServerSettings(resume_s=-1)
