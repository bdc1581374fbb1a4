"""One task's hold on one codec.

The codec libraries release the GIL and have no lock: two calls at once, or a close under a call, end the
process.  So a codec belongs to the task that opened it.  Its calls run one after the other, the heavy ones in
a worker thread that is never abandoned, and cancellation is taken between calls.  Whatever else is tried
raises CodecMisuse before the library is reached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar, final

import trio

from voicetrio.audio.codecs import Decoder, Encoder
from voicetrio.errors import CodecMisuse
from voicetrio.runtime.deadlines import cleanup
from voicetrio.runtime.workers import usable_cpus

__all__ = ["CodecOwner", "codec_limiter", "run_codec_call"]

T = TypeVar("T")

CLOSE_S: Final = 1.0

# A RunVar is a name, not a value: each run has a limiter of its own behind it.
_limiter: Final[trio.lowlevel.RunVar[trio.CapacityLimiter]] = trio.lowlevel.RunVar("voicetrio_codec_limiter")


def codec_limiter() -> trio.CapacityLimiter:
    """Return the run's default limiter of codec calls, sized to the cores that this process may use.

    More threads than cores make every call slower, and the event loop with them.
    """
    try:
        return _limiter.get()
    except LookupError:
        limiter = trio.CapacityLimiter(usable_cpus())
        _limiter.set(limiter)
        return limiter


async def run_codec_call(limiter: trio.CapacityLimiter | None, call: Callable[..., T], *args: Any) -> T:
    """Run one call into a codec: in a worker thread under ``limiter``, or right here if that is None.

    Cancelling takes effect before the call or after it, never in the middle of it.
    """
    if limiter is None:
        await trio.lowlevel.checkpoint()
        return call(*args)
    return await trio.to_thread.run_sync(call, *args, limiter=limiter, abandon_on_cancel=False)


@final
class CodecOwner:
    """The task that owns a codec, and what has become of the codec.

    Attributes:
        calls: how many calls went into the codec.
        is_closed: True once its memory is freed.
    """

    def __init__(self, codec: Encoder | Decoder, what: str, limiter: trio.CapacityLimiter | None) -> None:
        self._codec = codec
        self._what = what
        self._limiter = limiter
        self._task = trio.lowlevel.current_task()
        self._spent: str | None = None
        self._in_call: trio.Event | None = None
        self._is_closing = False
        self.is_closed = False
        self.calls = 0

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """Be the one call of the owner; an exception inside, a cancellation too, spends the codec."""
        task = trio.lowlevel.current_task()
        if task is not self._task:
            raise CodecMisuse(
                self._what,
                f"belongs to the task {self._task.name}, which opened it: "
                f"{name}() came from {task.name}; open one for each stream",
            )
        if (ended := self._ended()) is not None:
            raise CodecMisuse(self._what, f"{ended}: {name}() came too late")
        self._in_call = trio.Event()
        try:
            yield
        except trio.Cancelled:
            # How much of the samples went in is not known, so nothing can follow them.
            self._spent = "was cancelled within a call"
            raise
        except BaseException:
            self._spent = "has failed"
            raise
        finally:
            self._in_call.set()
            self._in_call = None
            if self._is_closing:
                self._close_codec()

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Run ``function`` of the codec, inside ``call``."""
        if self._is_closing:
            raise CodecMisuse(self._what, "was closed by another task within a call")
        self.calls += 1
        return await run_codec_call(self._limiter, function, *args)

    def _ended(self) -> str | None:
        return "is closed" if self._is_closing else self._spent

    def spend(self) -> None:
        """Let no call follow: the stream is finished."""
        self._spent = "is finished"

    async def aclose(self) -> None:
        """Close the codec, after the call in flight; from any task, any number of times, shielded."""
        self._is_closing = True
        with cleanup(CLOSE_S):
            await trio.lowlevel.checkpoint()
            if self._in_call is not None:
                await self._in_call.wait()
        # If the time was up, the call in flight closes the codec on its way out: under a call it would
        # be the crash that all this is about.
        if self._in_call is None:
            self._close_codec()

    def _close_codec(self) -> None:
        # Here and not in a thread: no call is in flight, so it is a matter of freeing memory (under 1 ms).
        self._codec.close()
        self.is_closed = True
