"""The embedded models: they run in this process, need no key, no server and no download.

``async with open_models() as models`` loads them; ``models`` makes what a session needs.
"""

from __future__ import annotations

from voicetrio.services.local.bot import RuleBot
from voicetrio.services.local.models import LocalModels, LocalStatistics, open_models
from voicetrio.services.local.tts import PiperTTS
from voicetrio.services.local.vad import EarshotVAD

__all__ = ["EarshotVAD", "LocalModels", "LocalStatistics", "PiperTTS", "RuleBot", "open_models"]
