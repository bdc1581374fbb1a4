"""AssemblyAI: recognition over its streaming API, version 3."""

from __future__ import annotations

from voicetrio.services.assemblyai.stt import AssemblyAISTT

__all__ = ["AssemblyAISTT"]
