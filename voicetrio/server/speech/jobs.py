"""One request that takes time: admitted, worked on while its client listens, and answered or cut.

1. The work runs in a nursery with a task that watches for the client's leaving: then the work is cancelled.
2. A failure before the first byte of the body is a proper error status.
3. A failure after it cuts the connection: the last chunk is never sent, so no client takes the body for
   complete.  It is logged and counted.
4. HTTP/1.0 has no chunks: a body that breaks off looks like one that ended.  Its clients get every body in
   one piece, with its length.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias, final

import trio

from voicetrio.runtime.attendants import open_attendants
from voicetrio.server.speech.errors import as_api_error, error_response
from voicetrio.server.speech.limits import Admission
from voicetrio.server.speech.metrics import SpeechMetrics

__all__ = ["BodyWriter", "Job", "send_whole", "while_connected"]

_log = logging.getLogger("voicetrio.speech")

Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]


async def send_whole(send: Callable[[Any], Awaitable[None]], message: Any) -> None:
    """Give ``send`` a message, and let no cancellation tear it.

    A message that was sent half would be followed by the next one, and no client could tell where.  The
    server bounds the wait: every write of ``serve_http`` has a deadline, and the socket is closed under it
    when the server is cancelled.
    """
    await trio.lowlevel.checkpoint_if_cancelled()
    with trio.CancelScope(shield=True):
        await send(message)


@final
class BodyWriter:
    """The response of one job: its headers go out with its first byte.

    Args:
        send: takes the messages of ASGI.
        began: when the request came, ``trio.current_time()``.
        in_one_piece: everything waits for ``finish``.
    """

    def __init__(self, send: Send, began: float, *, in_one_piece: bool = False) -> None:
        self._send = send
        self._began = began
        self._held = bytearray()
        self._in_one_piece = in_one_piece
        self.headers: dict[str, str] = {}
        """Of the response; may be changed until something is written."""
        self.first_byte_s: float | None = None
        """Seconds from the request to the first byte; None before."""
        self.is_finished = False

    async def write(self, data: bytes) -> None:
        """Send ``data``; the first time, also the status 200 and the headers.  Nothing for no data."""
        if not data:
            await trio.lowlevel.checkpoint()
            return
        if self._in_one_piece:
            await trio.lowlevel.checkpoint()
            self._held += data
            return
        if self.first_byte_s is None:
            await self._start()
        await send_whole(self._send, {"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self, data: bytes = b"") -> None:
        """Send the last of the body."""
        if self._held:
            data = bytes(self._held) + data
            self._held.clear()
        if self.first_byte_s is None:
            self.headers["Content-Length"] = str(len(data))
            await self._start()
        # Before the send: the server takes the end of the response for the client's leaving.
        self.is_finished = True
        await send_whole(self._send, {"type": "http.response.body", "body": data, "more_body": False})

    async def _start(self) -> None:
        self.first_byte_s = trio.current_time() - self._began
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()
        ]
        await send_whole(self._send, {"type": "http.response.start", "status": 200, "headers": headers})


@final
class Job:
    """A response that is an ASGI application; Starlette calls it.

    Args:
        work: writes the body; what it does not finish is finished when it returns.
        route: for metrics.
        client: for limits.
        param: the field that errors of the text are told of.
    """

    status_code: Final = 200

    def __init__(
        self,
        work: Callable[[BodyWriter], Awaitable[None]],
        *,
        admission: Admission,
        metrics: SpeechMetrics,
        route: str,
        client: str,
        param: str = "input",
    ) -> None:
        self._work = work
        self._admission = admission
        self._metrics = metrics
        self._route = route
        self._client = client
        self._param = param

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Do the work and answer."""
        await trio.lowlevel.checkpoint()
        writer = BodyWriter(send, trio.current_time(), in_one_piece=scope.get("http_version") == "1.0")
        failure: Exception | None = None
        left = False
        try:
            async with while_connected(receive) as connection:
                async with self._admission.slot(self._client):
                    await self._work(writer)
                    if not writer.is_finished:
                        await writer.finish()
            left = connection.cancelled_caught
        except Exception as error:
            failure = error
        if writer.first_byte_s is not None:
            self._metrics.first_byte_s.labels(self._route).observe(writer.first_byte_s)
        if left and not writer.is_finished:
            self._metrics.cut.labels(self._route, "client left").inc()
            self._metrics.requests.labels(self._route, "499").inc()
        elif failure is None:
            self._metrics.requests.labels(self._route, "200").inc()
        elif writer.first_byte_s is not None:
            _log.error("%s failed after its first byte: the connection is cut", self._route, exc_info=failure)
            self._metrics.cut.labels(self._route, "failed").inc()
            self._metrics.requests.labels(self._route, "200").inc()
        else:
            told = as_api_error(failure, param=self._param)
            self._metrics.requests.labels(self._route, str(told.status)).inc()
            await error_response(told)(scope, receive, send)


@asynccontextmanager
async def while_connected(receive: Receive) -> AsyncIterator[trio.CancelScope]:
    """Cancel the block when the client leaves; its scope then has ``cancelled_caught``.

    The request's body must have been read.
    """

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        work.cancel("the client left")

    async with open_attendants() as nursery:
        nursery.start_soon(watch, name="watch the client")
        with trio.CancelScope() as work:  # noqa: ASYNC100 - the block has them
            yield work
