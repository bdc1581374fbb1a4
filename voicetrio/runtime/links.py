"""Links: the memory channels between stages.

A link has trio's interfaces and trio's semantics: every ``send`` and ``receive`` is a checkpoint, a
cancelled receive loses no item, a cancelled send did not happen, waiting tasks are served in order.
So the ends of ``trio.open_memory_channel`` fit wherever an end of a link fits.  Beyond that:

* A link is bounded in items and, if asked, in seconds of media, with a policy for what does not fit.
* It ends in one of two ways.  ``close()`` is the end of the stream.  ``abort(cause)`` says that the
  stream is not complete: the receiver gets what was buffered, then LinkBroken, for ever.  Leaving
  ``with sender:`` by an exception is an abort too.
* A sender whose receivers are all closed gets LinkStopped, which names the link.
"""

from __future__ import annotations

import contextvars
import math
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar, final

import trio
from trio.lowlevel import (
    Abort,
    cancel_shielded_checkpoint,
    checkpoint,
    checkpoint_if_cancelled,
    current_task,
    enable_ki_protection,
    reschedule,
    wait_task_rescheduled,
)

from voicetrio.errors import ConfigError
from voicetrio.runtime.link_state import NOTHING, Link, LinkPolicy, LinkState, LinkStatistics
from voicetrio.runtime.queues import note_queue

__all__ = ["Link", "LinkPolicy", "LinkReceiver", "LinkSender", "LinkState", "LinkStatistics", "open_link"]

T = TypeVar("T")
SendT = TypeVar("SendT", contravariant=True)
ReceiveT = TypeVar("ReceiveT", covariant=True)


@final
class _Given:
    """An item for a task that waits, in place of ``outcome.Value``, which is a sixteenth of a hop dearer."""

    __slots__ = ("_item",)

    def __init__(self, item: object) -> None:
        self._item = item

    def unwrap(self) -> object:
        """Return the item."""
        return self._item


