"""How long a socket lives: as long as its block, and it says goodbye when that is left."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from voicetrio.connection.websocket.socket import MessageSocket
from voicetrio.runtime.attendants import open_attendants

__all__ = ["open_for_the_block"]


@asynccontextmanager
async def open_for_the_block(
    socket: MessageSocket, run: Callable[[], Awaitable[None]]
) -> AsyncIterator[None]:
    """Let ``run`` work for ``socket`` for as long as the block lasts; it returns once the socket is dropped.

    Left normally, the block says goodbye (code 1000) and waits for the answer; left by an exception, it says
    1001 without waiting, and the exception passes through as it is.  A block that is cancelled leaves the
    rest to ``run``, which is cancelled with it.
    """
    async with open_attendants(wait=True) as nursery:
        nursery.start_soon(run, name=f"websocket {socket.remote}")
        failure: Exception | None = None
        try:
            yield
        except Exception as error:
            failure = error
        try:
            await socket.close(1000 if failure is None else 1001, wait_answer=failure is None)
            socket.abort()  # one that was over needed no goodbye, and lets go of the socket now
        finally:
            try:
                if failure is not None:
                    raise failure  # rather than that its goodbye was cancelled
            finally:
                del failure  # no cycle
