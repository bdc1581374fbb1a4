"""The engines that this machine has."""

from __future__ import annotations

from collections.abc import Sequence

from voicetrio.errors import ConfigError
from voicetrio.services.speech.engine import SpeechEngine
from voicetrio.services.speech.kokoro import KokoroEngine
from voicetrio.services.speech.piper import PiperEngine
from voicetrio.services.speech.programs import EspeakEngine, FliteEngine

__all__ = ["available_engines"]


def available_engines(names: Sequence[str] = ()) -> list[SpeechEngine]:
    """Return the engines that are installed, the packaged Piper voice first.

    Args:
        names: only these, in this order; one that is not installed is then told when it is loaded.

    Raises ConfigError for an unknown name.
    """
    engines: dict[str, SpeechEngine] = {
        engine.name: engine for engine in (PiperEngine(), KokoroEngine(), FliteEngine(), EspeakEngine())
    }
    if not names:
        return [engine for engine in engines.values() if engine.name == "piper" or _is_installed(engine)]
    for name in names:
        if name not in engines:
            raise ConfigError(f"there is no engine {name!r}: choose from {', '.join(engines)}")
    return [engines[name] for name in dict.fromkeys(names)]


def _is_installed(engine: SpeechEngine) -> bool:
    return bool(getattr(engine, "is_installed", True))
