"""What a frame costs on the paths that every frame takes: a change that makes one dearer fails here.

Each path has a floor, counted in the same run: what trio alone costs for the like.  What is ours beyond it
has a limit: what was counted when the test was written, and a sixth more for other versions of Python and
trio.  A limit may be raised, with the reason in the commit, or lowered after what made the path cheaper.
"""

from __future__ import annotations

import itertools
from contextlib import asynccontextmanager
from functools import partial

import numpy as np
import trio
from websockets.frames import BINARY, Frame

from tests.connection.websocket.raw import open_pair
from tests.guards.counting import cost_of_an_item
from voicetrio.frames import AudioFrame
from voicetrio.runtime.pipeline import pipeline
from voicetrio.runtime.session import open_session
from voicetrio.runtime.transforms import transform
from voicetrio.transports.memory import memory_peer
from voicetrio.transports.serializers.native import NativeWire
from voicetrio.transports.websocket import WebSocketPeer

FRAME = AudioFrame.silence(320, 16_000)
BED = (np.random.default_rng(1).standard_normal(24_000) * 300).astype(np.int16)
SLACK = 7 / 6
TICK_CALLS = 110
TICK_OVER_WEBSOCKET_CALLS = 107
BURST_SAVES_CALLS = 194
FRAME_FROM_WEBSOCKET_CALLS = 69
TICK_S = 0.02


# --- a stage, and a transform ---


async def pass_on(inlet, outlet) -> None:
    async with inlet, outlet:
        async for frame in inlet:
            await outlet.send(frame)


class Ends:
    """A source and a sink with one frame on its way at a time, as speech is."""

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._tell, self._told = trio.open_memory_channel[None](1)

    async def source(self, outlet) -> None:
        async with outlet:
            for _ in range(self._frames):
                await outlet.send(FRAME)
                await self._told.receive()

    async def sink(self, inlet) -> None:
        async for _ in inlet:
            await self._tell.send(None)


async def our_row(frames: int, *, stages=0, transforms=0) -> None:
    ends = Ends(frames)
    row = [transform(lambda frame: frame) for _ in range(transforms)] + [pass_on] * stages
    await pipeline(ends.source, *row, ends.sink).run()


async def bare_row(frames: int, *, stages: int) -> None:
    ends = Ends(frames)
    channels = [trio.open_memory_channel(1) for _ in range(stages + 1)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends.source, channels[0][0])
        for (_, inlet), (outlet, _) in itertools.pairwise(channels):
            nursery.start_soon(pass_on, inlet, outlet)
        nursery.start_soon(ends.sink, channels[-1][1])


def one_more(row, what: str, fewer: int, more: int):
    """Return the calls and the steps that one stage or transform more costs a frame."""
    few = cost_of_an_item(partial(row, **{what: fewer}))
    many = cost_of_an_item(partial(row, **{what: more}))
    count = more - fewer
    return (many.calls - few.calls) / count, (many.steps - few.steps) / count


def test_a_stage_costs_a_frame_no_more_than_a_memory_channel():
    calls, steps = one_more(our_row, "stages", 2, 6)
    bare_calls, bare_steps = one_more(bare_row, "stages", 2, 6)
    assert calls <= bare_calls
    assert round(steps, 1) == round(bare_steps, 1) == 2.0


def test_a_fused_transform_costs_a_frame_its_own_call_and_no_step():
    calls, steps = one_more(our_row, "transforms", 2, 42)
    assert 0.9 < calls < 1.1  # the order of the tasks decides what the ends of the row cost
    assert round(steps, 1) == 0.0


# --- a tick, and the WebSocket both ways ---


async def with_a_bed(context) -> None:
    context.playout.start_bed(BED, fade_s=0.0)
    async for _ in context.inlet:
        pass


async def ticks_in_memory(count: int) -> None:
    transport, _far_end = memory_peer(max_recorded=1)
    async with open_session(transport, with_a_bed) as session:
        await trio.sleep((count + 0.5) * TICK_S)
        session.cancel()


@asynccontextmanager
async def websocket_pair():
    """Give a server's WebSocket over a real socket, and the client's end of that socket."""
    near, far = trio.socket.socketpair()
    with near, far:
        async with open_pair("ours", streams=(trio.SocketStream(near), trio.SocketStream(far))) as (
            socket,
            _,
        ):
            yield WebSocketPeer(socket, NativeWire(), name="peer"), far


async def ticks_over_a_websocket(count: int, behaviour=with_a_bed) -> None:
    async with websocket_pair() as (peer, _far):
        async with open_session(peer, behaviour) as session:
            # Nobody reads: what is written fits into the system's buffer.
            await trio.sleep((count + 0.5) * TICK_S)
            assert session.statistics().playout.written >= count * TICK_S * session.playout.rate
            session.cancel()


async def talk(context) -> None:
    speech = context.playout.open_speech("a reply")
    speech.release()
    await speech.send(AudioFrame.silence(24_000 * 3, 24_000))
    async for _ in context.inlet:
        pass


async def frames_from_a_websocket(count: int) -> None:
    message = Frame(BINARY, bytes(640)).serialize(mask=True)
    tell, told = trio.open_memory_channel[None](1)

    async def listen(context) -> None:
        async for _ in context.inlet:
            tell.send_nowait(None)

    async with websocket_pair() as (peer, far):
        async with open_session(peer, listen) as session:
            for _ in range(count):
                await far.send(message)
                await told.receive()
            session.cancel()


async def sleeps(count: int) -> None:  # noqa: ASYNC910  # there is at least one
    due = trio.current_time()
    for _ in range(count):
        due += TICK_S
        await trio.sleep_until(due)


async def bytes_from_a_socket(count: int) -> None:
    near, far = trio.socket.socketpair()
    message = Frame(BINARY, bytes(640)).serialize(mask=True)
    tell, told = trio.open_memory_channel[None](1)

    async def listen() -> None:
        stream = trio.SocketStream(near)
        while await stream.receive_some(65536):
            tell.send_nowait(None)

    with near, far:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            for _ in range(count):
                await far.send(message)
                await told.receive()
            nursery.cancel_scope.cancel()


def beyond(row, floor, items: int = 100) -> tuple[float, float]:
    """Return the calls and the steps that an item costs beyond what the floor costs."""
    cost, bare = cost_of_an_item(row, items), cost_of_an_item(floor, items)
    return cost.calls - bare.calls, cost.steps - bare.steps


def test_a_tick_costs_one_sleep_and_what_it_did():
    calls, steps = beyond(ticks_in_memory, sleeps)
    assert round(steps, 1) == 0.0
    assert calls <= TICK_CALLS * SLACK


def test_a_tick_over_a_websocket_is_written_in_its_own_step():
    calls, steps = beyond(ticks_over_a_websocket, sleeps, 30)
    assert round(steps, 1) == 0.0
    assert calls <= TICK_OVER_WEBSOCKET_CALLS * SLACK


def test_a_reply_over_a_websocket_is_written_three_ticks_at_a_time():
    calls, steps = beyond(partial(ticks_over_a_websocket, behaviour=talk), ticks_over_a_websocket, 30)
    assert round(steps, 1) == -0.7
    assert calls <= -BURST_SAVES_CALLS / SLACK


def test_a_frame_from_a_websocket_costs_one_step_more_than_its_bytes():
    calls, steps = beyond(frames_from_a_websocket, bytes_from_a_socket)
    assert round(steps, 1) == 1.0
    assert calls <= FRAME_FROM_WEBSOCKET_CALLS * SLACK
