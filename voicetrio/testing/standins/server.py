"""What the stand-ins of WebSocket vendors share: the server, its connections, and how faults strike.

A stand-in listens on a loopback socket, for the vendor's own SDK, and gives connections in memory
(``Standin.dial``), which follow a virtual clock exactly.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ClassVar, TypeVar, final

import trio
from trio.testing import memory_stream_pair
from websockets.frames import Frame, Opcode

from voicetrio.connection.dialling import stream_dialler
from voicetrio.connection.websocket import (
    HandshakeFailed,
    MessageSocket,
    Refusal,
    SocketClosed,
    SocketLimits,
    StreamSocket,
    UpgradeRequest,
    accept_websocket,
    open_stream_socket,
)
from voicetrio.connection.websocket.socket import Message
from voicetrio.testing.standins.fault import (
    CloseWith,
    Drop,
    Fail,
    Fault,
    Garble,
    IgnoreUpgrade,
    Refuse,
    Stall,
    StopReading,
    Tear,
)

__all__ = ["Standin", "StandinConnection", "open_standin"]

LIMITS = SocketLimits(max_message_bytes=1 << 22, max_inbox_bytes=1 << 26)
S = TypeVar("S", bound="Standin")
_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)


class _Struck(Exception):
    """A fault ended the connection."""


@final
class StandinConnection:
    """One client's connection, as its stand-in sees it; a test may look at what was said."""

    def __init__(
        self, number: int, request: UpgradeRequest, socket: StreamSocket, stream: trio.abc.Stream
    ) -> None:
        self.number = number
        """0 for the first one."""
        self.request = request
        """What the client asked for."""
        self.opened_at = trio.current_time()
        self.closed_at: float | None = None
        self.sent: list[Message] = []
        self.received: list[Message] = []
        self.close_code: int | None = None
        """What the client closed it with, if it did."""
        self.fault: Fault | None = None
        self.fail: Callable[[str], Any] | None = None
        self._socket = socket
        self._stream = stream
        self._is_stalled = False
        self._is_deaf = False

    @property
    def is_open(self) -> bool:
        """True until either side ended it."""
        return self.closed_at is None and self._socket.is_open

    @property
    def texts(self) -> list[Any]:
        """What the client said as JSON, in order; texts that are no JSON as they are."""
        return [_parse(message) for message in self.received if isinstance(message, str)]

    @property
    def audio(self) -> bytes:
        """What the client said in binary messages."""
        return b"".join(message for message in self.received if isinstance(message, bytes))

    async def send(self, message: Message | Mapping[str, Any]) -> None:
        """Send a message, or let the fault strike.  What the client does not hear any more is dropped."""
        fault = self.fault
        if fault is not None and getattr(fault, "after_s", 0) is None and len(self.sent) == fault.after:  # type: ignore[union-attr]
            await self.strike(fault)
            if not isinstance(fault, Garble):
                return
        await self._write(json.dumps(message) if isinstance(message, Mapping) else message)

    async def _write(self, message: Message) -> None:
        if self._is_stalled:
            await trio.lowlevel.checkpoint()
            return
        self.sent.append(message)
        try:
            await self._socket.send(message)
        except _GONE:
            await trio.lowlevel.checkpoint()

    async def receive(self, idle_s: float = float("inf")) -> Message | None:
        """Return the client's next message; None when ``idle_s`` pass without one.

        Raises SocketClosed at the end.
        """
        while self._is_deaf:
            await trio.sleep_forever()
        with trio.move_on_after(idle_s):
            message = await self._socket.receive()
            self.received.append(message)
            return message
        return None

    async def close(self, code: int, reason: str = "") -> None:
        """Close it, and end its handler."""
        # Awaiting the answer reads what is still coming: with that unread, the system would drop the socket,
        # and what was sent last would never be heard.
        await self._socket.close(code, reason)
        raise _Struck

    async def strike(self, fault: Fault) -> None:
        """Do what ``fault`` says, now."""
        match fault:
            case CloseWith():
                await self.close(fault.code, fault.reason)
            case Drop():
                self._socket.abort()
                raise _Struck
            case Tear():
                await self._tear()
            case Stall():
                self._is_stalled = True
            case StopReading():
                self._is_stalled = self._is_deaf = True
            case Garble():
                await self._write(fault.message)
            case Fail():
                assert self.fail is not None
                self.fault = None
                await self.fail(fault.error)
        await trio.lowlevel.checkpoint()

    async def _tear(self) -> None:
        frame = Frame(Opcode.TEXT, b'{"type":"torn","data":"half of it"}').serialize(mask=False)
        try:
            await self._stream.send_all(frame[: len(frame) // 2])
        except (*_GONE, trio.BusyResourceError):
            await trio.lowlevel.checkpoint()
        self._socket.abort()
        raise _Struck


class Standin(ABC):
    """A vendor's loopback server; made by ``open_standin`` only.

    Args:
        key: the only key that it accepts.
        faults: what goes wrong: on the first connection the first of them, and so on; nothing goes wrong on
            those after the last.
    """

    name: ClassVar[str]
    errors: ClassVar[Mapping[str, Any]] = {}
    """The vendor's own errors by the name that ``Fail`` takes."""

    def __init__(self, *, key: str = "standin-key", faults: Iterable[Fault | None] = ()) -> None:
        self.key = key
        self.faults: deque[Fault | None] = deque(faults)
        self.connections: list[StandinConnection] = []
        """All of them, in the order of their opening."""
        self.refused: list[UpgradeRequest] = []
        """What was asked for and refused."""
        self.url = ""
        """``ws://127.0.0.1:…``, where it listens."""
        self._nursery: trio.Nursery | None = None

    @property
    def last(self) -> StandinConnection:
        """The connection that was opened last."""
        return self.connections[-1]

    # --- what a vendor is ---

    @abstractmethod
    def check(self, request: UpgradeRequest) -> Refusal | None:
        """Return why ``request`` is refused; None accepts it."""

    @abstractmethod
    async def talk(self, connection: StandinConnection) -> None:
        """Serve one connection until it ends; SocketClosed may pass."""

    @abstractmethod
    async def fail(self, connection: StandinConnection, error: str) -> None:
        """Send the vendor's own error of that name, and close if the vendor would."""

    # --- the server ---

    def dial(
        self,
        url: str,
        *,
        headers: Sequence[tuple[str, str]] | Callable[[], Sequence[tuple[str, str]]] = (),
        **_unused: object,
    ) -> Callable[[SocketLimits], AbstractAsyncContextManager[MessageSocket]]:
        """Stand in for ``websocket_dialler``: the same arguments, and a connection in memory."""

        async def open_stream() -> trio.abc.Stream:
            await trio.lowlevel.checkpoint()
            if self._nursery is None:
                raise OSError("the stand-in does not run")
            ours, theirs = memory_stream_pair()
            self._nursery.start_soon(self._serve, ours)
            return theirs

        return stream_dialler(url, open_stream, headers=headers)

    def _refuse(self, request: UpgradeRequest, fault: Fault | None) -> Refusal | None:
        if isinstance(fault, Refuse):
            refusal: Refusal | None = Refusal(fault.status, fault.text, fault.headers)
        else:
            refusal = self.check(request)
        if refusal is not None:
            self.refused.append(request)
        return refusal

    async def _serve(self, stream: trio.abc.Stream) -> None:
        await trio.lowlevel.checkpoint()
        fault = self.faults.popleft() if self.faults else None
        try:
            async with stream:
                if isinstance(fault, IgnoreUpgrade):
                    await trio.sleep_forever()
                driver, request = await accept_websocket(
                    stream, LIMITS, remote="client", refuse=lambda request: self._refuse(request, fault)
                )
                async with open_stream_socket(stream, driver, LIMITS, remote="client") as socket:
                    connection = StandinConnection(len(self.connections), request, socket, stream)
                    self.connections.append(connection)
                    await self._talk(connection, fault)
        except (HandshakeFailed, *_GONE):
            await trio.lowlevel.checkpoint()

    async def _talk(self, connection: StandinConnection, fault: Fault | None) -> None:
        await trio.lowlevel.checkpoint()

        async def fail(error: str) -> None:
            await self.fail(connection, error)

        async def strike_later(after_s: float) -> None:
            assert fault is not None
            await trio.sleep(after_s)
            await connection.strike(fault)

        connection.fault = fault
        connection.fail = fail
        after_s: float | None = getattr(fault, "after_s", None)
        try:
            async with trio.open_nursery() as nursery:
                if after_s is not None:
                    nursery.start_soon(strike_later, after_s)
                await self.talk(connection)
                nursery.cancel_scope.cancel()
        except* _Struck:
            pass
        except* SocketClosed as closed:
            first = closed.exceptions[0]
            connection.close_code = first.code if isinstance(first, SocketClosed) else None
        finally:
            connection.closed_at = trio.current_time()


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@asynccontextmanager
async def open_standin(standin: S, *, listen: bool = False) -> AsyncIterator[S]:
    """Run ``standin`` for as long as the block lasts; with ``listen`` also on a loopback socket."""
    async with trio.open_nursery() as nursery:
        standin._nursery = nursery
        standin.url = "ws://127.0.0.1:9"
        if listen:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            standin.url = f"ws://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
            await nursery.start(trio.serve_listeners, standin._serve, listeners)
        try:
            yield standin
        finally:
            standin._nursery = None
            nursery.cancel_scope.cancel()
