"""A session's inside, reduced to what a transport sees of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from voicetrio.errors import PeerGone
from voicetrio.events import Event
from voicetrio.frames import AudioFrame
from voicetrio.runtime.outbox import Gate, Outbox
from voicetrio.runtime.transport import Transport


class RecordingInbound:
    """Takes everything and remembers it."""

    def __init__(self) -> None:
        self.frames: list[AudioFrame] = []
        self.times: list[float] = []
        self.confirmed: list[tuple[float, int, int]] = []
        self.events: list[Event] = []
        self.source_ended_at: float | None = None
        self.waits_s = 0.0

    async def send(self, frame: AudioFrame) -> None:
        await trio.sleep(self.waits_s)
        self.send_nowait(frame)

    def send_nowait(self, frame: AudioFrame) -> None:
        self.frames.append(frame)
        self.times.append(trio.current_time())

    def confirm(self, epoch: int, position: int) -> None:
        self.confirmed.append((trio.current_time(), epoch, position))

    def tell(self, event: Event) -> None:
        self.events.append(event)

    def source_ended(self) -> None:
        self.source_ended_at = trio.current_time()


class Run:
    """A transport that is running."""

    def __init__(self) -> None:
        self.inbound = RecordingInbound()
        self.gate = Gate()
        self.outbox = Outbox(self.gate)
        self.gone: PeerGone | None = None
        self.over = trio.Event()
        self.scope = trio.CancelScope()


@asynccontextmanager
async def running(transport: Transport) -> AsyncIterator[Run]:
    """Run ``transport`` inside the block; cancel it at the block's end as a session does."""
    run = Run()

    async def run_it() -> None:
        with run.scope:
            try:
                await transport.run(run.inbound, run.outbox)
            except PeerGone as gone:
                run.gone = gone
        run.over.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_it)
        yield run
        run.gate.shut()
        run.scope.cancel()