@final
class LinkSender(trio.abc.SendChannel[SendT]):
    """The end that sends.  Made by ``open_link`` or ``clone``."""

    __slots__ = ("__weakref__", "_closed", "link")

    def __init__(self, link: Link[Any]) -> None:
        self.link = link
        """What it shares with the receiver; ``LinkStopped.link`` is the same object."""
        self._closed = False
        link.senders += 1

    def __repr__(self) -> str:
        return f"<sender of {self.link!r}>"

    @enable_ki_protection
    async def send(self, value: SendT) -> None:
        """Send one item, and wait for room if the policy is ``block``.

        A cancelled send did not happen.

        Raises:
            LinkStopped: every receiver is closed.
            LinkBroken: another clone of this sender aborted.
            LinkOverflow: there is no room and the policy is ``fail``.
            trio.ClosedResourceError: this end was closed, before or meanwhile.
        """
        await checkpoint_if_cancelled()
        if self._closed:
            raise trio.ClosedResourceError
        link = self.link
        if link.receiving:  # so the buffer is empty, and neither end is over
            receiver, _ = link.receiving.popitem(last=False)
            link._sent += 1
            reschedule(receiver, _Given(value))  # type: ignore[arg-type]  # it has what trio uses of an outcome
            await cancel_shielded_checkpoint()
            return
        if link.put(value):
            await cancel_shielded_checkpoint()
            return
        task = current_task()
        link.sending[task] = (self, value)

        def give_up(_: object) -> Abort:
            del link.sending[task]
            return Abort.SUCCEEDED

        await wait_task_rescheduled(give_up)

    def send_nowait(self, value: SendT) -> None:
        """Send one item if that needs no wait; otherwise raise trio.WouldBlock.  Raises as ``send`` does."""
        if self._closed:
            raise trio.ClosedResourceError
        if not self.link.put(value):
            raise trio.WouldBlock

    @enable_ki_protection
    def clone(self) -> LinkSender[SendT]:
        """Return another sender of the same link; the stream ends when every clone is closed."""
        if self._closed:
            raise trio.ClosedResourceError
        return LinkSender(self.link)

    @enable_ki_protection
    def close(self) -> None:
        """End the stream, as far as this sender goes.  Does nothing the second time, or after an abort."""
        if not self._closed:
            self._closed = True
            self.link.sender_closed(self)

    @enable_ki_protection
    def abort(self, cause: BaseException | None = None) -> None:
        """Break the stream: receivers get what is buffered, then LinkBroken.

        One clone's abort breaks the link for all.  Does nothing once this sender is closed.
        """
        if not self._closed:
            self.link.abort(cause)
            self.close()

    async def aclose(self) -> None:
        """Close, then checkpoint."""
        self.close()
        await checkpoint()

    def statistics(self) -> LinkStatistics:
        """Return the counts of the link."""
        return self.link.statistics()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave(exc)

    async def __aexit__(  # noqa: ASYNC910  # after an exception there must be no checkpoint, see below
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave(exc)
        if exc is None:  # otherwise the checkpoint could replace the exception by Cancelled
            await checkpoint()  # noqa: ASYNC102  # the end is closed already

    def _leave(self, exc: BaseException | None) -> None:
        if exc is None:
            self.close()
        else:
            self.abort(exc)


@final
class LinkReceiver(trio.abc.ReceiveChannel[ReceiveT]):
    """The end that receives.  Made by ``open_link`` or ``clone``."""

    __slots__ = ("__weakref__", "_closed", "link")

    def __init__(self, link: Link[Any]) -> None:
        self.link = link
        """What it shares with the sender; ``LinkBroken.link`` is the same object."""
        self._closed = False
        link.receivers += 1

    def __repr__(self) -> str:
        return f"<receiver of {self.link!r}>"

    @enable_ki_protection
    async def receive(self) -> ReceiveT:
        """Wait for the next item.  Cancelling loses nothing.

        Raises:
            trio.EndOfChannel: every sender is closed and everything was received.
            LinkBroken: a sender aborted, and what it had sent before was received.
            trio.ClosedResourceError: this end was closed, before or meanwhile.
        """
        if not self._closed and self.link.must_wait:
            return await wait_task_rescheduled(self._wait_in_line())  # type: ignore[no-any-return]
        await checkpoint_if_cancelled()
        item = self.receive_nowait()
        await cancel_shielded_checkpoint()
        return item

    @enable_ki_protection
    async def __anext__(self) -> ReceiveT:
        """Return the next item; the end of the stream ends the loop.  Otherwise as ``receive``.

        It calls neither ``receive`` nor ``Link.must_wait``: a loop over its inlet is what most stages are.
        One coroutine less is a twentieth of what a stage costs a frame, one property less a fiftieth.
        """
        try:
            link = self.link
            if not (self._closed or link._items or link.sending or link._broken) and link.senders:
                return await wait_task_rescheduled(self._wait_in_line())  # type: ignore[no-any-return]
            await checkpoint_if_cancelled()
            item = self.receive_nowait()
            await cancel_shielded_checkpoint()
            return item
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    def _wait_in_line(self) -> Callable[[object], Abort]:
        """Let the current task be given the next item; return what takes it out of the line again."""
        task, waiting = current_task(), self.link.receiving
        waiting[task] = self

        def give_up(_: object) -> Abort:
            del waiting[task]
            return Abort.SUCCEEDED

        return give_up

    @enable_ki_protection
    async def listen(self, sink: Callable[[ReceiveT], object]) -> None:
        """Give each item to ``sink`` in the step that sends it, until the end of the stream.

        In place of ``receive``: no task is woken for an item.  ``sink`` is called in the caller's context
        variables, must be quick, and must not wait; what it raises is raised here.  What waits in the buffer
        comes first.  Cancelling loses nothing.

        Raises:
            LinkBroken: a sender aborted, and what it had sent before was given.
            trio.ClosedResourceError: this end was closed, before or meanwhile.
            trio.BusyResourceError: another task is receiving.
        """
        await checkpoint_if_cancelled()
        if self._closed:
            raise trio.ClosedResourceError
        link = self.link
        if link.receiving or link.listener is not None:
            raise trio.BusyResourceError("another task is receiving from this link")
        enter = contextvars.copy_context().run

        def give(item: Any) -> None:
            try:
                enter(sink, item)
            except Exception as error:
                link.end_listening(error)

        def give_up(_: object) -> Abort:
            link.sink = link.listener = None
            return Abort.SUCCEEDED

        try:
            while (item := link.take()) is not NOTHING:
                sink(item)
                await checkpoint()
            link.sink, link.listener = give, (current_task(), self)
            await wait_task_rescheduled(give_up)
        except trio.EndOfChannel:
            await checkpoint()

    def receive_nowait(self) -> ReceiveT:
        """Return the next item if there is one; else raise trio.WouldBlock.  Raises as ``receive`` does."""
        if self._closed:
            raise trio.ClosedResourceError
        item = self.link.take()
        if item is NOTHING:
            raise trio.WouldBlock
        return item  # type: ignore[no-any-return]

    @enable_ki_protection
    def clone(self) -> LinkReceiver[ReceiveT]:
        """Return another receiver of the same link; each item goes to one of them."""
        if self._closed:
            raise trio.ClosedResourceError
        return LinkReceiver(self.link)

    @enable_ki_protection
    def close(self) -> None:
        """Stop receiving.  After the last receiver the buffer is dropped, and sends raise LinkStopped."""
        if not self._closed:
            self._closed = True
            self.link.receiver_closed(self)

    async def aclose(self) -> None:
        """Close, then checkpoint."""
        self.close()
        await checkpoint()

    def statistics(self) -> LinkStatistics:
        """Return the counts of the link."""
        return self.link.statistics()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


# A class, so that a type can be given: open_link[AudioFrame](max_s=0.5).  trio does the same.
@final
class open_link(tuple[LinkSender[T], LinkReceiver[T]]):
    """Make a link; return its two ends, ``(sender, receiver)``.

    Args:
        name: for errors, events and statistics.
        max_items: how many items may wait; ``math.inf`` for no bound, 0 for a direct hand-over.
        max_s: how many seconds of media may wait, by the items' ``duration_s`` (what has none counts
            0).  An item longer than that is admitted into an empty buffer.
        policy: what a send does when the bound is reached.

    Raises:
        ConfigError: a bound that makes no sense.
    """

    __slots__ = ()

    def __new__(  # type: ignore[misc]  # it returns its base: the two ends, and nothing else
        cls, *, name: str = "", max_items: float = 1, max_s: float | None = None, policy: LinkPolicy = "block"
    ) -> tuple[LinkSender[T], LinkReceiver[T]]:
        """Make the link and its two ends."""
        if max_items != math.inf and (not isinstance(max_items, int) or max_items < 0):
            raise ConfigError(f"max_items must be a whole number, or math.inf: not {max_items!r}")
        if max_s is not None and not max_s > 0:
            raise ConfigError(f"max_s must be more than 0 seconds, or None: not {max_s!r}")
        if policy not in ("block", "drop_oldest", "fail"):
            raise ConfigError(f"policy must be 'block', 'drop_oldest' or 'fail': not {policy!r}")
        if policy == "drop_oldest" and max_items == 0:
            raise ConfigError("a link of 0 items has nothing to drop: give drop_oldest at least 1 item")
        link: Link[T] = Link(name, max_items, max_s, policy)
        note_queue(link)
        return LinkSender(link), LinkReceiver(link)
