"""The agent: a value that says who speaks, and a behaviour that talks with one peer."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Protocol, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt
import trio
from attrs import validators

from voicetrio.audio.clip import load_bed, room_tone
from voicetrio.conversation.cascade import CascadeReplier
from voicetrio.conversation.conversation import Conversation
from voicetrio.conversation.interfaces import Replier, TurnSource
from voicetrio.conversation.listening import Listening
from voicetrio.conversation.settings import ConversationSettings
from voicetrio.conversation.tools import Tool, tool
from voicetrio.errors import ConfigError
from voicetrio.frames import Samples
from voicetrio.machines.words import words_of
from voicetrio.runtime.behaviour import SessionContext
from voicetrio.runtime.keeper import open_keeper
from voicetrio.runtime.playout import Playout
from voicetrio.runtime.workers import open_workers
from voicetrio.services.llm import LLM
from voicetrio.services.stt import STT
from voicetrio.services.tts import TTS
from voicetrio.services.vad import VAD

__all__ = ["Agent", "Bed", "Models"]

ROOM_TONE = "room"
"""The bed that needs no file."""

Bed: TypeAlias = str | os.PathLike[str] | npt.NDArray[np.int16]
"""A looping background sound: a path to any file that FFmpeg decodes, the name ``room`` (the quiet noise of a
room, made here), or int16 mono samples at the session's output rate."""


class Models(Protocol):
    """Makes one session's models; a pool that the application opened, mostly.  Each may be missing."""

    def vad(self) -> VAD:
        """Return the voice-activity model of one session."""
        ...

    def stt(self) -> STT:
        """Return the recogniser of one session."""
        ...

    def llm(self) -> LLM:
        """Return the language model of one session."""
        ...

    def tts(self) -> TTS:
        """Return the voice of one session."""
        ...


def _factory(_agent: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not callable(value):
        raise ConfigError(
            f"{attribute.name} is a function that makes one for each session, not a {type(value).__name__}"
        )


def _optional_words(_agent: object, attribute: attrs.Attribute[Any], value: str | None) -> None:
    if value is not None and not words_of(value):
        raise ConfigError(f"the {attribute.name} {value!r} holds no word: use None for none")


def _tools(tools: Sequence[Tool | Callable[..., Any]]) -> tuple[Tool, ...]:
    made = tuple(each if isinstance(each, Tool) else tool(each) for each in tools)
    names = [each.name for each in made]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"two tools have the name {twice[0]!r}")
    return made


