"""The vendors' voices and recognisers, each with its stand-in, as the tests of all of them use them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from voicetrio.services.assemblyai import AssemblyAISTT
from voicetrio.services.cartesia import CartesiaSTT, CartesiaTTS
from voicetrio.services.deepgram import DeepgramFlux, DeepgramSTT, DeepgramTTS
from voicetrio.services.elevenlabs import ElevenLabsSTT, ElevenLabsTTS
from voicetrio.testing.standins.assemblyai import AssemblyAIStandin
from voicetrio.testing.standins.cartesia import CartesiaStandin
from voicetrio.testing.standins.deepgram import DeepgramStandin
from voicetrio.testing.standins.elevenlabs import ElevenLabsStandin
from voicetrio.testing.standins.server import Standin


@attrs.frozen
class Kind:
    """One service of one vendor."""

    name: str
    standin: Callable[..., Standin]
    make: Callable[..., Any]
    variable: str
    """Of the environment, for its key."""

    def client(self, standin: Standin, **options: Any) -> Any:
        """Return a client that reaches ``standin`` in memory."""
        return self.make(**{"api_key": standin.key, "url": standin.url, "dial": standin.dial, **options})


def _voice(make: Callable[..., Any]) -> Callable[..., Any]:
    return lambda **options: make("voice-1", **options)


VOICES = [
    Kind("cartesia", CartesiaStandin, _voice(CartesiaTTS), "CARTESIA_API_KEY"),
    Kind("deepgram", DeepgramStandin, DeepgramTTS, "DEEPGRAM_API_KEY"),
    Kind("elevenlabs", ElevenLabsStandin, _voice(ElevenLabsTTS), "ELEVENLABS_API_KEY"),
]
RECOGNISERS = [
    Kind("cartesia", CartesiaStandin, CartesiaSTT, "CARTESIA_API_KEY"),
    Kind("deepgram", DeepgramStandin, DeepgramSTT, "DEEPGRAM_API_KEY"),
    Kind("flux", DeepgramStandin, DeepgramFlux, "DEEPGRAM_API_KEY"),
    Kind("elevenlabs", ElevenLabsStandin, ElevenLabsSTT, "ELEVENLABS_API_KEY"),
    Kind("assemblyai", AssemblyAIStandin, AssemblyAISTT, "ASSEMBLYAI_API_KEY"),
]
