"""The replier that joins a language model and a voice: text streams in, clauses go out, audio comes back.

Three parts run at once, with bounded links between them: the model, the cutting into clauses, the voice; it
speaks straight into the reply.  Cancelling the reply frees all three.  A part that fails, or that owes
something and gives nothing for ``stall_s``, fails the reply, once the whole clauses that the model had given
are spoken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import trio

from voicetrio.conversation.interfaces import ReplyRound, ReplyWork
from voicetrio.conversation.settings import ConversationSettings
from voicetrio.errors import LinkBroken, LinkStopped, ServiceError
from voicetrio.frames import AudioFrame, TextFrame, WordFrame
from voicetrio.machines.clauses import ClauseSplitter
from voicetrio.runtime.links import LinkReceiver, LinkSender, open_link
from voicetrio.services.llm import LLM, LlmOutput, Message, ToolCall, ToolSpec
from voicetrio.services.tts import TTS, TtsOutput

__all__ = ["CascadeReplier"]

PIECES = 8
"""Pieces of text that the model may be ahead."""
CLAUSES = 3
"""Clauses that wait for the voice."""
WORD_SLACK_S = 0.1
"""A word's end may lie this much past the audio without more audio being owed."""


@final
class CascadeReplier:
    """Answers with a language model, and speaks with a voice.

    Args:
        llm: None for an agent that only says what it is told to.
        tts: the voice.
        settings: how clauses are cut, how many rounds of tools there may be, how long a stall may be.
    """

    def __init__(self, llm: LLM | None, tts: TTS, settings: ConversationSettings | None = None) -> None:
        self._llm = llm
        self._tts = tts
        self._settings = settings or ConversationSettings()
        for service in (llm, tts):
            # A service with a connection offers to open it before it is needed.
            warm_up = getattr(service, "warm_up", None)
            if warm_up is not None:
                warm_up()

    async def reply(self, work: ReplyWork) -> None:
        """Make one reply; see ``Replier``."""
        if work.text is not None:
            await self._speak_round(work.open_round(), work.text, [])
            return
        rounds_left = self._settings.max_tool_rounds
        while True:
            calls: list[ToolCall] = []
            tools = work.tools if rounds_left else ()
            await self._speak_round(work.open_round(), (work.messages(), tools), calls)
            if not calls or not rounds_left or not await work.run_tools(calls):
                return
            rounds_left -= 1

    async def _speak_round(
        self,
        round: ReplyRound,
        what: str | tuple[Sequence[Message], Sequence[ToolSpec]],
        calls: list[ToolCall],
    ) -> None:
        """Say ``what``, a text or the model's answer; the model's calls of tools go to ``calls``."""
        to_cut, pieces = open_link[LlmOutput](name="pieces", max_items=PIECES)
        to_voice, clauses = open_link[TextFrame](name="clauses", max_items=CLAUSES)
        debts = _Debts(self._tts.rate, self._settings.stall_s)
        thinking = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            if isinstance(what, str):
                to_cut.send_nowait(TextFrame(what))
                to_cut.close()
            else:
                nursery.start_soon(self._think, *what, to_cut, thinking)
            nursery.start_soon(self._voice, clauses, round, debts)
            try:
                failure = await self._cut(pieces, to_voice, round, debts, calls)
            finally:
                # Closed, not aborted: the voice speaks what it was given.
                pieces.close()
                to_voice.close()
            thinking.cancel(reason="nothing more is wanted of the model")
        if failure is not None:
            raise failure

    async def _think(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        to_cut: LinkSender[LlmOutput],
        scope: trio.CancelScope,
    ) -> None:
        """Let the model answer; its failure travels behind its text, through the link."""
        with scope, to_cut:
            try:
                if self._llm is None:
                    raise ServiceError("there is none to answer with", service="language model", fault="ours")
                await self._llm.answer(messages, tools, to_cut)
            except Exception as failure:
                to_cut.abort(failure)
        await trio.lowlevel.checkpoint()

    async def _cut(
        self,
        pieces: LinkReceiver[LlmOutput],
        to_voice: LinkSender[TextFrame],
        round: ReplyRound,
        debts: _Debts,
        calls: list[ToolCall],
    ) -> BaseException | None:
        """Cut the model's text into clauses for the voice; return why the text is incomplete, if it is."""
        splitter = ClauseSplitter(self._settings.clauses)
        failure: BaseException | None = None
        stall_s = self._settings.stall_s
        try:
            # One for all pieces: there are many, and a scope costs more than a piece.
            with trio.CancelScope(deadline=trio.current_time() + stall_s) as waiting:
                async for piece in pieces:
                    if isinstance(piece, ToolCall):
                        calls.append(piece)
                    else:
                        round.add_text(piece.text)
                        for clause in splitter.feed(piece.text):
                            waiting.deadline = math.inf
                            await self._hand_over(clause, to_voice, round, debts)
                    waiting.deadline = trio.current_time() + stall_s
            if waiting.cancelled_caught:
                failure = _stalled("language model", stall_s)
        except LinkBroken as broken:
            failure = broken.cause
        # A clause that a failure cut short is not said.
        for clause in () if failure is not None else splitter.flush():
            await self._hand_over(clause, to_voice, round, debts)
        debts.text_ended()
        await trio.lowlevel.checkpoint()
        return failure

    async def _hand_over(
        self, clause: str, to_voice: LinkSender[TextFrame], round: ReplyRound, debts: _Debts
    ) -> None:
        round.begin()
        debts.fed(clause)
        try:
            await to_voice.send(TextFrame(clause))
        except LinkStopped:
            raise ServiceError("it stopped before the text's end", service="voice") from None

    async def _voice(self, clauses: LinkReceiver[TextFrame], round: ReplyRound, debts: _Debts) -> None:
        """Let the voice speak the clauses into the reply."""
        with clauses, debts.watch() as scope:
            await self._tts.speak(clauses, _Mouth(round, debts))
        if scope.cancelled_caught:
            raise _stalled("voice", self._settings.stall_s)


