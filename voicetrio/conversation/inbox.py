"""The conversation's inbox: what turn sources tell it, in order, bounded; an overflow is a failure."""

from __future__ import annotations

import math
from collections import deque
from typing import TypeAlias, final

import attrs
import trio

from voicetrio.errors import LinkOverflow
from voicetrio.events import SpeechStarted, SpeechStopped, Transcript
from voicetrio.machines.capture_clock import CaptureClock
from voicetrio.machines.voice import VoiceLasted
from voicetrio.runtime.queues import note_queue
from voicetrio.values import Value

__all__ = [
    "Inbox",
    "InboxStatistics",
    "TurnCompleteness",
    "TurnDraft",
    "TurnNews",
    "TurnOver",
    "UserActed",
    "UserTurn",
]


@attrs.frozen(eq=False, repr=False)
class UserTurn(Value):
    """A whole turn that needs no endpointing: typed text, a push-to-talk release."""

    text: str
    position: int | None = None
    """Just past its last voiced sample on the capture clock; None where nothing was spoken."""


@attrs.frozen(eq=False, repr=False)
class TurnCompleteness(Value):
    """A turn model's probability (0 to 1) that what was said so far is a whole turn."""

    probability: float


@attrs.frozen(eq=False, repr=False)
class TurnDraft(Value):
    """The source expects that what is being said ends with ``text``; an empty one takes that back.

    A reply can be prepared.
    """

    text: str


@attrs.frozen(eq=False, repr=False)
class TurnOver(Value):
    """The source holds the turn for over: what was transcribed of it is the turn, without a wait."""


@attrs.frozen(eq=False, repr=False)
class UserActed(Value):
    """The user is there: a key was pressed, a message came."""


TurnNews: TypeAlias = (
    SpeechStarted
    | VoiceLasted
    | SpeechStopped
    | Transcript
    | UserTurn
    | TurnCompleteness
    | TurnDraft
    | TurnOver
    | UserActed
)
"""What a turn source tells."""


@attrs.frozen(eq=False, repr=False)
class InboxStatistics(Value):
    """Counts of one inbox."""

    items: int
    peak_items: int
    received: int


@final
class Inbox:
    """Where a turn source puts its news."""

    def __init__(self, clock: CaptureClock, rate: int, *, live: bool, max_items: int) -> None:
        self.clock = clock
        """The capture clock: a turn source tells it of every frame."""
        self.rate = rate
        """Hertz of the capture clock, which all positions count."""
        self.live = live
        """Whether audio comes at the pace of a clock (see ``Traits.live``)."""
        self._max_items = max_items
        self._items: deque[TurnNews] = deque()
        self._peak = 0
        self._received = 0
        self._woken = False
        self._arrival = trio.Event()
        self.name = "conversation"
        """For statistics."""
        note_queue(self)

    def waiting(self) -> tuple[int, float]:
        """Return how many items wait, and that they are no media; see ``Queue``."""
        return len(self._items), 0.0

    def put(self, news: TurnNews) -> None:
        """Tell the conversation; raises LinkOverflow when ``max_items`` wait already."""
        if len(self._items) >= self._max_items:
            raise LinkOverflow(f"the conversation is {self._max_items} news behind", link=self)
        self._items.append(news)
        self._peak = max(self._peak, len(self._items))
        self._arrival.set()

    def wake(self) -> None:
        """Let the conversation look at its state and its deadlines again."""
        self._woken = True
        self._arrival.set()

    async def receive(self, until: float = math.inf) -> TurnNews | None:
        """Wait for the next news; return None at ``until`` (``trio.current_time()``), or when woken."""
        await trio.lowlevel.checkpoint()
        if not self._items and not self._woken:
            self._arrival = trio.Event()
            with trio.move_on_at(until):
                await self._arrival.wait()
        self._woken = False
        if not self._items:
            return None
        self._received += 1
        return self._items.popleft()

    def statistics(self) -> InboxStatistics:
        """Return the counts so far."""
        return InboxStatistics(len(self._items), self._peak, self._received)
