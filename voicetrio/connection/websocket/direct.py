"""A TCP socket with as few system calls and task switches as it takes.

``trio.SocketStream`` first tries to read and, mostly, fails; and a write gives way to every other task once,
also when the system took all of it.  With hundreds of sessions, each with a hundred small frames a second,
that is a third of what the network costs.  This module reads when the socket is ready, and writes at once.
"""

from __future__ import annotations

import os
from typing import final

import trio

__all__ = ["DirectSocket", "direct_socket"]


@final
class DirectSocket:
    """The descriptor under a ``trio.SocketStream``, which stays its owner and closes it."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._fileno = stream.socket.fileno

    async def receive_some(self, max_bytes: int) -> bytes:
        """Wait for data and return it, ``b""`` at its end; raises as the stream does."""
        while True:
            await trio.lowlevel.wait_readable(self.descriptor)
            try:
                # Asked for again: since the system's word somebody may have closed the socket, and then its
                # number may be another's.
                return os.read(self._fileno(), max_bytes)
            except BlockingIOError:
                continue  # somebody else took it, or the system was wrong
            except OSError as error:
                raise self._failure(error) from error

    def read_nowait(self, max_bytes: int) -> bytes | None:
        """Return the data that is there, ``b""`` at its end, None for none yet; raises as the stream does."""
        try:
            return os.read(self._fileno(), max_bytes)
        except BlockingIOError:
            return None
        except OSError as error:
            raise self._failure(error) from error

    def write_nowait(self, data: bytes) -> int:
        """Give the system as much of ``data`` as it takes now; return how much that was."""
        try:
            return os.write(self._fileno(), data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._failure(error) from error

    @property
    def descriptor(self) -> int:
        """The system's number of the socket; raises ClosedResourceError once it is closed."""
        descriptor = self._fileno()
        if descriptor < 0:
            raise trio.ClosedResourceError("this socket was already closed")
        return descriptor

    def _failure(self, error: OSError) -> Exception:
        if self._fileno() < 0:
            return trio.ClosedResourceError("this socket was already closed")
        return trio.BrokenResourceError(str(error))


def direct_socket(stream: trio.abc.Stream) -> DirectSocket | None:
    """Return the way past ``stream``; None if it is not plain TCP, or the system's sockets are no files."""
    return DirectSocket(stream) if isinstance(stream, trio.SocketStream) and os.name == "posix" else None
