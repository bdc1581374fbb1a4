"""WebSocket peers on real sockets that misbehave after the opening handshake, or instead of it.

Each is a value: give it to ``open_faulty_server`` for a server that does this to every client, or to
``connect_faulty_client`` for a client that does it to a server.  Bytes on the loopback cross a virtual clock
without harm, so these work in simulations, too.
"""

from __future__ import annotations

import logging
import socket as stdlib_socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeAlias, final

import attrs
import trio
from websockets.client import ClientProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import Protocol
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from voicetrio.runtime.attendants import open_attendants

__all__ = [
    "CloseWith",
    "FaultyServer",
    "Garbage",
    "HalfClose",
    "IgnoreEverything",
    "LateCloseAnswer",
    "RefuseUpgrade",
    "Reset",
    "SilentUpgrade",
    "SocketFault",
    "StopReading",
    "TornFrame",
    "connect_faulty_client",
    "open_faulty_server",
    "reset_stream",
]

_CHUNK: Final = 65536
# Silenced: a fault is not worth a line in a log of the one that it is done to.
_log = logging.getLogger("voicetrio.testing.faults")

_GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError)


def reset_stream(stream: trio.SocketStream) -> None:
    """Close ``stream`` with a TCP reset: what was not delivered yet is lost, and the peer gets an error."""
    if stream.socket.fileno() >= 0:
        linger = struct.pack("ii", 1, 0)
        stream.socket.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_LINGER, linger)
        stream.socket.close()


@final
class _Wire:
    """One connection after its handshake: frames by hand."""

    def __init__(self, stream: trio.SocketStream, protocol: Protocol, *, masks: bool) -> None:
        self.stream = stream
        self._protocol = protocol
        self._masks = masks

    def frame(self, opcode: Opcode, data: bytes) -> bytes:
        return Frame(opcode, data).serialize(mask=self._masks)

    async def read_close(self) -> bool:
        """Answer pings until the peer's close frame has come; False if the connection ended without one."""
        protocol = self._protocol
        while protocol.close_rcvd is None:
            data = await self.stream.receive_some(_CHUNK)
            if not data:
                return False
            protocol.receive_data(bytes(data))
            for event in protocol.events_received():
                if isinstance(event, Frame) and event.opcode is Opcode.PING:
                    await self.stream.send_all(self.frame(Opcode.PONG, bytes(event.data)))
            protocol.data_to_send()  # the answers that the protocol would give: not wanted
        return True  # noqa: ASYNC910  # nothing is read twice

    async def read_all(self) -> None:
        """Take what comes, and answer nothing, until the peer has closed its side."""
        while await self.stream.receive_some(_CHUNK):
            pass


@attrs.frozen
class SocketFault:
    """Does nothing wrong: it answers pings, and the peer's close."""

    async def act(self, wire: _Wire) -> None:
        """Do to the open connection what this fault does; the connection is closed afterwards."""
        if await wire.read_close():
            await wire.stream.send_all(wire.frame(Opcode.CLOSE, Close(1000, "").serialize()))


@final
@attrs.frozen
class StopReading(SocketFault):
    """Reads nothing any more, so that the network's buffers fill."""

    async def act(self, wire: _Wire) -> None:
        """Wait."""
        await trio.sleep_forever()


@final
@attrs.frozen
class IgnoreEverything(SocketFault):
    """Reads, but answers neither pings nor the close."""

    async def act(self, wire: _Wire) -> None:
        """Read."""
        await wire.read_all()


@final
@attrs.frozen
class HalfClose(SocketFault):
    """Closes its own side of TCP without a close frame, and goes on reading."""

    async def act(self, wire: _Wire) -> None:
        """Send the end, then read."""
        await wire.stream.send_eof()
        await wire.read_all()


@final
@attrs.frozen
class Reset(SocketFault):
    """Resets the TCP connection, after ``after_s`` seconds."""

    after_s: float = 0.0

    async def act(self, wire: _Wire) -> None:
        """Reset."""
        await trio.sleep(self.after_s)
        reset_stream(wire.stream)


@final
@attrs.frozen
class Garbage(SocketFault):
    """Sends bytes that are no frame (a reserved opcode and reserved bits), and goes on as if nothing were."""

    data: bytes = b"\xff\x00garbage"

    async def act(self, wire: _Wire) -> None:
        """Send, then read."""
        await wire.stream.send_all(self.data)
        await wire.read_all()


