"""The conversation: joins a turn source and repliers; the inside of a session that talks.

One task takes the news of the user and looks at the clock; every decision is made there, in one step, by the
machines behind ``TurnTaking``.  Beside it run the turn source, the replies and the tools, each a child of
the conversation's nursery, so that nothing of them outlives it.
"""

from __future__ import annotations

import contextvars
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, final

import attrs
import trio

from voicetrio.conversation.context import ConversationContext
from voicetrio.conversation.inbox import Inbox, InboxStatistics, UserActed, UserTurn
from voicetrio.conversation.interfaces import AgentLike, TurnSource
from voicetrio.conversation.replies import Replies, RepliesStatistics, ReplyHandle
from voicetrio.conversation.reply import Reply, ReplyRequest
from voicetrio.conversation.settings import ConversationSettings
from voicetrio.conversation.states import States
from voicetrio.conversation.tool_calls import ToolRunner
from voicetrio.conversation.turn_taking import TurnTaking
from voicetrio.errors import ConfigError, SessionEnded
from voicetrio.events import AgentState, HandedOff
from voicetrio.machines.capture_clock import CaptureClock
from voicetrio.machines.words import words_of
from voicetrio.runtime.behaviour import SessionContext
from voicetrio.values import Value

__all__ = ["Conversation", "ConversationStatistics"]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ConversationStatistics(Value):
    """A conversation at this moment."""

    agent: str
    agent_state: str
    user_state: str
    replies: RepliesStatistics
    inbox: InboxStatistics
    messages: int
    """Messages in the context."""
    tools_running: int


