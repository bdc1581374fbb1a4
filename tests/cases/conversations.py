"""What the cases share: behaviours that speak or listen, and an agent with scripted models."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from voicetrio.conversation.agent import Agent
from voicetrio.frames import AudioFrame
from voicetrio.runtime.behaviour import SessionContext
from voicetrio.testing.scripted import ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD

RATE = 24000
BED = (np.arange(RATE) % 50).astype(np.int16)


def tone(seconds: float, value: int = 1000) -> AudioFrame:
    return AudioFrame.from_samples(np.full(round(seconds * RATE), value, np.int16), RATE)


async def listen(context: SessionContext) -> None:
    """Read until the session ends."""
    async for _ in context.inlet:
        pass


def speaking(seconds: float) -> Callable[[SessionContext], Awaitable[None]]:
    """Say one reply of so many seconds, then listen until the end."""

    async def behaviour(context: SessionContext) -> None:
        speech = context.playout.open_speech("reply")
        speech.release()
        for _ in range(round(seconds * 10)):
            await speech.send(tone(0.1))
        speech.finish()
        await listen(context)

    return behaviour


def scripted_agent(**options: Any) -> Agent:
    """Return an agent that understands every segment, and answers it with six words of 0.15 s."""
    parts: dict[str, Any] = {
        "vad": ScriptedVAD,
        "stt": lambda: ScriptedSTT(["what is it", "and then", "go on"], decode_s=0.05),
        "llm": lambda: ScriptedLLM(lambda _messages: "one two three four five six"),
        "tts": lambda: ScriptedTTS(rate=RATE, word_s=0.15),
    }
    return Agent(**{**parts, **options})
