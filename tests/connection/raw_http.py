"""An HTTP server that says what a test tells it to, byte by byte, and counts its sockets."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import trio

CERTIFICATE = Path(__file__).parent / "tls" / "certificate.pem"
"""For 127.0.0.1 and localhost, signed by itself."""
KEY = CERTIFICATE.with_name("key.pem")
Script = Callable[[trio.abc.Stream, str], Awaitable[None]]
"""What is said to one request, given its head."""


@attrs.define
class RawHttp:
    """The server."""

    port: int
    requests: list[str] = attrs.field(factory=list)
    """Heads of the requests, in the order they came."""
    times: list[float] = attrs.field(factory=list)
    open_sockets: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/"

    _closed: trio.Event = attrs.field(factory=trio.Event)

    async def wait_no_sockets(self) -> None:
        with trio.fail_after(5):
            while self.open_sockets:
                self._closed = trio.Event()
                await self._closed.wait()


def answer(
    status: int, body: bytes = b"", *, kind: str = "application/json", more: tuple[str, ...] = ()
) -> Script:
    """Return what answers with a whole response."""
    head = [f"HTTP/1.1 {status} Status", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *more]

    async def script(stream: trio.abc.Stream, _request: str) -> None:
        await stream.send_all("\r\n".join([*head, "", ""]).encode() + body)

    return script


def chunks(*parts: bytes, then: str = "end", kind: str = "text/event-stream") -> Script:
    """Return what answers in chunks, and then ends, stalls or drops the connection."""

    async def script(stream: trio.abc.Stream, _request: str) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        await stream.send_all(head.encode())
        for part in parts:
            await stream.send_all(b"%x\r\n%b\r\n" % (len(part), part))
        if then == "end":
            await stream.send_all(b"0\r\n\r\n")
        elif then == "stall":
            await stream.receive_some(1)
        elif then == "drop":
            await stream.aclose()

    return script


@asynccontextmanager
async def serve_http(*scripts: Script, tls: bool = False) -> AsyncIterator[RawHttp]:
    """Serve one script a request, the last one again and again; with ``tls``, by a certificate of our own."""
    server = RawHttp(0)
    waiting = list(scripts)

    async def handle(stream: trio.abc.Stream) -> None:
        server.open_sockets += 1
        if tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(CERTIFICATE, KEY)
            stream = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        try:
            while True:
                head = b""
                while b"\r\n\r\n" not in head:
                    data = await stream.receive_some(65536)
                    if not data:
                        return
                    head += data
                server.requests.append(head.decode())
                server.times.append(trio.current_time())
                script = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                await script(stream, head.decode())
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            server.open_sockets -= 1
            server._closed.set()
            await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        server.port = listeners[0].socket.getsockname()[1]
        yield server
        nursery.cancel_scope.cancel()
