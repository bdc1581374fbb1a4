"""An engine and a recogniser that are exact, and a service around them in virtual time."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import numpy as np

from voicetrio.frames import Samples
from voicetrio.runtime.workers import InlineRunner
from voicetrio.server.http import AsgiApp
from voicetrio.server.speech.app import speech_app
from voicetrio.server.speech.keys import ApiKeys
from voicetrio.server.speech.service import SpeechService, open_speech_service
from voicetrio.server.speech.settings import SpeechSettings
from voicetrio.services.local.stt import Recognised
from voicetrio.services.speech.engine import SpokenClause, Voice, VoiceMix
from voicetrio.services.speech_text.spelling import SpokenWord

WORD_S = 0.1
CALL_S = 0.5
"""How long a clause takes to be made."""


@attrs.define
class Tone:
    """An engine whose voices are tones: every spoken word lasts 0.1 s, divided by the speed."""

    name: str = "tone"
    voices: Sequence[Voice] = (Voice("low"), Voice("high"))
    can_mix: bool = True
    is_reentrant: bool = True
    rate: int = 24_000
    fail_on: str = "\0"
    """Speaking a word that is written so raises."""
    load_failure: Exception | None = None
    said: list[tuple[str, VoiceMix, float]] = attrs.field(factory=list)
    loads: int = 0

    def load(self) -> Tone:
        if self.load_failure is not None:
            raise self.load_failure
        self.loads += 1
        return self

    def speak(self, words: Sequence[SpokenWord], voice: VoiceMix, speed: float) -> SpokenClause:
        self.said.append((" ".join(word.written for word in words), voice, speed))
        placed = []
        position = 0
        for word in words:
            if self.fail_on in word.written:
                raise RuntimeError(f"cannot say {word.written}")
            count = len(word.spoken) or (1 if word.ipa else 0)
            end = position + round(WORD_S * count * self.rate / speed)
            placed.append((word.written, position, end))
            position = end
        hertz = sum(weight * (300 if name == "low" else 900) for name, weight in voice)
        tone = 8000 * np.sin(np.arange(position) * (2 * math.pi * hertz / self.rate))
        return SpokenClause(tone.astype(np.int16), tuple(placed))

    def phonemize(self, words: Sequence[SpokenWord]) -> str:
        return " ".join(word.ipa or "-".join(word.spoken) for word in words)


class Parrot:
    """A recogniser that tells how long the audio is."""

    def decode(self, samples: Samples, rate: int) -> Recognised:
        seconds = samples.size / rate
        return Recognised(
            f"I heard {seconds:.0f} seconds.", (("I", 0.0, 0.1), ("heard", 0.2, 0.5)), 0.01, -0.1
        )


@asynccontextmanager
async def open_app(
    *engines: Any,
    keys: Sequence[str] = (),
    call_s: float | Callable[[str], float] = CALL_S,
    workers: int = 1,
    decoder: Any = None,
    **settings: Any,
) -> AsyncIterator[tuple[AsgiApp, SpeechService]]:
    """Serve ``engines`` (by default one Tone) in virtual time."""
    async with open_speech_service(
        engines or (Tone(),),
        settings=SpeechSettings(**settings),
        keys=ApiKeys(keys),
        workers=workers,
        runner=InlineRunner(lambda name: 0.0 if name.startswith("load") else duration(call_s, name)),
        decoder=decoder or Parrot(),
    ) as service:
        yield speech_app(service), service


def duration(call_s: float | Callable[[str], float], name: str) -> float:
    return call_s(name) if callable(call_s) else call_s