@attrs.frozen(eq=False)
class Agent:
    """Who speaks: instructions, models, tools, voice; ``open_session(peer, Agent(models))`` makes it talk.

    A value: it holds nothing of a session, so one agent can serve many.  Each of ``vad``, ``stt``, ``llm``
    and ``tts`` is a function that makes one for a session; what is not given comes from ``models``.
    Without a VAD and a recogniser it does not listen; without a language model turns open no reply.
    """

    models: Any = None
    """An object that offers some of ``vad()``, ``stt()``, ``llm()`` and ``tts()``."""
    vad: Callable[[], VAD] | None = attrs.field(default=None, kw_only=True, validator=_factory)
    stt: Callable[[], STT] | None = attrs.field(default=None, kw_only=True, validator=_factory)
    llm: Callable[[], LLM] | None = attrs.field(default=None, kw_only=True, validator=_factory)
    tts: Callable[[], TTS] | None = attrs.field(default=None, kw_only=True, validator=_factory)
    replier: Callable[[], Replier] | None = attrs.field(default=None, kw_only=True, validator=_factory)
    """Makes the replier of a session, in place of ``llm`` and ``tts``."""
    turn_source: Callable[[], TurnSource] | None = attrs.field(default=None, kw_only=True, validator=_factory)
    """Makes the turn source of a session, in place of ``vad`` and ``stt``."""
    instructions: str = attrs.field(default="", kw_only=True)
    """The system message."""
    tools: tuple[Tool, ...] = attrs.field(default=(), kw_only=True, converter=_tools)
    """What its model may ask for: tools, or functions that ``@tool`` can read."""
    greeting: str | None = attrs.field(default=None, kw_only=True, validator=_optional_words)
    """What it says first."""
    bed: Bed | None = attrs.field(default=None, kw_only=True)
    """The background sound under the conversation."""
    bed_gain_db: float = attrs.field(default=-12.0, kw_only=True)
    settings: ConversationSettings = attrs.field(
        factory=ConversationSettings, kw_only=True, validator=validators.instance_of(ConversationSettings)
    )
    """How the conversation goes; those of the agent that a session was opened with."""
    name: str = attrs.field(default="agent", kw_only=True)
    """Its name, for events."""

    async def __call__(self, context: SessionContext) -> None:
        """Talk with the session's peer until the session ends.

        Raises ConfigError when a model is missing, and AudioError when the bed cannot be read.
        """
        source = self.open_turn_source(self.settings)
        async with open_keeper(), trio.open_nursery() as nursery:
            conversation = Conversation(context, self, source, self.settings, nursery)
            await self._start_bed(context.playout)
            context.provide(conversation)
            await conversation.run()
            nursery.cancel_scope.cancel(reason="the conversation is over")

    @property
    def answers_turns(self) -> bool:
        """Whether a turn of the user opens a reply."""
        return self.replier is not None or self._maker("llm") is not None

    def open_replier(self, settings: ConversationSettings) -> Replier:
        """Return the replier of one session; raises ConfigError when there is no voice."""
        if self.replier is not None:
            return self.replier()
        llm, tts = self._maker("llm"), self._maker("tts")
        if tts is None:
            raise ConfigError(
                f"the agent {self.name!r} has no voice: give it tts=…, or models that offer tts()"
            )
        return CascadeReplier(llm() if llm is not None else None, tts(), settings)

    def open_turn_source(self, settings: ConversationSettings) -> TurnSource | None:
        """Return the turn source of one session, None for an agent that does not listen."""
        if self.turn_source is not None:
            return self.turn_source()
        vad, stt = self._maker("vad"), self._maker("stt")
        if vad is None:
            if stt is None:
                return None
            raise ConfigError(f"the agent {self.name!r} has a recogniser and no VAD: give it vad=…")
        return Listening(
            vad(),
            stt() if stt is not None else None,
            settings.voice,
            marks_s=settings.barge_in.marks_s,
            stt_lag_s=settings.stt_lag_s,
        )

    def _maker(self, kind: str) -> Callable[[], Any] | None:
        own: Callable[[], Any] | None = getattr(self, kind)
        return own if own is not None else getattr(self.models, kind, None)

    async def _start_bed(self, playout: Playout) -> None:
        if self.bed is None:
            await trio.lowlevel.checkpoint()
            return
        if isinstance(self.bed, np.ndarray):
            clip: Samples = self.bed
            await trio.lowlevel.checkpoint()
        else:
            async with open_workers("bed") as workers:
                clip = await workers.run(_load_bed, self.bed, playout.rate)
        playout.start_bed(clip, gain_db=self.bed_gain_db)


def _load_bed(bed: str | os.PathLike[str], rate: int) -> Samples:
    """Return a bed's samples; sessions with the same bed share them."""
    if bed == ROOM_TONE:
        return _cached_room_tone(rate)
    try:
        changed_at = os.stat(bed).st_mtime_ns
    except OSError:
        changed_at = 0  # the loader says what is wrong
    return _cached_bed(os.fspath(bed), rate, changed_at)


@lru_cache(maxsize=4)
def _cached_room_tone(rate: int) -> Samples:
    return _read_only(room_tone(rate))


@lru_cache(maxsize=4)
def _cached_bed(path: str, rate: int, _changed_at: int) -> Samples:
    return _read_only(load_bed(path, rate))


def _read_only(samples: Samples) -> Samples:
    samples.setflags(write=False)
    return samples
