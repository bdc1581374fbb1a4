"""What the ends of a link share: the buffer, its bounds, the tasks that wait, the counts.

Nothing in here is a checkpoint; ``voicetrio.runtime.links`` adds the waiting.  The hop is the runtime's
hottest path, hence the shape of ``put`` and ``take``: an item goes straight to a task that waits, and no
exception is raised on the way to a wait.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar, final

import attrs
import outcome
import trio
from trio.lowlevel import Task, enable_ki_protection, reschedule

from voicetrio.errors import LinkBroken, LinkOverflow, LinkStopped
from voicetrio.events import LinkDropped
from voicetrio.runtime.emit import emit

__all__ = ["NOTHING", "Link", "LinkPolicy", "LinkState", "LinkStatistics"]

LinkPolicy: TypeAlias = Literal["block", "drop_oldest", "fail"]
"""What a send does when the bound is reached: wait, drop the oldest item, or raise LinkOverflow."""
LinkState: TypeAlias = Literal["open", "ended", "broken", "stopped"]
"""``ended``: every sender closed.  ``broken``: a sender aborted.  ``stopped``: every receiver closed."""

T = TypeVar("T")

NOTHING: Final[Any] = object()
"""What ``Link.take`` returns when there is no item (None could be one)."""
# Sums of durations are not exact: without this, four frames of 20 ms might not fit into 80 ms.
_ROUNDING_S: Final = 1e-9


@attrs.frozen
class LinkStatistics:
    """Counts of one link."""

    name: str
    state: LinkState
    policy: LinkPolicy
    items: int
    """Items that wait in the buffer."""
    max_items: float
    """The bound, or ``math.inf``."""
    seconds: float
    """Seconds of media in the buffer."""
    max_s: float | None
    """The bound in seconds of media, if there is one."""
    peak_items: int
    peak_s: float | None
    """The most seconds of media that the buffer held; None where the link has no bound in seconds."""
    sent: int
    """Items that were accepted."""
    received: int
    dropped_items: int
    """Items that the policy ``drop_oldest`` took back."""
    dropped_s: float
    discarded_items: int
    """Items that were still in the buffer when the last receiver closed."""
    open_senders: int
    open_receivers: int
    tasks_waiting_send: int
    tasks_waiting_receive: int


@final
class Link(Generic[T]):
    """What the two ends of a link share; their ``link`` attribute.  Made by ``open_link``."""

    __slots__ = (
        "__weakref__", "_broken", "_cause", "_discarded", "_dropped", "_dropped_s", "_durations",
        "_gap_items", "_gap_s", "_items", "_max_items", "_max_s", "_peak_items", "_peak_s", "_policy",
        "_seconds", "_sent", "listener", "name", "receivers", "receiving", "senders", "sending", "sink",
        "state",
    )  # fmt: skip

    def __init__(self, name: str, max_items: float, max_s: float | None, policy: LinkPolicy) -> None:
        self.name = name
        self.state: LinkState = "open"
        """Whether it is open, or which of the three endings came first."""
        self._max_items = max_items
        self._max_s = max_s
        self._policy = policy
        self._items: deque[T] = deque()
        self._durations: deque[float] = deque()  # beside _items, only when there is a bound in seconds
        self._seconds = 0.0
        self.senders = 0  # open ends
        self.receivers = 0
        # The tasks that wait, first come first served, each with the end that it waits at.
        self.sending: OrderedDict[Task, tuple[object, T]] = OrderedDict()
        self.receiving: OrderedDict[Task, object] = OrderedDict()
        self.sink: Callable[[T], object] | None = None
        """Takes every item at once, while ``listener`` waits; see ``LinkReceiver.listen``."""
        self.listener: tuple[Task, object] | None = None
        """The task that listens, and its end."""
        self._broken = False
        self._cause: BaseException | None = None
        self._sent = 0
        self._peak_items = 0
        self._peak_s = 0.0
        self._dropped = 0
        self._dropped_s = 0.0
        self._gap_items = 0  # dropped since the last LinkDropped
        self._gap_s = 0.0
        self._discarded = 0

    def __repr__(self) -> str:
        return f"<link {self.name!r} at {id(self):#x}: {self.state}, {len(self._items)} items>"

    def waiting(self) -> tuple[int, float]:
        """Return how many items wait, and how many seconds of media they are; see ``Queue``."""
        return len(self._items), sum(map(_duration_s, self._items), 0.0)

    def statistics(self) -> LinkStatistics:
        """Return the counts so far."""
        items, seconds = self.waiting()
        return LinkStatistics(
            name=self.name,
            state=self.state,
            policy=self._policy,
            items=items,
            max_items=self._max_items,
            seconds=seconds,
            max_s=self._max_s,
            peak_items=self._peak_items,
            peak_s=None if self._max_s is None else self._peak_s,
            sent=self._sent,
            received=self._sent - self._dropped - self._discarded - len(self._items),
            dropped_items=self._dropped,
            dropped_s=self._dropped_s,
            discarded_items=self._discarded,
            open_senders=self.senders,
            open_receivers=self.receivers,
            tasks_waiting_send=len(self.sending),
            tasks_waiting_receive=len(self.receiving),
        )

    # --- the senders' side ---

    @enable_ki_protection
    def put(self, item: T) -> bool:
        """Take ``item`` and return True, or return False if the send must wait.  For LinkSender."""
        if self._broken or not self.receivers:
            raise self._refusal()
        if self.receiving:
            self._sent += 1
            task, _ = self.receiving.popitem(last=False)
            reschedule(task, outcome.Value(item))
            return True
        if self.sink is not None:
            self._sent += 1
            self.sink(item)
            return True
        if self._max_s is None:
            if len(self._items) < self._max_items:
                self._sent += 1
                self._items.append(item)
                if len(self._items) > self._peak_items:
                    self._peak_items = len(self._items)
                return True
        elif not self.sending and self._fits(duration := _duration_s(item)):
            # The wait is in order: what is short must not overtake what is long.
            self._store(item, duration)
            return True
        return False if self._policy == "block" else self._overflow(item)

    def _fits(self, duration_s: float) -> bool:
        count = len(self._items)
        if count >= self._max_items:
            return False
        # Into an empty buffer everything goes: an item longer than the bound must not wait for ever.
        return self._max_s is None or not count or self._seconds + duration_s <= self._max_s + _ROUNDING_S

    def _store(self, item: T, duration_s: float) -> None:
        self._sent += 1
        self._items.append(item)
        self._peak_items = max(self._peak_items, len(self._items))
        if self._max_s is not None:
            self._durations.append(duration_s)
            self._seconds += duration_s
            self._peak_s = max(self._peak_s, self._seconds)

    def _overflow(self, item: T) -> bool:
        if self._policy == "fail":
            raise LinkOverflow(f"the link {self.name!r} is full ({self._bounds()})", link=self)
        duration_s = _duration_s(item)
        while self._items and not self._fits(duration_s):
            dropped_s = _duration_s(self._pop())
            self._dropped += 1
            self._dropped_s += dropped_s
            self._gap_items += 1
            self._gap_s += dropped_s
        self._store(item, duration_s)
        return True

    def _bounds(self) -> str:
        items = f"{len(self._items)} of {self._max_items} items"
        return items if self._max_s is None else f"{items}, {self._seconds:.3f} of {self._max_s} s"

    def _refusal(self) -> LinkStopped | LinkBroken:
        if not self.receivers:
            return LinkStopped(f"nobody receives from the link {self.name!r} any more", link=self)
        return self._breakage()

    def _breakage(self) -> LinkBroken:
        why = "" if self._cause is None else f": {self._cause!r}"
        broken = LinkBroken(f"the sender of the link {self.name!r} failed{why}", link=self, cause=self._cause)
        broken.__cause__ = self._cause
        return broken

    # --- the receivers' side ---

    @property
    def must_wait(self) -> bool:
        """Whether a receive has nothing to take and no end to tell."""
        return not (self._items or self.sending or self._broken) and self.senders > 0

    @enable_ki_protection
    def take(self) -> T:
        """Return the next item, or ``NOTHING`` if the receive must wait.  For LinkReceiver."""
        if self._items:
            item = self._items.popleft() if self._max_s is None else self._pop()
            if self.sending:
                self._admit()
            if self._gap_items:
                self._tell_gap(item)
            return item
        if self.sending:  # only a link of no items at all has senders that wait beside an empty buffer
            task, (_, item) = self.sending.popitem(last=False)
            self._sent += 1
            reschedule(task)
            return item
        if self._broken:
            raise self._breakage()
        if not self.senders:
            raise trio.EndOfChannel
        return NOTHING  # type: ignore[no-any-return]

    def _pop(self) -> T:
        if self._max_s is not None:
            self._seconds -= self._durations.popleft()
            if not self._durations:
                self._seconds = 0.0  # what rounding left must not add up over days
        return self._items.popleft()

    def _admit(self) -> None:
        """Let in those who wait to send, as far as there is room."""
        while self.sending:
            task, (_, item) = next(iter(self.sending.items()))
            duration_s = 0.0 if self._max_s is None else _duration_s(item)
            if not self._fits(duration_s):
                return
            del self.sending[task]
            self._store(item, duration_s)
            reschedule(task)

    def _tell_gap(self, first: T) -> None:
        items, seconds = self._gap_items, self._gap_s
        self._gap_items, self._gap_s = 0, 0.0
        position = getattr(first, "position", None)
        emit(LinkDropped(link=self.name, items=items, seconds=seconds, position=position))

    # --- endings ---

    def _settle(self, state: LinkState) -> None:
        if self.state == "open":
            self.state = state

    def sender_closed(self, sender: object) -> None:
        """Count a sender out, and tell the tasks that wait at it; the last one ends the stream."""
        for task in [task for task, (owner, _) in self.sending.items() if owner is sender]:
            del self.sending[task]
            reschedule(task, outcome.Error(trio.ClosedResourceError()))
        self.senders -= 1
        if not self.senders and not self._broken:
            self._settle("ended")
            self._wake_receivers()

    def abort(self, cause: BaseException | None) -> None:
        """Break the stream for every sender; what is buffered can still be received."""
        if self._broken:
            return  # the first cause is the one that matters
        self._settle("broken")
        self._broken = True
        self._cause = cause if self.receivers else None  # it holds frames: see ``receiver_closed``
        for task in self.sending:
            reschedule(task, outcome.Error(self._refusal()))
        self.sending.clear()
        self._wake_receivers()

    def _wake_receivers(self) -> None:
        """Tell the end to every task that waits for an item: if one waits, then the buffer is empty."""
        for task in self.receiving:
            reschedule(task, outcome.Error(self._breakage() if self._broken else trio.EndOfChannel()))
        self.receiving.clear()
        self.end_listening(self._breakage() if self._broken else trio.EndOfChannel())

    def end_listening(self, error: Exception) -> None:
        """Raise ``error`` where somebody listens, if somebody does."""
        self.sink = None
        if self.listener is not None:
            (task, _), self.listener = self.listener, None
            reschedule(task, outcome.Error(error))

    def receiver_closed(self, receiver: object) -> None:
        """Count a receiver out, and tell the tasks that wait at it; the last one stops the senders."""
        for task in [task for task, owner in self.receiving.items() if owner is receiver]:
            del self.receiving[task]
            reschedule(task, outcome.Error(trio.ClosedResourceError()))
        if self.listener is not None and self.listener[1] is receiver:
            self.end_listening(trio.ClosedResourceError())
        self.receivers -= 1
        if self.receivers:
            return
        self._settle("stopped")
        self._cause = None  # nobody will be told of it, and the link may be kept for its statistics
        for task in self.sending:
            reschedule(task, outcome.Error(self._refusal()))
        self.sending.clear()
        self._discarded += len(self._items)
        self._items.clear()
        self._durations.clear()
        self._seconds = 0.0


def _duration_s(item: object) -> float:
    return getattr(item, "duration_s", 0.0)