@final
@attrs.frozen
class TornFrame(SocketFault):
    """Sends half a message, and then leaves."""

    async def act(self, wire: _Wire) -> None:
        """Send the half."""
        whole = wire.frame(Opcode.BINARY, bytes(640))
        await wire.stream.send_all(whole[: len(whole) // 2])


@final
@attrs.frozen
class LateCloseAnswer(SocketFault):
    """Answers pings, but the close only after ``delay_s`` seconds: never, by default."""

    delay_s: float = float("inf")

    async def act(self, wire: _Wire) -> None:
        """Wait for the close, and then longer."""
        if await wire.read_close():
            await trio.sleep(self.delay_s)
            await wire.stream.send_all(wire.frame(Opcode.CLOSE, Close(1000, "").serialize()))


@final
@attrs.frozen
class CloseWith(SocketFault):
    """Closes with ``code``, after ``after_s`` seconds; 1006 leaves without a close frame."""

    code: int = 1000
    reason: str = ""
    after_s: float = 0.0

    async def act(self, wire: _Wire) -> None:
        """Close, and wait for the answer."""
        await trio.sleep(self.after_s)
        if self.code == 1006:
            return
        payload = b"" if self.code == 1005 else struct.pack("!H", self.code) + self.reason.encode()
        await wire.stream.send_all(wire.frame(Opcode.CLOSE, payload))
        await wire.read_close()


@final
@attrs.frozen
class RefuseUpgrade(SocketFault):
    """A server that answers the opening handshake with an HTTP status."""

    status: int = 503
    headers: tuple[tuple[str, str], ...] = ()


@final
@attrs.frozen
class SilentUpgrade(SocketFault):
    """A server that takes the connection and never answers the opening handshake."""


# --- servers ---------------------------------------------------------------------------------------


@final
class FaultyServer:
    """A server on the loopback; made by ``open_faulty_server`` only."""

    def __init__(self, port: int) -> None:
        self.url = f"ws://127.0.0.1:{port}"
        """Where it listens."""
        self.connections = 0
        """How many clients have come."""
        self.times: list[float] = []
        """When each of them came: ``trio.current_time()``."""


FaultPlan: TypeAlias = SocketFault | Callable[[int], SocketFault]
"""One fault for every connection, or a function from the connection's number (from 0) to it."""


@asynccontextmanager
async def open_faulty_server(fault: FaultPlan) -> AsyncIterator[FaultyServer]:
    """Serve WebSocket connections that misbehave, for as long as the block lasts."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    server = FaultyServer(listeners[0].socket.getsockname()[1])

    async def handle(stream: trio.SocketStream) -> None:
        number = server.connections
        server.connections += 1
        server.times.append(trio.current_time())
        await _serve(stream, fault if isinstance(fault, SocketFault) else fault(number))

    async with open_attendants() as nursery:
        await nursery.start(trio.serve_listeners, handle, listeners, name="faulty server")
        yield server


async def _serve(stream: trio.SocketStream, fault: SocketFault) -> None:
    protocol = ServerProtocol(logger=_log)

    async def shake_hands() -> bool:
        request = await _receive(stream, protocol)
        if not isinstance(request, Request):
            return False
        if isinstance(fault, SilentUpgrade):
            await trio.sleep_forever()
        if isinstance(fault, RefuseUpgrade):
            response = protocol.reject(fault.status, "refused on purpose\n")
            for name, value in fault.headers:
                response.headers[name] = value
        else:
            response = protocol.accept(request)
        protocol.send_response(response)
        await stream.send_all(b"".join(protocol.data_to_send()))
        return response.status_code == 101

    await _do(stream, shake_hands, _Wire(stream, protocol, masks=False), fault)


# --- clients ---------------------------------------------------------------------------------------


async def connect_faulty_client(url: str, fault: SocketFault) -> None:
    """Connect to the server at ``url`` and misbehave; return when the connection is over.

    Raises OSError when the server cannot be reached.
    """
    uri = parse_uri(url)
    stream = await trio.open_tcp_stream(uri.host, uri.port)
    protocol = ClientProtocol(uri, logger=_log)

    async def shake_hands() -> bool:
        protocol.send_request(protocol.connect())
        await stream.send_all(b"".join(protocol.data_to_send()))
        return await _receive(stream, protocol) is not None and protocol.handshake_exc is None

    await _do(stream, shake_hands, _Wire(stream, protocol, masks=True), fault)


async def _receive(stream: trio.SocketStream, protocol: Protocol) -> object:
    """Return the first event of the handshake; None if the peer leaves before."""
    while True:
        data = await stream.receive_some(_CHUNK)
        if not data:
            return None
        protocol.receive_data(bytes(data))
        events = protocol.events_received()
        if events:
            return events[0]


async def _do(
    stream: trio.SocketStream, shake_hands: Callable[[], Awaitable[bool]], wire: _Wire, fault: SocketFault
) -> None:
    try:
        if await shake_hands():
            await fault.act(wire)
    except _GONE:
        await trio.lowlevel.checkpoint()  # the other side had enough: so be it
    finally:
        await trio.aclose_forcefully(stream)
