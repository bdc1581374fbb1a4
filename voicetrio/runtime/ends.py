"""The ends that stages are given, beside those of plain links.

* A *fused* end runs transforms in the task of the stage that holds it.
* A *shared* outlet lets several stages send into one outlet, which none of them can end.
* A *foreign* outlet is a channel that is not ours, fitted with what a runner needs.

The ``link`` of an end is what LinkStopped and LinkBroken name: a fused or shared end has the link of the end
that it stands before, so that a runner knows its own stage's ends whatever they are wrapped in.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any, TypeAlias, final

import trio
from trio.lowlevel import checkpoint

from voicetrio.errors import LinkStopped
from voicetrio.runtime.links import LinkSender
from voicetrio.runtime.transforms import Chain

__all__ = [
    "FusedInlet",
    "FusedOutlet",
    "Outlet",
    "OwnOutlet",
    "SharedOutlet",
    "adapt_outlet",
    "close_now",
    "link_of",
]


class OwnOutlet(trio.abc.SendChannel[Any]):
    """An outlet that can end in either way: ``aclose`` ends the stream, ``abort`` breaks it."""

    __slots__ = ("__weakref__",)

    @property
    @abstractmethod
    def link(self) -> object:
        """What LinkStopped names when nobody reads any more."""

    @abstractmethod
    def abort(self, cause: BaseException) -> None:
        """Break the stream.  Never raises."""

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close; after an exception, abort: what was sent is not complete."""
        if exc is not None:
            self.abort(exc)
        await self.aclose()  # noqa: ASYNC102  # as trio's own; after an abort it only checkpoints


Outlet: TypeAlias = LinkSender[Any] | OwnOutlet
"""What a runner can give to a stage."""


def link_of(end: object) -> object:
    """Return what errors name when they speak of ``end``."""
    return getattr(end, "link", end)


def adapt_outlet(outlet: trio.abc.SendChannel[Any]) -> Outlet:
    """Return ``outlet``, or something in front of it that a runner can end."""
    return outlet if isinstance(outlet, LinkSender | OwnOutlet) else _ForeignOutlet(outlet)


def close_now(end: trio.abc.AsyncResource) -> bool:
    """Close ``end`` if that needs no wait, as with links and trio's memory channels; else return False."""
    close = getattr(end, "close", None)
    if close is None or inspect.iscoroutinefunction(close):
        return False
    close()
    return True


@final
class FusedOutlet(OwnOutlet):
    """Transforms before an outlet, run by whoever sends."""

    __slots__ = ("_chain", "_closed", "_others", "_outlet", "_spreading")

    def __init__(self, chain: Chain, outlet: Outlet) -> None:
        self._chain = chain
        self._outlet = outlet
        self._closed = False
        # While several results of one frame are on their way, other tasks that send must wait, or theirs
        # would come in between.
        self._spreading = False
        self._others = trio.lowlevel.ParkingLot()

    @property
    def link(self) -> object:
        """The link behind the transforms."""
        return self._outlet.link

    @property
    def failure(self) -> BaseException | None:
        """What a transform raised, here or further out, if one did."""
        return self._chain.failure or getattr(self._outlet, "failure", None)

    async def send(self, value: Any) -> None:  # noqa: ASYNC910  # every path checkpoints
        """Send what the transforms make of ``value``.

        Cancelling loses what was not sent yet of it.  Raises what a transform raises, and raises it again
        from then on.
        """
        while self._spreading:
            await self._others.park()
        if self._closed:
            raise trio.ClosedResourceError
        if self._chain.failure is not None:
            raise self._chain.failure
        one, result = self._chain.apply(value)
        if one:
            await self._outlet.send(result)
        elif result:
            await self._spread(result)
        else:
            await checkpoint()

    async def _spread(self, frames: Sequence[Any]) -> None:  # noqa: ASYNC910  # there is at least one
        self._spreading = True
        try:
            for frame in frames:
                await self._outlet.send(frame)
        finally:
            self._spreading = False
            self._others.unpark_all()

    async def aclose(self) -> None:
        """Send what the transforms hold, then close.  Where that fails, or is cancelled, abort."""
        if not self._closed:
            self._closed = True
            try:
                if self._chain.failure is not None:
                    raise self._chain.failure  # also when the stage hid it
                for frame in self._chain.flush():
                    await self._outlet.send(frame)
            except BaseException as exc:
                self._outlet.abort(exc)
                raise
        await self._outlet.aclose()

    def abort(self, cause: BaseException) -> None:
        """Break the stream; what the transforms hold is lost."""
        self._closed = True
        self._outlet.abort(cause)


