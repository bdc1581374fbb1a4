"""The servers of ``sessions.py``, each in a process of its own.

    python sessions_servers.py SCENARIO CORE

Prints its port, and serves until it is ended.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio

ANSWER = (
    "I have heard what you said, and I answer with a sentence that is long enough to be worth hearing, "
    "because a caller who listens costs as much as one who speaks."
)


def announce(port: int) -> None:
    """Tell who started this process that it listens."""
    # What was imported stays: a full collection over it would stop every session at once.
    gc.collect()
    gc.freeze()
    print(port, flush=True)


# --- ours -----------------------------------------------------------------------------------------


async def serve(make_behaviour: Callable[[Any], Any]) -> None:
    """Serve sessions with what ``make_behaviour`` makes for each peer."""
    from voicetrio.runtime.session import open_session
    from voicetrio.server.serve import serve_sessions
    from voicetrio.server.settings import ServerSettings

    # The search is for what a core carries, so nobody is refused before that.
    settings = ServerSettings(max_sessions=10_000, max_lag_s=10.0)

    async def handler(peer) -> None:
        async with open_session(peer, make_behaviour(peer)) as session:
            await session.wait_ended()

    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve_sessions, handler, 0, settings=settings))
        announce(server.port)


async def relay() -> None:
    """Echo through a pipeline, as it comes."""
    from voicetrio.runtime.pipeline import pipeline
    from voicetrio.runtime.transforms import transform

    async def behaviour(context) -> None:
        await pipeline(transform(lambda frame: frame))(context.inlet, context.open_relay())

    await serve(lambda _peer: behaviour)


async def echo() -> None:
    """Echo through a pipeline and the paced playout."""
    from voicetrio.runtime.pipeline import pipeline
    from voicetrio.runtime.transforms import transform

    await serve(lambda _peer: pipeline(transform(lambda frame: frame)))


async def echo_vad() -> None:
    """Echo through the playout, with the embedded VAD on the way."""
    import numpy as np

    from voicetrio.machines.voice import VoiceActivity
    from voicetrio.runtime.pipeline import pipeline
    from voicetrio.runtime.transforms import transform
    from voicetrio.services.local.vad import EarshotVAD

    class Watch:
        """Runs the VAD on what passes."""

        def __init__(self) -> None:
            self.vad = EarshotVAD()
            self.activity = VoiceActivity(self.vad.rate)
            self.kept = np.empty(0, np.int16)
            self.position = 0

        def __call__(self, frame):
            samples = np.concatenate([self.kept, frame.samples])
            window = self.vad.window
            while samples.size >= window:
                probability = self.vad.probability(samples[:window])
                self.activity.feed(self.position, self.position + window, probability, trio.current_time())
                self.position += window
                samples = samples[window:]
            self.kept = samples
            return frame

    await serve(lambda _peer: pipeline(transform(Watch())))


async def agent(*, bed: bool = False, quiet: bool = False) -> None:
    """The whole agent: embedded VAD, scripted recogniser, model and voice; ``quiet`` callers hear nothing."""
    from voicetrio.conversation import Agent
    from voicetrio.services.local.vad import EarshotVAD
    from voicetrio.testing.scripted import ScriptedLLM, ScriptedSTT, ScriptedTTS

    made = Agent(
        vad=EarshotVAD,
        stt=lambda: ScriptedSTT(["what is the time"] * 100, decode_s=0.2),
        llm=lambda: ScriptedLLM(lambda _messages: ANSWER, first_piece_s=0.1, piece_s=0.02),
        # A hosted voice sends a fifth of a second at once, and more.
        tts=lambda: ScriptedTTS(first_audio_s=0.1, real_time_factor=0.1, chunk_s=0.2),
        greeting=None if quiet else ANSWER,
        bed="room" if bed else None,
    )
    await serve(lambda _peer: made)


async def embedded() -> None:
    """The embedded agent with its models."""
    from voicetrio.conversation import Agent
    from voicetrio.services import local

    async with local.open_models() as models:
        made = Agent(models, greeting=ANSWER)
        await serve(lambda _peer: made)


# --- the floors ------------------------------------------------------------------------------------


async def websockets_echo() -> None:
    """Echo with the websockets package's sans-I/O protocol on trio, and nothing else."""
    from websockets.frames import Frame, Opcode
    from websockets.http11 import Request
    from websockets.server import ServerProtocol

    async def answer(stream: trio.SocketStream) -> None:
        protocol = ServerProtocol()
        async with stream:
            async for data in stream:
                protocol.receive_data(bytes(data))
                for event in protocol.events_received():
                    if isinstance(event, Request):
                        protocol.send_response(protocol.accept(event))
                    elif isinstance(event, Frame) and event.opcode is Opcode.BINARY:
                        protocol.send_binary(event.data)
                output = b"".join(protocol.data_to_send())
                if output:
                    await stream.send_all(output)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, partial(_forgive, answer), 0)
        announce(listeners[0].socket.getsockname()[1])


async def _forgive(answer: Callable[[trio.SocketStream], Awaitable[None]], stream: trio.SocketStream) -> None:
    try:
        await answer(stream)
    except trio.BrokenResourceError:
        await trio.lowlevel.checkpoint()


async def trio_websocket_echo() -> None:
    """Echo with trio-websocket, and nothing else."""
    from trio_websocket import ConnectionClosed, WebSocketRequest, serve_websocket

    async def answer(request: WebSocketRequest) -> None:
        connection = await request.accept()
        try:
            while True:
                message = await connection.get_message()
                if isinstance(message, bytes):
                    await connection.send_message(message)
        except ConnectionClosed:
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve_websocket, answer, "127.0.0.1", 0, ssl_context=None))
        announce(server.port)


async def asyncio_echo() -> None:
    """Echo with the websockets package's server on asyncio, and nothing else."""
    from websockets.asyncio.server import serve

    async def answer(connection) -> None:
        async for message in connection:
            if isinstance(message, bytes):
                await connection.send(message)

    async with serve(answer, "127.0.0.1", 0, compression=None) as server:
        announce(server.sockets[0].getsockname()[1])
        await server.serve_forever()


SERVERS: dict[str, Callable[[], Awaitable[None]]] = {
    "relay": relay,
    "echo": echo,
    "echo_vad": echo_vad,
    "agent": agent,
    "agent_bed": partial(agent, bed=True),
    "agent_quiet": partial(agent, quiet=True),
    "embedded": embedded,
    "websockets": websockets_echo,
    "trio_websocket": trio_websocket_echo,
    "asyncio": asyncio_echo,
}


def main() -> None:
    """Serve."""
    scenario, core = sys.argv[1:3]
    os.sched_setaffinity(0, {int(core)})
    if scenario == "asyncio":
        asyncio.run(asyncio_echo())
    else:
        trio.run(SERVERS[scenario])


if __name__ == "__main__":
    main()
