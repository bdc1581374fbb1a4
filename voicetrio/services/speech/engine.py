"""The interface to a speech engine, and the words of a request about voices.

An *engine* is a description that costs nothing: its name, its voices, and how its model is loaded.  A
*model* is what was loaded: it speaks one clause in a call that blocks, in a worker thread.  To add an
engine, write a class with the attributes and methods of ``SpeechEngine`` and of ``SpeechModel``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final, Protocol, TypeAlias

import attrs

from voicetrio.errors import ConfigError
from voicetrio.services.local.piper import SpokenClause
from voicetrio.services.speech_text.spelling import SpokenWord

__all__ = ["SpeechEngine", "SpeechModel", "SpokenClause", "Voice", "VoiceError", "VoiceMix", "parse_voice"]

VoiceMix: TypeAlias = tuple[tuple[str, float], ...]
"""Voices by name with their weights, which add up to 1; most often there is one."""

MOST_VOICES_IN_A_MIX: Final = 16


class VoiceError(ConfigError):
    """A voice, or a mix of voices, that cannot be had; the text says why and what there is."""


@attrs.frozen
class Voice:
    """A voice of an engine."""

    name: str
    language: str = "en"
    """As in BCP 47."""
    description: str = ""


class SpeechModel(Protocol):
    """An engine that is loaded.  Its calls block; they come from worker threads."""

    @property
    def rate(self) -> int:
        """Hertz of its samples."""
        ...

    def speak(self, words: Sequence[SpokenWord], voice: VoiceMix, speed: float) -> SpokenClause:
        """Speak a clause of some two dozen words at most.

        Args:
            words: each with what is to be said for it.
            voice: has more than one voice only if the engine ``can_mix``.
            speed: 1 is the voice's own; 0.25 to 4.

        Returns int16 mono samples, and the place of every word in them.  Words that cannot be said are left
        out; without any the samples are empty.
        """
        ...

    def phonemize(self, words: Sequence[SpokenWord]) -> str:
        """Return the phonemes of ``words`` in IPA.  Raises ConfigError if the engine knows none."""
        ...


class SpeechEngine(Protocol):
    """What an engine offers."""

    @property
    def name(self) -> str:
        """As a request's ``model`` names it."""
        ...

    @property
    def voices(self) -> Sequence[Voice]:
        """The first is the default."""
        ...

    @property
    def can_mix(self) -> bool:
        """True if voices can be blended."""
        ...

    @property
    def is_reentrant(self) -> bool:
        """True if one model serves several threads at once; else each worker loads its own."""
        ...

    def load(self) -> SpeechModel:
        """Load the model; blocks.  Raises MissingExtra, ConfigError."""
        ...


_PART: Final = re.compile(r"([^\s()+,]{1,100})(?:\(\s*([^()+]{1,30}?)\s*\))?")


def parse_voice(text: str) -> VoiceMix:
    """Read ``name`` or a mix such as ``a(2)+b(1)``; without a weight it is 1.

    Raises VoiceError for one that is malformed, and for weights that are not finite and above 0.
    """
    if not text.strip():
        raise VoiceError("name a voice")
    parts = text.split("+")
    if len(parts) > MOST_VOICES_IN_A_MIX:
        raise VoiceError(f"at most {MOST_VOICES_IN_A_MIX} voices can be mixed, not {len(parts)}")
    weights: dict[str, float] = {}
    for part in parts:
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise VoiceError(f"{text[:200]!r} is no voice: write a name, or a mix such as a(2)+b(1)")
        try:
            weight = float(match[2] or 1)
        except ValueError:
            weight = math.nan
        if not (math.isfinite(weight) and weight > 0):
            raise VoiceError(f"the weight of {match[1]!r} must be a number above 0, not {match[2]}")
        weights[match[1]] = weights.get(match[1], 0.0) + weight
    total = sum(weights.values())
    if not math.isfinite(total):
        raise VoiceError("the weights of the voices are too large")
    return tuple((name, weight / total) for name, weight in weights.items())
