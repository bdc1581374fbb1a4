"""The two seams of a conversation: where turns come from, and what replies.

A *turn source* reads what the peer sends and tells the conversation's inbox: a VAD with a recogniser
(``listening.Listening``), push-to-talk, keys, or a vendor that decides turns itself.  A *replier* makes one
reply's text and audio: a language model and a voice (``cascade.CascadeReplier``), or one model that does
both.  The conversation joins them; neither knows the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import trio

from voicetrio.conversation.inbox import Inbox
from voicetrio.frames import AudioFrame, Frame, WordFrame
from voicetrio.services.llm import Message, ToolCall, ToolSpec

if TYPE_CHECKING:
    from voicetrio.conversation.settings import ConversationSettings
    from voicetrio.conversation.tools import Tool

__all__ = ["AgentLike", "Replier", "ReplyRound", "ReplyWork", "TurnSource"]


class TurnSource(Protocol):
    """Where the user's turns come from; one instance serves one session."""

    async def run(self, inlet: trio.abc.ReceiveChannel[Frame], inbox: Inbox) -> None:
        """Read ``inlet`` until it ends; tell ``inbox``; then finish what was begun, and return.

        Positions count samples at ``inbox.rate``.  Whatever may end a wait for words has to come: each
        SpeechStopped is followed by a final Transcript whose ``position`` is the same, empty if
        nothing was understood.  Each frame's arrival is told to ``inbox.clock``.
        """
        ...


class ReplyRound(Protocol):
    """One stretch of a reply that is spoken in one go; see ``ReplyWork.open_round``."""

    def add_text(self, text: str) -> None:
        """Text that the model gave: it is what the reply says, heard or not."""
        ...

    def begin(self) -> None:
        """Audio will come: take a place among the speeches of the session."""
        ...

    async def send(self, frame: AudioFrame | WordFrame) -> None:
        """Give audio or words; waits for room, raises ReplyFlushed after an interruption."""
        ...

    def when_settled(self, tell: Callable[[str, float], None]) -> None:
        """Call ``tell``, once, when it is known what was heard: the text, and seconds of its audio.

        The seconds are infinite when all was heard, and 0 when it never happened.  ``tell`` must not wait.
        It is called before the replier is cancelled, and also after it returned.
        """
        ...


class ReplyWork(Protocol):
    """One reply, as its replier sees it."""

    @property
    def text(self) -> str | None:
        """What to say, word for word; None where the model is to answer."""
        ...

    @property
    def tools(self) -> Sequence[ToolSpec]:
        """The tools that the model may ask for."""
        ...

    def messages(self) -> tuple[Message, ...]:
        """Return the conversation so far, with the instructions in front."""
        ...

    def open_round(self) -> ReplyRound:
        """Begin a stretch of speech; the one before it is finished."""
        ...

    async def run_tools(self, calls: Sequence[ToolCall]) -> bool:
        """Run ``calls`` once the reply is committed; True if the model shall go on with their results."""
        ...


class Replier(Protocol):
    """Makes replies; one instance serves one session, and several replies may be in the making at once."""

    async def reply(self, work: ReplyWork) -> None:
        """Make one reply.

        Returns when all its text and audio were given.  Raises ServiceError when it cannot go on; what
        was given until then is still heard.  Cancelling frees whatever it holds.
        """
        ...


@runtime_checkable
class AgentLike(Protocol):
    """What a conversation reads when a reply opens; ``Agent`` is one."""

    @property
    def name(self) -> str:
        """Its name, for events."""
        ...

    @property
    def instructions(self) -> str:
        """The system message."""
        ...

    @property
    def tools(self) -> Sequence[Tool]:
        """What its model may ask for."""
        ...

    @property
    def greeting(self) -> str | None:
        """What it says first."""
        ...

    @property
    def answers_turns(self) -> bool:
        """Whether a turn of the user opens a reply."""
        ...

    def open_replier(self, settings: ConversationSettings) -> Replier:
        """Return the replier of one session."""
        ...
