"""Sessions of one server do not touch each other: not their audio, not their stages, not their failures."""

from __future__ import annotations

import json
import logging

import numpy as np
import trio
import trio.testing

from tests.server.calls import Handler, calling, read_to_end, serving, until
from voicetrio.connection.websocket import open_websocket_client
from voicetrio.errors import StageInUse
from voicetrio.frames import AudioFrame
from voicetrio.runtime.pipeline import pipeline
from voicetrio.runtime.session import open_session
from voicetrio.runtime.workers import InlineRunner, open_model_pool
from voicetrio.server.serve import SessionServer
from voicetrio.server.settings import ServerSettings

ALONE = ServerSettings(resume_s=0)


class Model:
    """A model that is shared by every session, and whose answer depends on its input only."""

    def run(self, samples: np.ndarray, gain: int) -> np.ndarray:
        return samples * np.int16(gain)


def transforming(pool):
    """Play each half second of the caller back, louder by the number of the half second."""

    async def behaviour(context) -> None:
        speech = context.playout.open_speech("answer")
        speech.release()
        waiting: list[np.ndarray] = []
        gain = 1  # of this session only
        async for frame in context.inlet:
            waiting.append(frame.samples)
            if sum(part.size for part in waiting) >= 8000:
                gain += 1
                samples = np.concatenate(waiting)
                waiting.clear()
                louder = await pool.run(
                    lambda model, s=samples, g=gain: model.run(s, g), session=context.name
                )
                await speech.send(AudioFrame.from_samples(louder, 16000))
        speech.finish()

    return behaviour


async def call(server: SessionServer, seed: int) -> bytes:
    """Speak for four seconds, no sample of them silent; return all that was heard."""
    spoken = np.random.default_rng(seed).integers(1, 500, 4 * 16000, np.int16)
    async with calling(server, "/?output_rate=16000") as (socket, _hello):
        for start in range(0, spoken.size, 320):
            await socket.send(spoken[start : start + 320].tobytes())
            await trio.sleep(0.02)
        await socket.send(json.dumps({"type": "end"}))
        messages, closed = await read_to_end(socket)
        assert closed.code == 1000
    return b"".join(message for message in messages if isinstance(message, bytes))


def voiced(heard: bytes) -> bytes:
    """Without the silence that fills frames up: its amount depends on when the model answered."""
    samples = np.frombuffer(heard, np.int16)
    return samples[samples != 0].tobytes()


async def test_each_session_hears_beside_others_what_it_hears_alone(autojump_clock):
    async with open_model_pool("model", Model, size=2, runner=InlineRunner(0.005)) as pool:
        alone = {}
        for seed in range(4):
            async with serving(Handler(transforming(pool)), settings=ALONE) as server:
                alone[seed] = await call(server, seed)
        together = {}
        async with serving(Handler(transforming(pool)), settings=ALONE) as server:

            async def call_and_keep(seed: int) -> None:
                await trio.sleep(seed * 0.0137)
                together[seed] = await call(server, seed)

            async def misbehave() -> None:
                for _ in range(20):
                    async with calling(server) as (socket, _hello):
                        await socket.send(bytes(3))
                        socket.abort()
                    await trio.sleep(0.1)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(misbehave)
                for seed in alone:
                    nursery.start_soon(call_and_keep, seed)
    assert len({voiced(heard) for heard in alone.values()}) == 4
    for seed, heard in alone.items():
        assert len(voiced(heard)) > 100_000
        assert voiced(together[seed]) == voiced(heard), seed


async def test_a_stage_that_two_sessions_share_fails_the_second_and_not_the_first(autojump_clock, caplog):
    async def echo(inlet, outlet) -> None:
        async for frame in inlet:
            await outlet.send(frame)

    shared = pipeline(echo, name="shared")
    sessions = []

    async def handler(peer) -> None:
        async with open_session(peer, shared) as session:
            sessions.append(session)
            await session.wait_ended()

    with caplog.at_level(logging.CRITICAL):
        async with serving(handler, settings=ALONE) as server:
            async with calling(server, "/?output_rate=16000") as (first, _hello):
                await first.send(bytes(640))
                await until(lambda: sessions[0].statistics().inbound.frames == 1)
                async with open_websocket_client(server.url) as second:
                    await read_to_end(second)
                await until(lambda: server.statistics().failed == 1)
                error = sessions[1].result.error
                assert isinstance(error, StageInUse)
                assert "session-1" in str(error) or "first run" in str(error)
                assert not sessions[0].ending
                await first.send(bytes(64000))
                while not isinstance(await first.receive(), bytes):
                    pass


async def test_a_pool_serves_sessions_in_turns(autojump_clock):
    served: list[str] = []
    async with open_model_pool("model", Model, runner=InlineRunner(lambda name: 0.1)) as pool:
        async with trio.open_nursery() as nursery:
            for session in ["greedy"] * 6 + ["modest", "shy"]:

                async def ask(session=session) -> None:
                    await pool.run(lambda _model: served.append(session), session=session)

                nursery.start_soon(ask)
                await trio.testing.wait_all_tasks_blocked()
            waiting = pool.statistics()
            assert (waiting.waiting, waiting.waiting_sessions) == (7, 3)
    assert set(served[1:4]) == {"greedy", "modest", "shy"}
