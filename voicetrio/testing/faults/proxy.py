"""A TCP proxy that stands between a client and a server and makes the network bad.

It knows nothing of what it carries.  What goes wrong can be set before and changed while connections run.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, final

import attrs
import trio

from voicetrio.errors import ConfigError
from voicetrio.runtime.attendants import open_attendants
from voicetrio.testing.faults.sockets import reset_stream

__all__ = ["FaultProxy", "NetworkFaults", "ProxyStatistics", "open_fault_proxy"]

_CHUNK: Final = 4096
_IN_FLIGHT_BYTES: Final = 1 << 18
"""How much may be on its way in one direction; then the proxy reads no more, as a full network would not."""
_GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError)


@attrs.frozen(kw_only=True)
class NetworkFaults:
    """How bad the network is; in each direction."""

    delay_s: float = 0.0
    """Seconds from one end to the other."""
    jitter_s: float = 0.0
    """Up to so many seconds more, drawn for each piece; the order is kept."""
    bytes_per_s: float | None = None
    """The bandwidth; None for no bound."""
    cut_after_bytes: int | None = None
    """Reset the connection when so many bytes have passed from the client to the server."""

    def __attrs_post_init__(self) -> None:
        """Raise ConfigError for what makes no sense."""
        if self.delay_s < 0 or self.jitter_s < 0:
            raise ConfigError("delay_s and jitter_s must not be negative")
        if self.bytes_per_s is not None and not self.bytes_per_s > 0:
            raise ConfigError(f"bytes_per_s must be above 0, or None: not {self.bytes_per_s!r}")


@attrs.frozen
class ProxyStatistics:
    """Counts of one proxy."""

    connections: int
    open_connections: int
    bytes_up: int
    """From clients to the server."""
    bytes_down: int


@final
class FaultProxy:
    """A proxy; made by ``open_fault_proxy`` only."""

    def __init__(self, port: int, faults: NetworkFaults, seed: int) -> None:
        self.port = port
        """Where it listens, on 127.0.0.1."""
        self.faults = faults
        """Assign others at any time; they count for what comes from then on."""
        self._random = random.Random(seed)
        self._streams: list[tuple[trio.SocketStream, trio.SocketStream]] = []
        self._connections = 0
        self._bytes = {"up": 0, "down": 0}
        self._flowing = trio.Event()
        self._flowing.set()

    def stall(self) -> None:
        """Carry nothing any more; connections stay open."""
        self._flowing = trio.Event()

    def resume(self) -> None:
        """Carry what waits."""
        self._flowing.set()

    def reset(self) -> None:
        """Reset every connection, on both sides."""
        for pair in tuple(self._streams):
            for stream in pair:
                reset_stream(stream)

    def statistics(self) -> ProxyStatistics:
        """Return the counts so far."""
        return ProxyStatistics(self._connections, len(self._streams), self._bytes["up"], self._bytes["down"])

    async def _carry(self, client: trio.SocketStream, server: trio.SocketStream) -> None:
        pair = (client, server)
        self._connections += 1
        self._streams.append(pair)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pump, client, server, "up", name="proxy up")
                nursery.start_soon(self._pump, server, client, "down", name="proxy down")
        finally:
            self._streams.remove(pair)

    async def _pump(self, source: trio.SocketStream, sink: trio.SocketStream, way: str) -> None:
        """Carry one direction to its end; a reset at either side resets the other."""
        try:
            async with trio.open_nursery() as nursery:
                flight = _Flight()
                nursery.start_soon(self._deliver, flight, sink, way, name=f"proxy {way} delivery")
                while data := await source.receive_some(_CHUNK):
                    await flight.take_off(bytes(data), self._arrival(flight, len(data)))
                await flight.take_off(b"", self._arrival(flight, 0))
        except* _GONE:
            reset_stream(source)
            reset_stream(sink)
        await trio.lowlevel.checkpoint()

    def _arrival(self, flight: _Flight, size: int) -> float:
        """Return when the next piece arrives: after its delay, its transmission, and the piece before it."""
        faults = self.faults
        now = trio.current_time()
        sent_at = max(now, flight.sent_at)
        if faults.bytes_per_s is not None:
            sent_at += size / faults.bytes_per_s
        flight.sent_at = sent_at
        jitter_s = self._random.uniform(0, faults.jitter_s) if faults.jitter_s else 0.0
        flight.last_arrival = max(flight.last_arrival, sent_at + faults.delay_s + jitter_s)
        return flight.last_arrival

    async def _deliver(self, flight: _Flight, sink: trio.SocketStream, way: str) -> None:
        while True:
            data, arrival = await flight.land()
            await trio.sleep_until(max(arrival, trio.current_time()))
            while not self._flowing.is_set():
                await self._flowing.wait()
            if not data:
                await sink.send_eof()
                return
            cut = self.faults.cut_after_bytes
            if way == "up" and cut is not None and self._bytes["up"] + len(data) >= cut:
                await sink.send_all(data[: cut - self._bytes["up"]])
                self._bytes["up"] = cut
                raise trio.BrokenResourceError("cut")
            await sink.send_all(data)
            self._bytes[way] += len(data)


@final
class _Flight:
    """What is on its way in one direction."""

    def __init__(self) -> None:
        self.sent_at = 0.0
        self.last_arrival = 0.0
        self._pieces: deque[tuple[bytes, float]] = deque()
        self._bytes = 0
        self._changed = trio.lowlevel.ParkingLot()

    async def take_off(self, data: bytes, arrival: float) -> None:
        """Add a piece; wait while too much is on its way."""
        self._pieces.append((data, arrival))
        self._bytes += len(data)
        self._changed.unpark_all()
        while self._bytes > _IN_FLIGHT_BYTES:
            await self._changed.park()
        await trio.lowlevel.checkpoint()

    async def land(self) -> tuple[bytes, float]:
        """Wait for the next piece."""
        while not self._pieces:
            await self._changed.park()
        piece = self._pieces.popleft()
        self._bytes -= len(piece[0])
        self._changed.unpark_all()
        await trio.lowlevel.checkpoint()
        return piece


@asynccontextmanager
async def open_fault_proxy(
    host: str, port: int, faults: NetworkFaults | None = None, *, seed: int = 0
) -> AsyncIterator[FaultProxy]:
    """Carry every connection to ``host:port`` through a bad network, for as long as the block lasts.

    ``seed`` decides the jitter.  A server that cannot be reached resets the client.
    """
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    proxy = FaultProxy(listeners[0].socket.getsockname()[1], faults or NetworkFaults(), seed)

    async def handle(client: trio.SocketStream) -> None:  # noqa: ASYNC910  # as open_tcp_stream
        try:
            server = await trio.open_tcp_stream(host, port)
        except OSError:
            reset_stream(client)
        else:
            async with client, server:
                await proxy._carry(client, server)

    async with open_attendants() as nursery:
        await nursery.start(trio.serve_listeners, handle, listeners, name="fault proxy")
        yield proxy
