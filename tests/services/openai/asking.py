"""Helpers: run one service against the stand-in, and collect what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import trio

from voicetrio.connection.http import HttpSettings
from voicetrio.errors import ServiceError
from voicetrio.frames import TextFrame
from voicetrio.services.llm import LLM, LlmOutput, Message, ToolSpec
from voicetrio.services.openai import Account, find_account
from voicetrio.services.tts import TTS, TtsOutput
from voicetrio.testing.standins.openai import OpenAIStandin

T = TypeVar("T")
HELLO = (Message("system", "Be brief."), Message("user", "hello there"))


def account_of(standin: OpenAIStandin, **settings: float) -> Account:
    """Return an account at ``standin``; ``settings`` are those of HTTP."""
    return find_account(standin.key, standin.base_url, settings=HttpSettings(**settings))  # type: ignore[arg-type]


async def drain(channel: trio.MemoryReceiveChannel[T]) -> list[T]:
    """Return what waits in a channel."""
    items: list[T] = []
    while True:
        try:
            items.append(channel.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            await trio.lowlevel.checkpoint()
            return items


async def ask(
    llm: LLM, messages: Sequence[Message] = HELLO, tools: Sequence[ToolSpec] = ()
) -> tuple[list[LlmOutput], ServiceError | None]:
    """Return what ``llm`` answers, and the error that it ended with."""
    outlet, outputs = trio.open_memory_channel[LlmOutput](1000)
    error = None
    try:
        await llm.answer(messages, tools, outlet)
    except ServiceError as failure:
        error = failure
    return await drain(outputs), error


def text_of(outputs: Sequence[LlmOutput]) -> str:
    """Return the text in ``outputs``."""
    return "".join(output.text for output in outputs if isinstance(output, TextFrame))


async def speak(tts: TTS, *clauses: str) -> tuple[list[TtsOutput], ServiceError | None]:
    """Return what ``tts`` makes of ``clauses``, and the error that it ended with."""
    to_voice, inlet = trio.open_memory_channel[TextFrame](100)
    outlet, outputs = trio.open_memory_channel[TtsOutput](10000)
    for clause in clauses:
        to_voice.send_nowait(TextFrame(clause))
    to_voice.close()
    error = None
    try:
        await tts.speak(inlet, outlet)
    except ServiceError as failure:
        error = failure
    return await drain(outputs), error
