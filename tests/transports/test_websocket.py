"""The transport over both kinds of socket."""

from __future__ import annotations

import json

import numpy as np
import pytest
import trio
import trio.testing
from websockets.frames import BINARY, TEXT

from tests.connection.websocket.raw import Kind, RawClient, open_pair
from tests.transports.inbound import running
from voicetrio.connection.websocket import SocketLimits
from voicetrio.errors import LocalProtocolError, StageInUse
from voicetrio.events import Dtmf, MessageReceived, TaskStuck, TurnStarted
from voicetrio.frames import AudioFrame
from voicetrio.runtime.session import open_session
from voicetrio.runtime.transport import Clear, HangUp, SendMessage
from voicetrio.transports.serializers.native import NativeWire
from voicetrio.transports.websocket import MAX_MALFORMED, WebSocketPeer

pytestmark = pytest.mark.parametrize("kind", ["ours", "adopted"])
FRAME = AudioFrame.from_samples(np.arange(480, dtype=np.int16), 24000)


async def say(raw: RawClient, **fields) -> None:
    await raw.write(TEXT, json.dumps(fields).encode())


async def hear(raw: RawClient) -> dict | bytes:
    frame = await raw.read()
    assert frame is not None
    return json.loads(frame.data) if frame.opcode is TEXT else bytes(frame.data)


async def wait_for_ever(_context) -> None:
    await trio.sleep_forever()


async def test_what_the_client_sends_reaches_the_session(kind: Kind, autojump_clock):
    async with open_pair(kind) as (socket, raw):
        peer = WebSocketPeer(socket, NativeWire(), name="peer-1")
        async with running(peer) as run:
            await raw.write(BINARY, bytes(640))
            await raw.write(BINARY, bytes(640))
            await say(raw, type="hello", client="test 1")
            await say(raw, type="dtmf", digit="9")
            await say(raw, type="text", text="typed")
            await say(raw, type="played", epoch=0, position=480)
            await say(raw, type="end")
            await trio.sleep(1)
            assert [frame.position for frame in run.inbound.frames] == [0, 320]
            assert run.inbound.events == [
                Dtmf(digit="9"),
                MessageReceived(data={"type": "text", "text": "typed"}),
            ]
            assert [(epoch, position) for _time, epoch, position in run.inbound.confirmed] == [(0, 480)]
            assert run.inbound.source_ended_at is not None
            assert peer.client == "test 1"


async def test_operations_reach_the_client_in_order_and_a_hang_up_says_goodbye(kind: Kind, autojump_clock):
    async with open_pair(kind) as (socket, raw):
        peer = WebSocketPeer(socket, NativeWire(), name="peer-1")
        async with running(peer) as run:
            assert (await hear(raw))["type"] == "hello"
            run.outbox.offer(FRAME)
            run.outbox.put(Clear(1, 480))
            run.outbox.put(peer.operation_for(TurnStarted()))
            run.outbox.put(SendMessage({"mine": 1}))
            run.outbox.put(HangUp(1000, "ended"))
            assert await hear(raw) == bytes(FRAME.pcm)
            assert await hear(raw) == {"type": "clear", "epoch": 1, "position": 480}
            assert await hear(raw) == {"type": "event", "event": "turn_started"}
            assert await hear(raw) == {"type": "message", "data": {"mine": 1}}
            assert await hear(raw) == {"type": "bye", "reason": "ended"}
            close = await raw.read_close()
            assert (close.code, close.reason) == (1000, "ended")
            assert not run.over.is_set()
            await raw.close()
            await run.over.wait()
        assert run.gone is None
        assert run.outbox.statistics().written_items == 5
        assert peer.operation_for(TaskStuck(task="", where="", why="")) is None


async def test_a_client_that_leaves_is_peer_gone_with_its_code(kind: Kind, autojump_clock):
    async with open_pair(kind) as (socket, raw):
        async with running(WebSocketPeer(socket, NativeWire(), name="p")) as run:
            await raw.close(4002, "tired")
            await run.over.wait()
            assert (run.gone.code, run.gone.why) == (4002, "tired")


async def test_a_client_whose_network_fails_is_peer_gone_without_a_code(kind: Kind, autojump_clock):
    async with open_pair(kind) as (socket, raw):
        async with running(WebSocketPeer(socket, NativeWire(), name="p")) as run:
            await raw.stream.aclose()
            await run.over.wait()
            assert run.gone.code is None


async def test_a_client_that_takes_nothing_is_peer_gone_by_its_missing_pong(kind: Kind, autojump_clock):
    limits = SocketLimits(keepalive_s=4, keepalive_timeout_s=2)
    async with open_pair(kind, limits=limits, streams=trio.testing.lockstep_stream_pair()) as (socket, _raw):
        async with running(WebSocketPeer(socket, NativeWire(), name="p")) as run:
            run.outbox.offer(FRAME)
            await run.over.wait()
            assert "no answer to pings" in run.gone.why
            assert trio.current_time() == pytest.approx(6)


