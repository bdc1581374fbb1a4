"""Cartesia: speech (Sonic) and recognition (Ink) over WebSockets."""

from __future__ import annotations

from voicetrio.services.cartesia.stt import CartesiaSTT
from voicetrio.services.cartesia.tts import CartesiaTTS

__all__ = ["CartesiaSTT", "CartesiaTTS"]
