"""A server without a network: each dial meets the next behaviour of a list, and everything is counted."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

import attrs
import trio

from voicetrio.connection.websocket import (
    HandshakeFailed,
    SocketClosed,
    SocketLimits,
    SocketStatistics,
)


@attrs.frozen(kw_only=True)
class Meeting:
    """What one dial meets."""

    status: int | None = None
    """Refuse with this HTTP status."""
    unreachable: bool = False
    delay_s: float = 0.0
    """Before it is open, or refused."""
    lives_s: float = math.inf
    """Close it after so many seconds."""
    code: int | None = 1000
    by: Literal["peer", "network"] = "peer"
    retry_after: str | None = None
    takes_nothing: bool = False
    """Every write waits for ever."""
    goodbye_s: float = 0.0
    """How long closing takes."""


class FakeSocket:
    """A MessageSocket whose far end is the test."""

    remote = "fake"

    def __init__(self, server: FakeServer, meeting: Meeting, limits: SocketLimits) -> None:
        self.limits = limits
        self.written: list[tuple[float, str | bytes]] = []
        self.closed_with: tuple[int, str] | None = None
        self._server = server
        self._meeting = meeting
        self._give, self._take = trio.open_memory_channel[str | bytes | SocketClosed](math.inf)
        self._over: SocketClosed | None = None

    @property
    def is_open(self) -> bool:
        return self._over is None

    def say(self, message: str | bytes) -> None:
        self._give.send_nowait(message)

    def end(
        self, code: int | None = 1000, by: Literal["peer", "us", "network"] = "peer", why: str = ""
    ) -> None:
        if self._over is None:
            self._over = SocketClosed(code, why, by)
            self._give.send_nowait(self._over)

    async def send(self, message: str | bytes) -> None:
        await trio.lowlevel.checkpoint()
        if self._meeting.takes_nothing:
            try:
                await trio.sleep_forever()
            finally:
                self.abort()
        if not self.is_open:
            raise trio.BrokenResourceError
        self.written.append((trio.current_time(), message))
        self._server.on_message(self, message)

    def send_nowait(self, message: str | bytes) -> bool:
        raise AssertionError("the connection writes with send")

    async def receive(self) -> str | bytes:
        item = await self._take.receive()
        if isinstance(item, SocketClosed):
            raise item
        return item

    async def close(self, code: int = 1000, reason: str = "", *, wait_answer: bool = True) -> None:
        if self.is_open:
            self.closed_with = (code, reason)
            self.end(code, "us")
        if wait_answer:
            await trio.sleep(self._meeting.goodbye_s)
        else:
            await trio.lowlevel.checkpoint()

    def abort(self) -> None:
        self.end(None, "us", "dropped")

    def statistics(self) -> SocketStatistics:
        return SocketStatistics(
            messages_sent=len(self.written),
            messages_received=0,
            bytes_sent=0,
            bytes_received=0,
            inbox_messages=0,
            pings_answered=0,
            round_trip_s=None,
        )


class FakeServer:
    """``connect`` fits ``open_connection``."""

    def __init__(self, *meetings: Meeting) -> None:
        self.meetings = list(meetings) or [Meeting()]
        self.dials: list[float] = []
        self.opened: list[float] = []
        self.gone: list[float] = []
        self.sockets: list[FakeSocket] = []
        self.alive = 0
        self.most_alive = 0
        self.on_message: Callable[[FakeSocket, str | bytes], None] = lambda _socket, _message: None

    @property
    def socket(self) -> FakeSocket:
        return self.sockets[-1]

    @property
    def texts(self) -> list[str | bytes]:
        return [message for socket in self.sockets for _time, message in socket.written]

    @asynccontextmanager
    async def connect(self, limits: SocketLimits) -> AsyncIterator[FakeSocket]:
        self.dials.append(trio.current_time())
        meeting = self.meetings.pop(0) if len(self.meetings) > 1 else self.meetings[0]
        self.alive += 1
        self.most_alive = max(self.most_alive, self.alive)
        try:
            await trio.sleep(meeting.delay_s)
            if meeting.status is not None:
                raise HandshakeFailed("refused", status=meeting.status, retry_after=meeting.retry_after)
            if meeting.unreachable:
                raise HandshakeFailed("fake:1 cannot be reached") from ConnectionRefusedError()
            socket = FakeSocket(self, meeting, limits)
            self.sockets.append(socket)
            self.opened.append(trio.current_time())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._live, socket, meeting)
                yield socket
                await socket.close()
                nursery.cancel_scope.cancel()
        finally:
            self.alive -= 1
            self.gone.append(trio.current_time())

    async def _live(self, socket: FakeSocket, meeting: Meeting) -> None:
        if meeting.lives_s < math.inf:
            await trio.sleep(meeting.lives_s)
            socket.end(meeting.code, meeting.by, "as the test says")