async def test_malformed_messages_are_answered_and_the_session_goes_on(kind: Kind, autojump_clock):
    async with open_pair(kind) as (socket, raw):
        peer = WebSocketPeer(socket, NativeWire(), name="p")
        async with running(peer) as run:
            await hear(raw)
            await raw.write(TEXT, b"{")
            await raw.write(BINARY, b"odd")
            await say(raw, type="sing")
            assert [(await hear(raw))["code"] for _ in range(3)] == ["bad_json", "odd_length", "unknown_type"]
            await raw.write(BINARY, b"even")
            await trio.sleep(1)
            assert len(run.inbound.frames) == 1
            assert peer.statistics().malformed == 3


@pytest.mark.parametrize(("message", "code"), [(b"{", 1008), (b"odd", 1003)])
async def test_too_many_malformed_messages_end_the_connection(kind: Kind, message, code, autojump_clock):
    async with open_pair(kind) as (socket, raw):
        async with running(WebSocketPeer(socket, NativeWire(), name="p")) as run:
            for _ in range(MAX_MALFORMED + 1):
                await raw.write(BINARY if code == 1003 else TEXT, message)
            assert (await raw.read_close()).code == code
            await run.over.wait()
            assert run.gone.code == code


async def test_cancelled_it_says_going_away_and_does_not_wait_for_the_answer(kind: Kind, autojump_clock):
    async with open_pair(kind) as (socket, raw):
        async with running(WebSocketPeer(socket, NativeWire(), name="p")) as run:
            await hear(raw)
            started = trio.current_time()
            run.gate.shut()
            run.scope.cancel()
            await run.over.wait()
            assert trio.current_time() - started <= 0.05
            assert (await raw.read_close()).code == 1001
            assert await raw.read() is None


async def test_cancelled_within_a_frame_it_writes_nothing_more(kind: Kind, autojump_clock):
    near, far = trio.testing.lockstep_stream_pair()
    async with open_pair(kind, streams=(near, far)) as (socket, raw):
        async with running(WebSocketPeer(socket, NativeWire(), name="p")) as run:
            await hear(raw)
            run.outbox.offer(FRAME)
            got = bytes(await far.receive_some(7))
            run.gate.shut()
            run.scope.cancel()
            await run.over.wait()
            while more := await far.receive_some(65536):
                got += bytes(more)
            # A prefix of the one frame, and no close frame behind it.
            assert (b"\x82\x7e\x03\xc0" + bytes(FRAME.pcm)).startswith(got)


async def test_cancelled_while_the_client_takes_nothing_it_is_over_by_its_deadline(
    kind: Kind, autojump_clock
):
    limits = SocketLimits(close_s=1.5)
    async with open_pair(kind, limits=limits, streams=trio.testing.lockstep_stream_pair()) as (socket, raw):
        async with running(WebSocketPeer(socket, NativeWire(), name="p")) as run:
            await hear(raw)
            await trio.testing.wait_all_tasks_blocked()
            started = trio.current_time()
            run.scope.cancel()
            await run.over.wait()
            assert trio.current_time() - started <= 1.5


async def test_what_cannot_be_sent_fails_with_1011(kind: Kind, autojump_clock):
    async with open_pair(kind) as (socket, raw):
        with pytest.RaisesGroup(LocalProtocolError, flatten_subgroups=True):
            async with running(WebSocketPeer(socket, NativeWire(), name="p")) as run:
                run.outbox.put(SendMessage(object()))
                await run.over.wait()
        assert (await raw.read_close()).code == 1011


async def test_a_session_ends_when_the_client_hangs_up(kind: Kind, autojump_clock):
    async def behaviour(context) -> None:
        async for _frame in context.inlet:
            pass

    async with open_pair(kind) as (socket, raw):
        peer = WebSocketPeer(socket, NativeWire(), name="p")
        async with open_session(peer, behaviour) as session:
            await say(raw, type="end")
            close = await raw.read_close()
            assert close.code == 1000
            await raw.close()
            await session.wait_ended()
        assert session.result.reason == "source_ended"
        with pytest.raises(StageInUse):
            async with open_session(peer, behaviour):
                raise AssertionError("it must not open")


async def test_a_session_whose_client_vanishes_ends_as_peer_gone(kind: Kind, autojump_clock):
    async with open_pair(kind) as (socket, raw):
        async with open_session(WebSocketPeer(socket, NativeWire(), name="p"), wait_for_ever) as session:
            await raw.stream.aclose()
            await session.wait_ended()
        assert session.result.reason == "peer_gone"
