"""Descriptions of behaviours: small values that say what a session does, and make it.

A ``Talk`` opens replies and listens through a graph; an ``Echo`` is a graph from the peer to the peer; a
``Converse`` is an agent with scripted models.  Each keeps an account of what it did, for the properties.
"""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any, Final, TypeAlias, final

import attrs
import numpy as np
import trio

from voicetrio.conversation.agent import Agent
from voicetrio.conversation.tools import tool
from voicetrio.errors import ReplyFlushed, ServiceError
from voicetrio.frames import AudioFrame
from voicetrio.runtime.behaviour import AnyBehaviour, SessionContext
from voicetrio.runtime.pipeline import Pipeline
from voicetrio.runtime.speech import Speech
from voicetrio.runtime.transport import SendAudio
from voicetrio.services.llm import Message, ToolCall
from voicetrio.testing.faults.services import FaultyLLM, FaultySTT, FaultyTTS, ServiceFault
from voicetrio.testing.graphs import Graph, build, draw_graph
from voicetrio.testing.operations import Controls
from voicetrio.testing.scripted import Answer, ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD

__all__ = ["Account", "BehaviourPlan", "Converse", "Echo", "SpokenReply", "Talk", "draw_behaviour"]

CHUNK_S: Final = 0.1
BED: Final = np.tile(np.array([3, -3], np.int16), 400)


@attrs.define(eq=False)
class SpokenReply:
    """One reply of a ``Talk``: every sample of it has the value ``level``."""

    speech: Speech
    level: int
    heard_before_flush: int | None = None
    """How many operations had reached the peer when it was flushed; None if it never was."""
    in_hand: int = 0
    """Samples that were being written when it was flushed: they cannot be taken back."""


@attrs.define(eq=False)
class Account:
    """What a behaviour did."""

    replies: list[SpokenReply] = attrs.Factory(list)
    pipeline: Pipeline | None = None
    """The graph that it ran."""
    problems: list[str] = attrs.Factory(list)
    agent: Agent | None = None
    tool_runs: list[str] = attrs.Factory(list)
    """``started``, ``finished`` or ``cancelled``, for each call of a tool."""


@final
@attrs.frozen
class Talk:
    """Speaks ``replies`` replies of constant samples, one after the other, and listens through ``graph``."""

    replies: int = 2
    reply_s: float = 0.5
    gap_s: float = 0.1
    bed: bool = False
    graph: Graph = ()

    def make(self, account: Account, on: Controls) -> AnyBehaviour:
        """Return the behaviour; it writes ``account``."""

        async def talk(context: SessionContext) -> None:
            if self.bed:
                context.playout.start_bed(BED)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_fail_when_told, on, name="service")
                nursery.start_soon(self._flush_when_told, account, on, name="interruptions")
                nursery.start_soon(self._speak_all, context, account, name="speaking")
                account.pipeline = build(self.graph, _sink)
                await account.pipeline(context.inlet)
                await context.wait_ending()
                await _wait_settled(account)
                nursery.cancel_scope.cancel()

        return talk

    async def _speak_all(self, context: SessionContext, account: Account) -> None:
        for number in range(self.replies):
            if context.ending:
                break
            reply = SpokenReply(context.playout.open_speech(f"reply-{number}"), (number + 1) * 1000)
            account.replies.append(reply)
            reply.speech.release()
            with suppress(ReplyFlushed):
                await self._speak(context, account, reply)
            await reply.speech.wait_played()
            await trio.sleep(self.gap_s)
        await trio.lowlevel.checkpoint()

    async def _speak(self, context: SessionContext, account: Account, reply: SpokenReply) -> None:
        rate = context.playout.rate
        settings = context.playout._settings.speech
        for _ in range(max(1, round(self.reply_s / CHUNK_S))):
            samples = np.full(round(CHUNK_S * rate), reply.level, np.int16)
            await reply.speech.send(AudioFrame.from_samples(samples, rate))
            if reply.speech.remaining_to_play_s > settings.max_ahead_s + CHUNK_S + 1e-6:
                account.problems.append(f"I4: {reply.speech.name} is further ahead than it may be")
        reply.speech.finish()
        await trio.lowlevel.checkpoint()

    async def _flush_when_told(self, account: Account, on: Controls) -> None:
        while True:
            await on.asked_to_flush.park()
            if account.replies and not account.replies[-1].speech.flushed:
                reply = account.replies[-1]
                in_hand = on.session._outbox._in_hand
                reply.in_hand = in_hand.frame.sample_count if isinstance(in_hand, SendAudio) else 0
                reply.speech.flush()
                if reply.speech.flushed:
                    reply.heard_before_flush = len(on.far_end.heard)