@final
class _Mouth(trio.abc.SendChannel[TtsOutput]):
    """The voice's outlet: the reply itself, which takes so much that nothing needs to wait in between."""

    def __init__(self, round: ReplyRound, debts: _Debts) -> None:
        self._round = round
        self._debts = debts
        self._closed = False

    async def send(self, value: TtsOutput) -> None:
        """Give audio or a word; wait while the reply is far ahead, which is no stall of the voice's."""
        if self._closed:
            raise trio.ClosedResourceError
        self._debts.begin_taking(value)
        try:
            await self._round.send(value)
        finally:
            self._debts.end_taking()

    async def aclose(self) -> None:
        self._closed = True
        await trio.lowlevel.checkpoint()


@final
class _Debts:
    """What the voice owes: audio for the text that it was given.

    A voice that waits for text owes nothing, so it is no stall when the model thinks.
    """

    def __init__(self, rate: int, stall_s: float) -> None:
        self._stall_s = stall_s
        self._slack = round(WORD_SLACK_S * rate)
        self._words = 0
        self._reach = 0
        self._audio_end = 0
        self._text_ended = False
        self._taking = 0
        self._since = trio.current_time()
        self._scope = trio.CancelScope()

    def watch(self) -> trio.CancelScope:
        """Return a scope that is cancelled when the voice has owed something for too long."""
        self._since = trio.current_time()
        self._set_deadline()
        return self._scope

    def fed(self, clause: str) -> None:
        """The voice is given ``clause``."""
        if not self._owes:
            self._since = trio.current_time()
        self._words += len(clause.split())
        self._set_deadline()

    def text_ended(self) -> None:
        """The voice is given nothing more: now it owes its end."""
        if not self._owes:
            self._since = trio.current_time()
        self._text_ended = True
        self._set_deadline()

    def begin_taking(self, frame: TtsOutput) -> None:
        """The voice gave ``frame``; from now on it waits for us and not we for it."""
        if isinstance(frame, WordFrame):
            self._words -= len(frame.text.split())
            self._reach = max(self._reach, frame.end - self._slack)
        elif isinstance(frame, AudioFrame):
            self._audio_end = frame.end
        self._taking += 1
        self._set_deadline()

    def end_taking(self) -> None:
        """What it gave is taken."""
        self._taking -= 1
        self._since = trio.current_time()
        self._set_deadline()

    @property
    def _owes(self) -> bool:
        return self._text_ended or self._words > 0 or self._reach > self._audio_end

    def _set_deadline(self) -> None:
        waits = self._owes and not self._taking
        self._scope.deadline = self._since + self._stall_s if waits else math.inf


def _stalled(service: str, stall_s: float) -> ServiceError:
    return ServiceError(f"it gave nothing for {stall_s:g} s", service=service, transient=True)