@final
class Conversation:
    """One conversation; made and run by an ``Agent``, reached by ``await session.wait_conversation()``."""

    def __init__(
        self,
        session: SessionContext,
        agent: AgentLike,
        source: TurnSource | None,
        settings: ConversationSettings,
        nursery: trio.Nursery,
    ) -> None:
        now = trio.current_time()
        self._session = session
        self._agent = agent
        self._replier = agent.open_replier(settings)
        self._source = source
        self._settings = settings
        self._nursery = nursery
        self._task_context = contextvars.copy_context()
        self._end_at = now + (settings.max_duration_s or math.inf)
        self._ending = False
        self._listening = True
        self._over = False
        traits = session.traits
        clock = CaptureClock(traits.input_rate, now)
        self._clock = clock
        self._inbox = Inbox(clock, traits.input_rate, live=traits.live, max_items=settings.inbox_items)
        self.context = ConversationContext()
        """What was said."""
        self._tool_runner = ToolRunner(session.hub, self)
        self._states = States(session.hub, self, settings.away_after_s, now)
        self._turns = TurnTaking(
            clock,
            traits.input_rate,
            settings,
            session.hub,
            self.context,
            self,
            lead_s=session.playout.lead_s + traits.latency_s,
        )
        self._replies = Replies(session.playout, session.hub, self.context, self._tool_runner, nursery, self)
        self._turns.replies = self._replies

    # --- what the application calls ---

    @property
    def agent(self) -> AgentLike:
        """Who speaks from the next reply on."""
        return self._agent

    async def say(
        self, text: str, *, interruptible: bool = True, priority: int = 0, wait_played: bool = True
    ) -> ReplyHandle:
        """Speak ``text`` as a reply of its own, without the model; return its handle.

        With ``wait_played`` this waits until it was heard, interrupted or cut.  Among replies that wait to be
        heard, the highest ``priority`` goes first.  Cancelling this call does not take back what it said.
        Raises SessionEnded when the session is ending, and ConfigError when ``text`` holds no word.
        """
        handle = self.say_nowait(text, interruptible=interruptible, priority=priority)
        if wait_played:
            await handle.wait_played()
        await trio.lowlevel.checkpoint()
        return handle

    def say_nowait(self, text: str, *, interruptible: bool = True, priority: int = 0) -> ReplyHandle:
        """Do what ``say`` does, without waiting."""
        self._check_open()
        if not words_of(text):
            raise ConfigError(f"there is nothing to say in {text!r}")
        request = ReplyRequest(source="say", text=text, interruptible=interruptible, priority=priority)
        return ReplyHandle(self._open_committed(request))

    def reply_nowait(self, *, interruptible: bool = True, priority: int = 0) -> ReplyHandle:
        """Let the model speak on the conversation as it is, without a turn of the user; return the handle.

        Raises SessionEnded when the session is ending.
        """
        self._check_open()
        return ReplyHandle(
            self._open_committed(ReplyRequest(source="tool", interruptible=interruptible, priority=priority))
        )

    def user_text(self, text: str) -> None:
        """Take ``text`` as a whole turn of the user, as if they had said it.

        Raises SessionEnded when the session is ending.
        """
        self._check_open()
        self._inbox.put(UserTurn(text))

    def interrupt(self) -> None:
        """Stop whatever the agent says or is about to say, as the user's words would."""
        self._replies.interrupt_all("request")

    def hand_off(self, agent: AgentLike) -> None:
        """Let ``agent`` speak from the next reply on; it opens with its greeting, or else answers.

        What is being said or made is not touched.  Listening goes on as it is.
        """
        old, self._agent = self._agent, agent
        self._replier = agent.open_replier(self._settings)
        self._session.hub.tell(HandedOff(position=self.played, old=old.name, new=agent.name))
        if self._ending:
            return
        if agent.greeting is not None:
            self._open_committed(ReplyRequest(source="greeting", text=agent.greeting))
        elif agent.answers_turns:
            self._open_committed(ReplyRequest(source="tool"))

    def statistics(self) -> ConversationStatistics:
        """Return the counts at this moment."""
        return ConversationStatistics(
            agent=self._agent.name,
            agent_state=self._states.agent,
            user_state=self._states.user,
            replies=self._replies.statistics(),
            inbox=self._inbox.statistics(),
            messages=len(self.context.messages()),
            tools_running=self._tool_runner.running,
        )

    # --- its life ---

    async def run(self) -> None:
        """Converse until the session ends, and everything that was begun is finished."""
        self._nursery.start_soon(self._listen)
        self._session.when_ending(self._inbox.wake)
        if self._agent.greeting is not None and not self._session.ending:
            self._open_committed(ReplyRequest(source="greeting", text=self._agent.greeting))
        try:
            while not self._is_done():
                self._refresh()
                news = await self._inbox.receive(self._deadline)
                self._notice_ending()
                if news is not None:
                    if isinstance(news, UserActed | UserTurn):
                        self._states.user_acted(trio.current_time())
                    self._turns.take(news)
                self._tick(trio.current_time())
            await self._tool_runner.wait_finished()
        finally:
            self._over = True
            self._set_states("idle")

    async def _listen(self) -> None:
        if self._source is None:
            async for _ in self._session.inlet:
                pass
        else:
            await self._source.run(self._session.inlet, self._inbox)
        self._listening = False
        self._inbox.wake()

    def _notice_ending(self) -> None:
        if self._session.ending and not self._ending:
            self._ending = True
            self._turns.shut()

    def _is_done(self) -> bool:
        """Tell whether listening is drained, and the replies in hand are over."""
        if not self._ending or self._listening or self._inbox.statistics().items:
            return False
        self._turns.finish()
        return next(self._replies.live(), None) is None

    @property
    def _deadline(self) -> float:
        deadlines = [self._turns.deadline, self._hold_until]
        if not self._ending:
            deadlines += [
                self._states.deadline,
                self._end_at,
            ]
        return min(deadlines)

    @property
    def _hold_until(self) -> float:
        since = self._replies.waiting_since
        return math.inf if since is None else since + self._settings.hold_s

    def _tick(self, now: float) -> None:
        """Do what is due."""
        if self._turns.deadline <= now:
            self._turns.tick()
        if self._ending:
            return
        if now >= self._end_at:
            self._end_at = math.inf
            self._session.request_end("max_duration")
        count = self._states.tick(now)
        prompt = self._settings.idle_prompt
        if count is not None and prompt is not None and count <= self._settings.idle_prompts_max:
            self._open_committed(ReplyRequest(source="idle", text=prompt))

    def _refresh(self) -> None:
        """Let the next reply be heard, if it may; tell the states."""
        may_speak = not self._turns.user_has_turn or self._ending
        if may_speak or trio.current_time() >= self._hold_until:
            self._replies.release_next()
        self._set_states(self._agent_state)

    def _set_states(self, agent: AgentState) -> None:
        self._states.update(
            agent,
            user_speaking=self._turns.user_speaking and not self._over,
            user_has_turn=self._turns.user_has_turn,
            now=trio.current_time(),
        )

    @property
    def _agent_state(self) -> AgentState:
        if self._replies.audible is not None and not self._turns.paused:
            return "speaking"
        if self._replies.audible is None and any(
            reply.is_working for reply in self._replies.live(committed=True)
        ):
            return "thinking"
        return "listening"

    def _check_open(self) -> None:
        if self._ending or self._over or self._session.ending:
            raise SessionEnded("it is ending")

    def _open_committed(self, request: ReplyRequest) -> Reply:
        reply = self._replies.open(request, self._agent, self._replier)
        reply.commit()
        self._inbox.wake()
        return reply

    # --- TurnHost, ToolHost, ReplyListener, Positions ---

    @property
    def answers_turns(self) -> bool:
        """Whether a turn opens a reply."""
        return self._agent.answers_turns and not self._ending

    def open_reply(self, request: ReplyRequest) -> Reply:
        """Begin to make a reply with the agent of this moment."""
        return self._replies.open(request, self._agent, self._replier)

    def spawn(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """Start a task of the conversation, which no reply's end cancels."""
        self._task_context.run(partial(self._nursery.start_soon, function, *args))

    def report(self, tool: str, result: str) -> None:
        """A detached call has its result, and the reply that asked for it is gone."""
        if not (self._ending or self._over):
            self.context.add_note(f"The tool {tool}, called earlier, has finished: {result}")
            self._open_committed(ReplyRequest(source="tool"))

    def reply_ready(self, reply: Reply) -> None:
        """A stretch of ``reply`` waits for its turn to be heard."""
        self._inbox.wake()

    def reply_audible(self, reply: Reply) -> None:
        """A stretch of ``reply`` begins to be heard."""
        self._turns.reply_audible(reply)
        self._inbox.wake()

    def reply_silent(self, reply: Reply) -> None:
        """The stretch that was being heard is over."""
        self._turns.reply_silent()
        self._inbox.wake()

    def reply_over(self, reply: Reply) -> None:
        """Nothing more comes of ``reply``."""
        self._turns.reply_silent()
        self._inbox.wake()

    @property
    def captured(self) -> int:
        """Now on the capture clock, in samples."""
        return self._clock.position_at(trio.current_time())

    @property
    def played(self) -> int:
        """Now on the playout clock, in samples."""
        return self._session.playout.position
