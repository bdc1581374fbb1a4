"""Piper voices as an engine; see ``voicetrio.services.local.piper``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, final

from voicetrio.services.local.piper import PiperVoice, load_piper
from voicetrio.services.speech.engine import SpokenClause, Voice, VoiceMix

if TYPE_CHECKING:
    from voicetrio.services.speech_text.spelling import SpokenWord

__all__ = ["PiperEngine"]


@final
class PiperEngine:
    """One Piper voice.

    Args:
        path: an ``.onnx`` file with its ``.onnx.json`` beside it; by default the packaged voice, "joe".
        name: of the engine.
        voice: what its voice is called; by default as its file.
    """

    can_mix = False
    is_reentrant = True

    def __init__(
        self, path: str | Path | None = None, *, name: str = "piper", voice: str | None = None
    ) -> None:
        self.name = name
        self._path = path
        voice = voice or ("joe" if path is None else Path(path).stem)
        self.voices = (Voice(voice, "en-US", "a Piper voice, 22 kHz"),)

    def load(self) -> _PiperModel:
        """Load the voice; some seconds.  Raises as ``load_piper``."""
        return _PiperModel(load_piper(self._path))


@final
class _PiperModel:
    def __init__(self, voice: PiperVoice) -> None:
        self._voice = voice
        self.rate = voice.rate

    def speak(self, words: Sequence[SpokenWord], voice: VoiceMix, speed: float) -> SpokenClause:
        return self._voice.speak_words(words, speed=speed)

    def phonemize(self, words: Sequence[SpokenWord]) -> str:
        return self._voice.phonemize(words)