@final
@attrs.frozen
class Echo:
    """The peer hears itself through ``graph``."""

    graph: Graph = ()

    def make(self, account: Account, on: Controls) -> AnyBehaviour:
        """Return the behaviour; it writes ``account``."""
        account.pipeline = build(self.graph)
        return account.pipeline


@final
@attrs.frozen
class Converse:
    """An agent with scripted models, one of which may be faulty."""

    greeting: str | None = "hello there"
    answer: str = "one two three four five six"
    with_tool: bool = False
    tool_s: float = 0.7
    on_interrupt: Any = "cancel"
    stt: ServiceFault | None = None
    llm: ServiceFault | None = None
    tts: ServiceFault | None = None

    def make(self, account: Account, on: Controls) -> AnyBehaviour:
        """Return the behaviour; it writes ``account``."""
        account.agent = Agent(
            vad=ScriptedVAD,
            stt=self._make_stt,
            llm=self._make_llm,
            tts=self._make_tts,
            greeting=self.greeting,
            tools=(self._make_tool(account),) if self.with_tool else (),
        )
        return account.agent

    def _make_stt(self) -> Any:
        stt = ScriptedSTT(["what is it", "and then", "go on", "stop"], decode_s=0.05)
        return stt if self.stt is None else FaultySTT(stt, self.stt)

    def _make_llm(self) -> Any:
        llm = ScriptedLLM(self._answer, first_piece_s=0.03, piece_s=0.01)
        return llm if self.llm is None else FaultyLLM(llm, self.llm)

    def _make_tts(self) -> Any:
        tts = ScriptedTTS(rate=16000, word_s=0.15, first_audio_s=0.02)
        return tts if self.tts is None else FaultyTTS(tts, self.tts)

    def _answer(self, messages: Any) -> Answer:
        asked: Message = messages[-1]
        if self.with_tool and asked.role == "user":
            return ["let me see ", ToolCall(f"call-{len(messages)}", "look", {})]
        return self.answer

    def _make_tool(self, account: Account) -> Any:
        @tool(on_interrupt=self.on_interrupt)
        async def look() -> str:
            """Look something up."""
            account.tool_runs.append("started")
            try:
                await trio.sleep(self.tool_s)
            except trio.Cancelled:
                account.tool_runs.append("cancelled")
                raise
            account.tool_runs.append("finished")
            return "found"

        return look


BehaviourPlan: TypeAlias = Talk | Echo | Converse
"""Any description of a behaviour."""


async def _sink(inlet: trio.abc.ReceiveChannel[Any]) -> None:
    async for _ in inlet:
        pass


async def _wait_settled(account: Account) -> None:
    """Wait until every reply so far is complete, or flushed."""
    for reply in account.replies:
        await reply.speech.wait_played()
    await trio.lowlevel.checkpoint()


async def _fail_when_told(on: Controls) -> None:
    await on.service_fails.wait()
    raise ServiceError("failed when it was told to", service="the behaviour's service")


# --- drawing ---------------------------------------------------------------------------------------


def draw_behaviour(draws: random.Random) -> BehaviourPlan:
    """Return a behaviour."""
    choice = draws.random()
    if choice < 0.6:
        return Talk(
            replies=draws.randint(0, 3),
            reply_s=draws.choice((0.1, 0.5, 1.2)),
            gap_s=draws.choice((0.0, 0.1)),
            bed=draws.random() < 0.3,
            graph=draw_graph(draws),
        )
    if choice < 0.8:
        return Echo(draw_graph(draws))
    return Converse(
        greeting=draws.choice((None, "hello there")),
        with_tool=draws.random() < 0.4,
        on_interrupt=draws.choice(("cancel", "finish", "detach")),
        stt=_draw_fault(draws),
        llm=_draw_fault(draws),
        tts=_draw_fault(draws),
    )


def _draw_fault(draws: random.Random) -> ServiceFault | None:
    if draws.random() < 0.8:
        return None
    return ServiceFault(
        draws.choice(("connect", "send", "receive", "close")),
        call=draws.randint(0, 4),
        how=draws.choice(("fail", "hang")),
    )
