"""A client that lost its network comes back to the same conversation, and nobody else does."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import numpy as np
import pytest
import trio

from tests.connection.websocket.raw import REQUEST
from tests.server.calls import Handler, calling, read_to_end, serving, tell_a_story, until
from tests.server.test_limits import refused
from voicetrio.connection.websocket import SocketLimits
from voicetrio.events import PeerBack, PeerLost
from voicetrio.server.authentication import BearerTokens
from voicetrio.server.settings import ServerSettings
from voicetrio.server.tokens import TokenSigner


async def read_audio(socket, seconds: float, rate: int = 24000) -> np.ndarray:
    """Return the next ``seconds`` of audio."""
    parts: list[bytes] = []
    while sum(map(len, parts)) < 2 * seconds * rate:
        message = await socket.receive()
        if isinstance(message, bytes):
            parts.append(message)
    return np.frombuffer(b"".join(parts), "<i2")


def back(hello: dict, **played: int) -> str:
    return "/?" + urlencode({"resume": hello["resume"], **played})


async def test_a_reply_goes_on_where_it_was_heard(autojump_clock):
    handler = Handler(tell_a_story)
    async with serving(handler) as server:
        async with calling(server) as (socket, hello):
            assert hello["resume_within_s"] == 20
            first = await read_audio(socket, 2.0)
            await socket.send(bytes(6400))
            await socket.send(json.dumps({"type": "played", "epoch": 0, "position": 36000}))
            await trio.sleep(0.05)
            socket.abort()
        await until(lambda: server.statistics().lost_peers == 1)
        await trio.sleep(10)
        async with calling(server, back(hello, epoch=0, played=40000)) as (socket, again):
            assert (again["session"], again["resume"]) == (hello["session"], hello["resume"])
            assert (again["epoch"], again["captured"]) == (1, 3200)
            assert again["position"] >= 48000
            rest = await read_audio(socket, 3.0)
        fade = 480
        story = (np.arange(6 * 24000) % 30000 + 1).astype(np.int16)
        assert np.array_equal(first[fade:], story[fade : first.size])
        assert np.array_equal(rest[fade:], story[40000 + fade : 40000 + rest.size])
        lost, returned = (event for event in handler.events if isinstance(event, PeerLost | PeerBack))
        assert returned.away_s == pytest.approx(10, abs=0.2)
        assert returned.position == again["position"]
        assert lost.wait_s == 20
        assert server.statistics().resumed == 1
        assert len(handler.sessions) == 1
        assert handler.peers[0].statistics().connections == 2


async def test_positions_go_on_and_reports_of_the_new_epoch_count(autojump_clock):
    handler = Handler(tell_a_story)
    async with serving(handler) as server:
        async with calling(server) as (socket, hello):
            await read_audio(socket, 1.0)
            socket.abort()
        await until(lambda: server.statistics().lost_peers == 1)
        async with calling(server, back(hello)) as (socket, again):
            await read_audio(socket, 1.0)
            playout = handler.sessions[0].playout
            for epoch, position in ((0, 24000), (1, again["position"] + 4800)):
                await socket.send(json.dumps({"type": "played", "epoch": epoch, "position": position}))
            await until(lambda: handler.sessions[0].statistics().inbound.confirmations == 1)
            assert playout.heard()[0] >= again["position"] + 4800
            assert handler.sessions[0].statistics().inbound.stale_confirmations == 1


async def test_the_clock_stands_still_while_nobody_listens(autojump_clock):
    handler = Handler(tell_a_story)
    async with serving(handler) as server:
        async with calling(server) as (socket, hello):
            await read_audio(socket, 1.0)
            socket.abort()
        await until(lambda: server.statistics().lost_peers == 1)
        ticks = handler.sessions[0].statistics().playout.ticks
        await trio.sleep(15)
        assert handler.sessions[0].statistics().playout.ticks == ticks
        assert not handler.sessions[0].ending
        async with calling(server, back(hello)):
            await trio.sleep(1)
            assert handler.sessions[0].statistics().playout.ticks >= ticks + 50


async def test_a_client_takes_over_from_its_own_dead_connection(autojump_clock):
    handler = Handler(tell_a_story)
    async with serving(handler) as server:
        async with calling(server) as (old, hello):
            await read_audio(old, 1.0)
            async with calling(server, back(hello)) as (new, _again):
                _messages, closed = await read_to_end(old)
                assert closed.code is None
                await read_audio(new, 1.0)
                await new.send('{"type": "end"}')
                _messages, closed = await read_to_end(new)
                assert closed.code == 1000
        await until(lambda: server.statistics().open_sessions == 0)
    assert handler.sessions[0].result.reason == "source_ended"


async def test_a_client_that_takes_nothing_is_lost_and_not_gone(autojump_clock):
    handler = Handler(tell_a_story)
    settings = ServerSettings(resume_s=20, limits=SocketLimits(keepalive_s=1e6))
    async with serving(handler, settings=settings) as server:
        async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
            stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
            await stream.send_all(REQUEST)
            got = b""
            while b"resume_within_s" not in got or not got.endswith(b"}"):
                got += bytes(await stream.receive_some(1))
            hello = json.loads(got[got.index(b'{"type":"hello"') :])
            await until(lambda: any(isinstance(event, PeerLost) for event in handler.events))
            (lost,) = [event for event in handler.events if isinstance(event, PeerLost)]
            assert "dropped" in lost.why
            async with calling(server, back(hello)) as (again, _hello):
                await read_audio(again, 1.0)
    assert len(handler.sessions) == 1


async def test_who_does_not_come_back_in_time_is_gone(autojump_clock):
    handler = Handler(tell_a_story)
    async with serving(handler, settings=ServerSettings(resume_s=5)) as server:
        async with calling(server) as (socket, hello):
            socket.abort()
        await until(lambda: server.statistics().lost_peers == 1)
        began = trio.current_time()
        await until(lambda: server.statistics().open_sessions == 0)
        assert trio.current_time() - began == pytest.approx(5, abs=0.5)
        assert handler.sessions[0].result.reason == "peer_gone"
        assert (await refused(server, back(hello))).status == 410
        assert server.statistics().admission.refused == {"resume": 1}


async def test_who_closes_with_a_code_has_left(autojump_clock):
    handler = Handler(tell_a_story)
    async with serving(handler) as server:
        async with calling(server) as (socket, hello):
            await socket.close(1001)
        await until(lambda: server.statistics().open_sessions == 0)
        assert handler.sessions[0].result.reason == "peer_gone"
        assert (await refused(server, back(hello))).status == 410


async def test_without_a_grace_no_token_is_given(autojump_clock):
    async with serving(Handler(), settings=ServerSettings(resume_s=0)) as server:
        async with calling(server) as (_socket, hello):
            assert "resume" not in hello


async def test_foreign_and_expired_tokens_bring_nobody_back(autojump_clock):
    now = [1000.0]
    signer = TokenSigner(now=lambda: now[0])
    settings = ServerSettings(max_session_s=100, resume_s=20)
    async with serving(Handler(), signer=signer, settings=settings) as server:
        async with calling(server) as (socket, hello):
            for token in ("", "x", TokenSigner().sign("resume", "peer-1", ttl_s=60)):
                assert (await refused(server, back({"resume": token}))).status == 403
            for_a_session = signer.sign("session", "peer-1", ttl_s=60)
            assert (await refused(server, back({"resume": for_a_session}))).status == 403
            now[0] += 121
            failure = await refused(server, back(hello))
            assert (failure.status, "expired" in failure.why) == (403, True)
            now[0] -= 121
            assert (await refused(server, back(hello) + "&played=x")).status == 400
            await socket.send(bytes(640))  # the session has noticed nothing of all this
            assert socket.is_open


async def test_a_stolen_token_needs_its_owners_credentials(autojump_clock):
    ada, eve = "the token of ada", "the token of eve"
    async with serving(Handler(), authenticate=BearerTokens({"ada": ada, "eve": eve})) as server:
        headers = [("Authorization", f"Bearer {ada}")]
        async with calling(server, headers=headers) as (socket, hello):
            assert (await refused(server, back(hello))).status == 401
            stolen = await refused(server, back(hello), headers=[("Authorization", f"Bearer {eve}")])
            assert stolen.status == 403
            assert socket.is_open
            async with calling(server, back(hello), headers=headers) as (_socket, again):
                assert again["session"] == hello["session"]


async def test_a_lost_client_keeps_its_slot_and_may_come_back_to_a_full_or_draining_server(autojump_clock):
    handler = Handler(tell_a_story)
    async with serving(handler, settings=ServerSettings(max_sessions=1)) as server:
        async with calling(server) as (socket, hello):
            socket.abort()
        await until(lambda: server.statistics().lost_peers == 1)
        assert (await refused(server)).status == 503
        server.drain(60)
        async with calling(server, back(hello)) as (socket, _again):
            await read_audio(socket, 1.0)


async def test_cancelling_the_server_ends_a_session_that_waits(autojump_clock):
    handler = Handler(tell_a_story)
    async with serving(handler) as server:
        async with calling(server) as (socket, _hello):
            socket.abort()
        await until(lambda: server.statistics().lost_peers == 1)
        began = trio.current_time()
    assert trio.current_time() - began < 2
    assert handler.sessions[0].result.reason == "cancelled"
