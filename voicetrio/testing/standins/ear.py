"""How a stand-in hears a stream: words as they end, pauses, and what was not told yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from voicetrio.testing.standins.speech import Word, WordEar, decode_speech

__all__ = ["Hearing"]


@final
class Hearing:
    """The words of one stream of mono audio.

    Args:
        rate: hertz.
        vocabulary: the words that it knows.
        encoding: ``s16le`` or ``f32le``.
    """

    def __init__(self, rate: int, vocabulary: Iterable[str], encoding: str = "s16le") -> None:
        self._ear = WordEar(rate, vocabulary)
        self._encoding = encoding
        self._since: list[Word] = []
        self._untold_from_s = 0.0
        self._new = False

    @property
    def heard_s(self) -> float:
        """Seconds of audio so far."""
        return self._ear.heard_s

    @property
    def untold(self) -> tuple[Word, ...]:
        """The words since the last ``take``."""
        return tuple(self._since)

    @property
    def untold_from_s(self) -> float:
        """Where the audio begins that no ``take`` covered, in seconds."""
        return self._untold_from_s

    @property
    def pause_s(self) -> float:
        """Seconds since the last word ended; 0 while one is spoken, or before the first."""
        if self._ear.is_in_word or not self._since:
            return 0.0
        return self.heard_s - self._since[-1].end_s

    @property
    def is_speech(self) -> bool:
        """True from a word's first sample until ``take``."""
        return bool(self._since) or self._ear.is_in_word

    def feed(self, data: bytes) -> bool:
        """Hear ``data``; return True when it completed a word."""
        words = self._ear.feed(decode_speech(data, self._encoding))
        self._since += words
        return bool(words)

    def take(self) -> tuple[Word, ...]:
        """Return the words since the last call, the one that is being spoken among them."""
        words = (*self._since, *self._ear.flush())
        self._since.clear()
        self._untold_from_s = self.heard_s
        return words
