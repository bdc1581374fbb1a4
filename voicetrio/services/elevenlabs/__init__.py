"""ElevenLabs: speech over one socket with several contexts, and realtime recognition (Scribe)."""

from __future__ import annotations

from voicetrio.services.elevenlabs.stt import ElevenLabsSTT
from voicetrio.services.elevenlabs.tts import ElevenLabsTTS

__all__ = ["ElevenLabsSTT", "ElevenLabsTTS"]
