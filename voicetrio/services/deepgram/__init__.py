"""Deepgram: recognition (Nova over listen v1, Flux over listen v2) and speech (Aura over speak v1)."""

from __future__ import annotations

from voicetrio.services.deepgram.flux import DeepgramFlux
from voicetrio.services.deepgram.stt import DeepgramSTT
from voicetrio.services.deepgram.tts import DeepgramTTS

__all__ = ["DeepgramFlux", "DeepgramSTT", "DeepgramTTS"]
