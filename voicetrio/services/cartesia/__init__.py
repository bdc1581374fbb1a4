"""Cartesia: speech (Sonic) and recognition (Ink) over WebSockets."""

from __future__ import annotations

from voicetrio.services.cartesia.stt import CartesiaSTT
from voicetrio.services.cartesia.tts import CartesiaTTS
from voicetrio.services.cartesia.turns import CartesiaTurns

__all__ = ["CartesiaSTT", "CartesiaTTS", "CartesiaTurns"]
