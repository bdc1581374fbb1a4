"""The other side of a WebSocket, frame by frame, with none of the manners of a library."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import trio
import trio.testing
import trio_websocket
from websockets.frames import CLOSE, Close, Frame, Opcode
from websockets.streams import StreamReader

from voicetrio.connection.websocket import (
    MessageSocket,
    SocketLimits,
    accept_websocket,
    adopt_trio_websocket,
    open_stream_socket,
)
from voicetrio.runtime.attendants import open_attendants

REQUEST = (
    b"GET /call?input_rate=8000 HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
Kind = Literal["ours", "adopted"]


class RawClient:
    """A client that does only what a test says."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._reader = StreamReader()

    async def shake_hands(self) -> bytes:
        """Ask for a WebSocket; return the response's head."""
        await self.stream.send_all(REQUEST)
        head = b""
        while b"\r\n\r\n" not in head:
            head += await self.stream.receive_some(1)
        return head

    async def write(self, opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> None:
        await self.stream.send_all(Frame(opcode, data, fin).serialize(mask=True))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self.write(CLOSE, Close(code, reason).serialize())

    async def read(self) -> Frame | None:
        """Return the next frame; None at the end of the stream."""
        parser = Frame.parse(self._reader.read_exact, mask=False)
        while True:
            try:
                next(parser)
            except StopIteration as stop:
                return stop.value
            except EOFError:
                return None
            data = await self.stream.receive_some(65536)
            if data:
                self._reader.feed_data(bytes(data))
            else:
                self._reader.feed_eof()

    async def read_close(self) -> Close | None:
        """Skip to the close frame; None if the stream ends without one."""
        while (frame := await self.read()) is not None:
            if frame.opcode is CLOSE:
                return Close.parse(bytes(frame.data))
        return None


@asynccontextmanager
async def open_pair(
    kind: Kind,
    *,
    limits: SocketLimits | None = None,
    streams: tuple[trio.abc.Stream, trio.abc.Stream] | None = None,
    max_message_bytes: int = 65536,
) -> AsyncIterator[tuple[MessageSocket, RawClient]]:
    """Give a server's socket and the raw client that it accepted."""
    near, far = streams or trio.testing.memory_stream_pair()
    limits = limits or SocketLimits(max_message_bytes=max_message_bytes)
    raw = RawClient(far)
    if kind == "ours":
        async with trio.open_nursery() as nursery:
            nursery.start_soon(raw.shake_hands)
            driver, _request = await accept_websocket(near, limits)
        async with open_stream_socket(near, driver, limits, remote="raw client") as socket:
            yield socket, raw
        return
    async with open_attendants() as nursery:
        async with trio.open_nursery() as opening:
            opening.start_soon(raw.shake_hands)
            request = await trio_websocket.wrap_server_stream(
                nursery, near, max_message_size=max_message_bytes
            )
            connection = await request.accept()
        async with adopt_trio_websocket(connection, limits) as socket:
            yield socket, raw
