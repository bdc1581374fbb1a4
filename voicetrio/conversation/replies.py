"""The one scheduler of replies: who may be heard next, and the handles that the application holds.

Replies are made side by side, and heard one after the other.  Each stretch of a reply takes its place when
its audio begins to be made; among those that are committed, the highest priority goes first, then the
earliest.  So a short "one moment" is heard while a long answer is still being thought about, and what
a tool says while its reply waits for it does not wait for that reply.
"""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol, final

import attrs
import trio

from voicetrio.conversation.context import ConversationContext
from voicetrio.conversation.interfaces import AgentLike, Replier
from voicetrio.conversation.reply import Reply, ReplyRequest, ReplySource
from voicetrio.conversation.rounds import SpokenRound
from voicetrio.conversation.tool_calls import ToolRunner
from voicetrio.events import ReplyEnded
from voicetrio.runtime.emit import EventHub
from voicetrio.values import Value

if TYPE_CHECKING:
    from voicetrio.runtime.playout import Playout

__all__ = ["Replies", "RepliesStatistics", "ReplyHandle", "ReplyListener"]


class ReplyListener(Protocol):
    """Who wants to know what becomes of replies; called synchronously."""

    def reply_ready(self, reply: Reply) -> None:
        """A stretch of ``reply`` waits for its turn to be heard."""
        ...

    def reply_audible(self, reply: Reply) -> None:
        """A stretch of ``reply`` begins to be heard."""
        ...

    def reply_silent(self, reply: Reply) -> None:
        """The stretch that was being heard is over."""
        ...

    def reply_over(self, reply: Reply) -> None:
        """Nothing more comes of ``reply``."""
        ...


@final
class ReplyHandle:
    """What the application holds of one reply."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    @property
    def name(self) -> str:
        """Its name, as its events give it."""
        return self._reply.name

    @property
    def source(self) -> ReplySource:
        """Why it was opened."""
        return self._reply.request.source

    @property
    def interruptible(self) -> bool:
        """Whether the user's voice may interrupt it."""
        return self._reply.request.interruptible

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self._reply.is_over

    @property
    def text(self) -> str:
        """What was generated so far."""
        return self._reply.generated

    @property
    def heard(self) -> str:
        """What was heard so far: a prefix of the text."""
        return self._reply.heard_text

    def interrupt(self) -> None:
        """Stop it now, as the user's words would; also when it is not ``interruptible``."""
        self._reply.interrupt("request")

    async def wait_played(self) -> ReplyEnded | None:
        """Wait until it is over, heard or not; return how it ended, None if it was retracted."""
        await self._reply.over.wait()
        return self._reply.ended


@attrs.frozen(eq=False, repr=False)
class RepliesStatistics(Value):
    """Counts of one scheduler."""

    opened: int
    live: int
    waiting: int
    """Stretches of committed replies that wait for their turn to be heard."""
    retracted: int
    interrupted: int
    failed: int


@attrs.define(eq=False)
class _Waiting:
    round: SpokenRound
    priority: int
    number: int
    since: float


@final
class Replies:
    """Opens replies, and gives each its turn to be heard; a ReplyHost."""

    def __init__(
        self,
        playout: Playout,
        hub: EventHub,
        context: ConversationContext,
        tool_runner: ToolRunner,
        nursery: trio.Nursery,
        listener: ReplyListener,
    ) -> None:
        self.playout = playout
        self.hub = hub
        self.context = context
        self.tool_runner = tool_runner
        self._nursery = nursery
        self._listener = listener
        # A reply that the application asks for from a task of its own still belongs to the session.
        self._task_context = contextvars.copy_context()
        self._live: list[Reply] = []
        self._waiting: list[_Waiting] = []
        self._current: SpokenRound | None = None
        self._opened = 0
        self._enqueued = 0
        self._ended = {"retracted": 0, "interrupted": 0, "failed": 0}

    def open(self, request: ReplyRequest, agent: AgentLike, replier: Replier) -> Reply:
        """Begin to make a reply; nothing of it is heard before it is committed."""
        self._opened += 1
        reply = Reply(f"reply-{self._opened}", request, agent, replier, self)
        self._live.append(reply)
        self._task_context.run(partial(self._nursery.start_soon, reply.run, name=reply.name))
        return reply

    def live(self, *, committed: bool | None = None) -> Iterator[Reply]:
        """Yield the replies that are not over, in the order in which they were opened."""
        for reply in tuple(self._live):
            if not reply.is_over and committed in (None, reply.gate.is_committed):
                yield reply

    @property
    def current(self) -> SpokenRound | None:
        """What is released and not yet over: it is being heard, or will be next."""
        return self._current

    @property
    def audible(self) -> SpokenRound | None:
        """What is being heard (or paused)."""
        current = self._current
        return current if current is not None and current.speech and current.speech.audible else None

    @property
    def waiting_since(self) -> float | None:
        """Since when the next reply waits to be heard, if one could be."""
        if self._current is not None or not self._waiting:
            return None
        return min(waiting.since for waiting in self._waiting)

    def release_next(self) -> None:
        """Let the next reply be heard, unless one is being heard already."""
        if self._current is not None or not self._waiting:
            return
        following = min(self._waiting, key=lambda waiting: (-waiting.priority, waiting.number))
        self._waiting.remove(following)
        self._current = following.round
        self.context.attach(following.round.entry)
        assert following.round.speech is not None
        following.round.speech.release()

    def interrupt_all(self, because: Literal["words", "sustained voice", "request"]) -> None:
        """Stop every committed reply that may be interrupted: heard, waiting, or still in the making."""
        for reply in self.live(committed=True):
            if reply.request.interruptible:
                reply.interrupt(because)

    def statistics(self) -> RepliesStatistics:
        """Return the counts so far."""
        return RepliesStatistics(self._opened, len(self._live), len(self._waiting), **self._ended)

    # --- ReplyHost ---

    def enqueue(self, round: SpokenRound) -> None:
        """A committed reply's speech may be released when its turn comes."""
        self._enqueued += 1
        priority = round.reply.request.priority
        self._waiting.append(_Waiting(round, priority, self._enqueued, trio.current_time()))
        self._listener.reply_ready(round.reply)

    def became_audible(self, round: SpokenRound) -> None:
        """The first sample of ``round`` was given to the transport."""
        self._listener.reply_audible(round.reply)

    def became_silent(self, round: SpokenRound) -> None:
        """All of ``round`` was heard."""
        if self._current is round:
            self._current = None
        self._listener.reply_silent(round.reply)

    def reply_over(self, reply: Reply) -> None:
        """Nothing more comes of ``reply``."""
        if self._current is not None and self._current.reply is reply:
            self._current = None
        self._waiting = [waiting for waiting in self._waiting if waiting.round.reply is not reply]
        self._live.remove(reply)
        if reply.ending in self._ended:
            self._ended[reply.ending] += 1
        self._listener.reply_over(reply)
