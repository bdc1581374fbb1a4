"""What the tests of the server share: a server to call, and clients that call it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import numpy as np
import trio

from voicetrio.connection.websocket import SocketClosed, UpgradeRequest, open_websocket_client
from voicetrio.frames import AudioFrame
from voicetrio.runtime.session import Session, open_session
from voicetrio.server.peer import ServedPeer
from voicetrio.server.serve import SessionServer, serve_sessions


def request(path: str = "/", query: dict[str, str] | None = None, **headers: str) -> UpgradeRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return UpgradeRequest(path, query or {}, named, "192.0.2.7:5000")


class Handler:
    """Opens a session for each peer, and keeps it."""

    def __init__(self, behaviour=None) -> None:
        self.behaviour = behaviour or listen
        self.peers: list[ServedPeer] = []
        self.sessions: list[Session] = []
        self.events: list[Any] = []

    async def __call__(self, peer: ServedPeer) -> None:
        self.peers.append(peer)
        async with open_session(peer, self.behaviour) as session:
            self.sessions.append(session)
            with session.hub.observed_by(self.events.append):
                await session.wait_ended()


async def listen(context) -> None:
    """Take what comes in, and say nothing."""
    async for _frame in context.inlet:
        pass


async def tell_a_story(context) -> None:
    """Speak for a minute, samples counting upwards, and take what comes in."""
    rate = context.playout.rate
    speech = context.playout.open_speech("story")
    speech.release()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, context)
        for second in range(60):
            samples = ((np.arange(rate) + second * rate) % 30000 + 1).astype(np.int16)
            await speech.send(AudioFrame.from_samples(samples, rate))
        speech.finish()


@asynccontextmanager
async def serving(handler, **options: Any) -> AsyncIterator[SessionServer]:
    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve_sessions, handler, 0, **options))
        yield server
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def calling(server: SessionServer, target: str = "/", headers=()) -> AsyncIterator[tuple[Any, dict]]:
    """Connect, and give the socket with the server's hello."""
    async with open_websocket_client(server.url + target, headers=list(headers)) as socket:
        hello = json.loads(await socket.receive())
        assert hello["type"] == "hello"
        yield socket, hello


async def read_to_end(socket) -> tuple[list[bytes | str], SocketClosed]:
    """Return what comes until the connection ends, and how it ended."""
    messages = []
    try:
        while True:
            messages.append(await socket.receive())
    except SocketClosed as closed:
        return messages, closed


async def until(condition) -> None:
    """Let other tasks and the kernel go on until ``condition`` holds."""
    with trio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - the kernel sets no event
            await trio.sleep(0.01)
