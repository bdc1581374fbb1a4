"""One reply: its task, its gate, its speeches, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, final

import attrs
import trio

from voicetrio.conversation.context import ConversationContext, UserEntry
from voicetrio.conversation.interfaces import AgentLike, Replier
from voicetrio.conversation.rounds import SpokenRound
from voicetrio.conversation.tool_calls import ToolRunner
from voicetrio.errors import ReplyFlushed
from voicetrio.events import (
    Failure,
    Interrupted,
    ReplyAudible,
    ReplyCommitted,
    ReplyEnded,
    ReplyFirstAudio,
    ReplyFirstText,
    ReplyOpened,
    ReplyRetracted,
    ReplyWord,
)
from voicetrio.machines.reply_gate import ReplyGate
from voicetrio.runtime.emit import EventHub
from voicetrio.runtime.failures import contained, failures_of
from voicetrio.services.llm import Message, ToolCall, ToolSpec
from voicetrio.values import Value

if TYPE_CHECKING:
    from voicetrio.runtime.playout import Playout

__all__ = ["Reply", "ReplyEnding", "ReplyHost", "ReplyRequest", "ReplySource"]

ReplySource: TypeAlias = Literal["turn", "greeting", "say", "idle", "tool"]
"""Why a reply was opened."""
ReplyEnding: TypeAlias = Literal["played", "interrupted", "failed", "cut", "retracted"]
"""What became of a reply."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ReplyRequest(Value):
    """What a reply is for."""

    source: ReplySource
    user_text: str = ""
    """The turn that it answers."""
    text: str | None = None
    """What to say word for word; None: the model answers."""
    interruptible: bool = True
    priority: int = 0
    """Among the replies that are ready, the highest is heard first."""


class ReplyHost(Protocol):
    """What a reply asks of the scheduler and the conversation."""

    @property
    def playout(self) -> Playout:
        """The way to the peer's ear."""
        ...

    @property
    def context(self) -> ConversationContext:
        """The message list."""
        ...

    @property
    def hub(self) -> EventHub:
        """Where events are told."""
        ...

    @property
    def tool_runner(self) -> ToolRunner:
        """Runs tools."""
        ...

    def enqueue(self, round: SpokenRound) -> None:
        """A committed reply's speech may be released when its turn comes."""
        ...

    def became_audible(self, round: SpokenRound) -> None:
        """The first sample of ``round`` was given to the transport."""
        ...

    def became_silent(self, round: SpokenRound) -> None:
        """All of ``round`` was heard, or it was flushed."""
        ...

    def reply_over(self, reply: Reply) -> None:
        """Nothing more comes of ``reply``."""
        ...