@final
class FusedInlet(trio.abc.ReceiveChannel[Any]):
    """Transforms behind an inlet, run by whoever receives."""

    __slots__ = ("__weakref__", "_busy", "_chain", "_closed", "_ended", "_inlet", "_others", "_ready")

    def __init__(self, chain: Chain, inlet: trio.abc.ReceiveChannel[Any]) -> None:
        self._chain = chain
        self._inlet = inlet
        self._ready: deque[Any] = deque()
        self._ended = False
        self._closed = False
        # One task at a time, so that the transforms see the frames in order, and the end last.
        self._busy = False
        self._others = trio.lowlevel.ParkingLot()

    @property
    def link(self) -> object:
        """The link before the transforms."""
        return link_of(self._inlet)

    @property
    def failure(self) -> BaseException | None:
        """What a transform raised, here or further out, if one did."""
        return self._chain.failure or getattr(self._inlet, "failure", None)

    async def receive(self) -> Any:
        """Return the next result of the transforms.  Cancelling loses nothing.

        Raises what a transform raises, and raises it again from then on; and what the inlet raises.
        """
        while self._busy:
            await self._others.park()
        self._busy = True
        try:
            return await self._next()
        finally:
            self._busy = False
            self._others.unpark()

    async def _next(self) -> Any:
        while not self._ready:
            if self._closed:
                raise trio.ClosedResourceError
            if self._chain.failure is not None:
                raise self._chain.failure
            try:
                frame = await self._inlet.receive()
            except trio.EndOfChannel:
                if self._ended:
                    raise
                self._ended = True
                self._ready.extend(self._chain.flush())
                continue
            one, result = self._chain.apply(frame)
            if one:
                return result  # noqa: ASYNC910  # the receive above was the checkpoint
            self._ready.extend(result)
        await checkpoint()  # before it is taken: cancelling loses nothing
        if self._closed:
            raise trio.ClosedResourceError
        return self._ready.popleft()

    def close(self) -> None:
        """Stop receiving; nothing is flushed."""
        self._closed = True
        self._ready.clear()
        close_now(self._inlet)

    async def aclose(self) -> None:
        """Stop receiving, then checkpoint."""
        self.close()
        await self._inlet.aclose()


class SharedOutlet(OwnOutlet):
    """One of several ways into one outlet, whose end is decided by somebody else."""

    __slots__ = ("_closed", "_outlet", "failure", "sent")

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._closed = False
        self.sent = 0
        """Frames that went through."""
        self.failure: BaseException | None = None
        """What the outlet itself raised, if it did: not the fault of the stage that sends."""

    @property
    def link(self) -> object:
        """The link of the outlet that is shared."""
        return self._outlet.link

    async def send(self, value: Any) -> None:
        """Send into the outlet that is shared."""
        if self._closed:
            raise trio.ClosedResourceError
        try:
            await self._outlet.send(value)
        except Exception as exc:
            self.failure = exc
            raise
        self.sent += 1

    def abort(self, cause: BaseException) -> None:
        """Take nothing more; whoever shares the outlet learns of ``cause`` elsewhere."""
        self._closed = True

    async def aclose(self) -> None:
        """Take nothing more; the outlet stays open for the others."""
        self._closed = True
        await checkpoint()


@final
class _ForeignOutlet(OwnOutlet):
    """A channel that is not ours.

    A trio memory channel says with BrokenResourceError that its receiver is closed; that becomes
    LinkStopped.  From other channels it may mean anything, and stays what it is.  A channel that cannot be
    aborted is closed instead: its reader cannot tell a failure from the end.
    """

    __slots__ = ("_outlet", "_stop")

    def __init__(self, outlet: trio.abc.SendChannel[Any]) -> None:
        self._outlet = outlet
        memory = isinstance(outlet, trio.MemorySendChannel)
        self._stop: type[Exception] = trio.BrokenResourceError if memory else LinkStopped

    @property
    def link(self) -> object:
        """The channel itself."""
        return self._outlet

    async def send(self, value: Any) -> None:
        """Send into the channel."""
        try:
            await self._outlet.send(value)
        except self._stop as exc:
            raise LinkStopped("nobody receives from the outlet any more", link=self._outlet) from exc

    def abort(self, cause: BaseException) -> None:
        """Close the channel, if that needs no wait; the runner closes it otherwise."""
        close_now(self._outlet)

    async def aclose(self) -> None:
        """Close the channel."""
        await self._outlet.aclose()
