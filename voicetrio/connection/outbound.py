"""What waits to be written on one stream: bounded, and each kind of data with its own policy.

Text waits for room or is refused: a message that is left out changes what the others mean.  Audio is dropped
from its oldest end: what is late is of no use.
"""

from __future__ import annotations

from collections import deque
from typing import final

import trio

from voicetrio.connection.websocket.socket import Message

__all__ = ["Outbound"]


@final
class Outbound:
    """A queue with one reader, the stream's writer."""

    def __init__(self, *, max_items: int, max_s: float) -> None:
        self._max_items = max_items
        self._max_s = max_s
        self._items: deque[tuple[Message, float]] = deque()
        self._queued_s = 0.0
        self._closed = False
        self._filled = trio.Event()
        self._room = trio.Event()
        self._is_writing = False
        self._idle = trio.Event()
        self.dropped_s = 0.0
        """Seconds of audio that were dropped."""

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_busy(self) -> bool:
        """True while something waits, or is being written."""
        return bool(self._items) or self._is_writing

    # --- putting ---

    def put_nowait(self, message: Message) -> None:
        """Queue ``message``.

        Raises trio.WouldBlock when there is no room, trio.BrokenResourceError when the stream is over.
        """
        self._check()
        if len(self._items) >= self._max_items:
            raise trio.WouldBlock
        self._append(message, 0.0)

    async def put(self, message: Message) -> None:
        """Queue ``message`` as soon as there is room.  Cancelled, it was not queued."""
        await trio.lowlevel.checkpoint()
        while not self._closed and len(self._items) >= self._max_items:
            if self._room.is_set():
                self._room = trio.Event()
            await self._room.wait()
        self.put_nowait(message)

    def put_audio(self, message: Message, seconds: float) -> None:
        """Queue audio, and drop the oldest that is beyond the bound.

        Raises trio.BrokenResourceError when the stream is over.
        """
        self._check()
        self._append(message, seconds)
        while self._queued_s > self._max_s + 1e-9 or len(self._items) > self._max_items:
            if not self._drop_oldest_audio():
                break

    def _append(self, message: Message, seconds: float) -> None:
        self._items.append((message, seconds))
        self._queued_s += seconds
        self._filled.set()

    def _drop_oldest_audio(self) -> bool:
        for index, (_message, seconds) in enumerate(self._items):
            if seconds:
                del self._items[index]
                self._queued_s -= seconds
                self.dropped_s += seconds
                return True
        return False

    def _check(self) -> None:
        if self._closed:
            raise trio.BrokenResourceError("the stream is over")

    # --- the writer's end ---

    async def get(self) -> Message:
        """Return the next message; what it returned before has been written.  Cancelling loses nothing."""
        self._is_writing = False
        if not self._items:
            self._idle.set()
        await trio.lowlevel.checkpoint()
        while not self._items:
            self._filled = trio.Event()
            await self._filled.wait()
        message, seconds = self._items.popleft()
        self._queued_s = max(0.0, self._queued_s - seconds)
        self._is_writing = True
        self._room.set()
        return message

    async def wait_written(self) -> None:
        """Wait until everything is written, or the stream is over."""
        await trio.lowlevel.checkpoint()
        while self.is_busy and not self._closed:
            if self._idle.is_set():
                self._idle = trio.Event()
            await self._idle.wait()

    def close(self) -> None:
        """Drop what waits; nothing is taken any more."""
        self._closed = True
        self._items.clear()
        self._queued_s = 0.0
        self._is_writing = False
        self._room.set()
        self._idle.set()