@final
class Reply:
    """The agent's turn as an activity; opened by ``Replies.open``."""

    def __init__(
        self, name: str, request: ReplyRequest, agent: AgentLike, replier: Replier, host: ReplyHost
    ) -> None:
        self.name = name
        self.request = request
        self.gate = ReplyGate()
        self.rounds: list[SpokenRound] = []
        self.ending: ReplyEnding | None = None
        """What became of it; None while it is not over."""
        self.ended: ReplyEnded | None = None
        """What was told at its end."""
        self.over = trio.Event()
        self._agent = agent
        self._replier = replier
        self._host = host
        self._user_entry: UserEntry | None = None
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._decided = trio.Event()
        self._failed = False
        self._generated = False
        self._told: set[str] = set()
        host.hub.tell(
            ReplyOpened(
                position=host.playout.position, reply=name, source=request.source, user_text=request.user_text
            )
        )
        self._prepared: SpokenRound | None = None
        if request.text is not None:
            # What is to be said word for word takes its place in the order in which it was asked for.
            self._prepared = SpokenRound(self)
            self._prepared.entry.add_text(request.text)
            self.rounds.append(self._prepared)
            self._prepared.begin()

    # --- what it is ---

    @property
    def is_over(self) -> bool:
        """Nothing more comes of it."""
        return self.ending is not None

    @property
    def playout_rate(self) -> int:
        """Hertz of the playout, which counts what was heard."""
        return self._host.playout.rate

    @property
    def is_working(self) -> bool:
        """It is being made, or something of it waits to be heard."""
        return not self._generated or any(not round.is_silent for round in self.rounds)

    @property
    def generated(self) -> str:
        """The text of all rounds so far."""
        return " ".join(round.entry.text for round in self.rounds if round.entry.text)

    @property
    def heard_text(self) -> str:
        """What was heard so far; a prefix of the text."""
        parts = [
            (round.heard or round.speech.heard()).text for round in self.rounds if round.speech is not None
        ]
        return " ".join(part for part in parts if part)

    # --- what the conversation does to it ---

    def commit(self) -> None:
        """Let it be heard, when its turn comes; the user's turn enters the conversation."""
        if self.gate.is_committed or not self.gate.commit():
            return
        if self.request.user_text:
            self._user_entry = self._host.context.add_user(self.request.user_text)
        self._tell(ReplyCommitted(reply=self.name))
        for round in self.rounds:
            if round.speech is not None:
                self._host.enqueue(round)
        self._decided.set()

    def interrupt(self, because: Literal["words", "sustained voice", "request"]) -> None:
        """Stop it now: nothing of it is written past the fade, and what was heard is settled."""
        if self.is_over:
            return
        if not self.gate.is_committed:
            self.retract()
            return
        sounding = [round.speech for round in self.rounds if round.speech and not round.is_silent]
        for speech in sounding:
            speech.flush()
        if self.gate.phase == "audible":
            position = max((speech.last_playout for speech in sounding), default=self._host.playout.position)
            self._host.hub.tell(Interrupted(position=position, reply=self.name, because=because))
        self._close("interrupted")

    def retract(self) -> str:
        """It never happened; return the user's text that it would have answered."""
        if not self.is_over:
            for round in self.rounds:
                if round.speech is not None:
                    round.speech.flush()
                self._host.context.remove(round.entry)
            self._host.context.remove(self._user_entry)
            self._close("retracted")
        return self.request.user_text

    # --- what its replier sees (ReplyWork) ---

    @property
    def text(self) -> str | None:
        """What to say, word for word; None where the model is to answer."""
        return self.request.text

    @property
    def tools(self) -> Sequence[ToolSpec]:
        """What the model may ask for."""
        return [tool.spec for tool in self._agent.tools]

    def messages(self) -> tuple[Message, ...]:
        """Return the conversation with the instructions in front, and the turn that is being answered."""
        messages = self._host.context.messages(self._agent.instructions)
        if self.request.user_text and not self.gate.is_committed:
            messages = (*messages, Message("user", self.request.user_text))
        return messages

    def open_round(self) -> SpokenRound:
        """Begin a stretch of speech; the one before it is finished."""
        if self._prepared is not None:
            round, self._prepared = self._prepared, None
            return round
        self._finish_rounds()
        self.rounds.append(SpokenRound(self))
        return self.rounds[-1]

    async def run_tools(self, calls: Sequence[ToolCall]) -> bool:
        """Run ``calls`` once the reply is committed; True if the model shall go on with their results."""
        self._finish_rounds()
        await self._decided.wait()
        if not self.gate.act():
            return False
        entry = self.rounds[-1].entry
        entry.calls = (*entry.calls, *calls)
        self._host.context.attach(entry)
        return await self._host.tool_runner.run(
            self.name, entry, calls, self._agent.tools, lambda: not self.is_over
        )

    # --- its life ---

    async def run(self) -> None:
        """Make it and wait until it is heard; the scheduler starts this, once."""
        completed = False
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    for round in self.rounds:
                        nursery.start_soon(self._watch, round)
                    await self._generate()
                completed = True
        finally:
            if completed:
                self._close("failed" if self._failed else "played")
            else:
                self._close("cut")

    def begin_round(self, round: SpokenRound) -> None:
        """Open the speech of ``round``."""
        number = len(self.rounds)
        name = self.name if number == 1 else f"{self.name}.{number}"
        round.speech = self._host.playout.open_speech(name)
        round.speech.on_word = self._tell_word
        if self.gate.is_committed:
            self._host.enqueue(round)
        if self._nursery is not None:
            self._nursery.start_soon(self._watch, round)

    def note_first(self, what: Literal["text", "audio"]) -> None:
        """Tell the first text of the model, and the first audio of the voice."""
        if what in self._told:
            return
        self._told.add(what)
        event = ReplyFirstText if what == "text" else ReplyFirstAudio
        self._tell(event(reply=self.name))

    def note_audible(self, position: int | None, heard_from: int) -> None:
        """Its first sample was given to the transport; ``heard_from`` is on the capture clock."""
        if self.gate.audible(heard_from) and "audible" not in self._told:
            self._told.add("audible")
            self._host.hub.tell(ReplyAudible(position=position, reply=self.name))

    async def _generate(self) -> None:
        # An interruption flushes the speech and cancels the scope in one step, so a task that waited for room
        # sees the one, and its neighbours the other.
        with contained(self._judge):
            await self._replier.reply(self)
        self._finish_rounds()
        self._generated = True
        await self._decided.wait()

    async def _watch(self, round: SpokenRound) -> None:
        speech = round.speech
        assert speech is not None
        await speech.wait_audible()
        if speech.audible and not speech.flushed:
            self._host.became_audible(round)
        while not speech.flushed:
            await speech.wait_played()
            if speech.state == "over":
                break
        if not speech.flushed:
            round.settle(all_heard=not self._failed)
            self._host.became_silent(round)

    def _finish_rounds(self) -> None:
        for round in self.rounds:
            if round.speech is not None:
                round.speech.finish()

    def _judge(self, raised: Exception) -> None:
        """Fail of what the replier raised; a flushed speech only says that the reply is over."""
        failures = [leaf for leaf in failures_of(raised) if not isinstance(leaf, ReplyFlushed)]
        if failures:
            self._fail(failures[0] if len(failures) == 1 else ExceptionGroup("the replier", failures))

    def _fail(self, error: Exception) -> None:
        self._failed = True
        self._host.hub.tell(Failure(position=self._host.playout.position, where=self.name, error=error))

    def _close(self, ending: ReplyEnding) -> None:
        """It is over: settle what was heard, and tell; only the first call counts."""
        if self.is_over:
            return
        was_committed = self.gate.is_committed
        self.gate.close()
        self.ending = ending
        for round in self.rounds:
            round.settle(all_heard=ending == "played")
        if was_committed and ending != "retracted":
            self._tell_ended(ending)
        else:
            self._tell(ReplyRetracted(reply=self.name))
        self._decided.set()
        self.over.set()
        self._scope.cancel()
        self._host.reply_over(self)

    def _tell_ended(self, ending: ReplyEnding) -> None:
        heard = [round.heard for round in self.rounds if round.heard is not None]
        self.ended = ReplyEnded(
            position=self._host.playout.position,
            reply=self.name,
            source=self.request.source,
            text=self.generated,
            heard=" ".join(round.entry.heard for round in self.rounds if round.entry.heard),
            how=ending,  # type: ignore[arg-type]
            heard_quality="exact" if all(one.quality == "exact" for one in heard) else "estimated",
            words=tuple(word for one in heard for word in one.words),
        )
        self._host.hub.tell(self.ended)

    def _tell_word(self, text: str, position: int) -> None:
        self._host.hub.tell(ReplyWord(position=position, reply=self.name, text=text))

    def _tell(self, event: Any) -> None:
        self._host.hub.tell(attrs.evolve(event, position=self._host.playout.position))
