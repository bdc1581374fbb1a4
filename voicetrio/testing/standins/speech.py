"""A speech that machines understand without a model: each word is a level, each pause is silence.

A word lasts ``CHAR_S`` for each of its characters, and the space behind it lasts as long.  Its level is made
from its letters, so that a recogniser who knows the vocabulary finds the word again, with exact times.
Stand-ins speak it and understand it; a test that listens can prove that nothing was said, or heard, twice.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Final, final

import attrs
import numpy as np
import numpy.typing as npt

from voicetrio.audio import g711

__all__ = [
    "CHAR_S",
    "VOCABULARY",
    "Word",
    "WordEar",
    "decode_speech",
    "encode_speech",
    "hear_words",
    "speak_words",
    "word_times",
]

CHAR_S: Final = 0.06
"""Seconds; a whole number of samples at 8, 16, 22.05, 24, 32, 44.1 and 48 kHz."""
LEVELS: Final = range(1000, 31000)
SHORTEST_S: Final = 0.75 * CHAR_S
"""A shorter run of one level is noise, or the torn end of a word."""

VOCABULARY: Final = tuple(
    "zero one two three four five six seven eight nine ten yes no hello goodbye please stop go forward "
    "backward left right meters the story of a small house by river and its people who never slept well "
    "what time is it tell me weather today was sunny but cold they said to each other every morning".split()
)
"""What the stand-ins understand unless they are told otherwise."""

Samples = npt.NDArray[np.int16]


@attrs.frozen
class Word:
    """One word with its place, in seconds from the beginning of the audio."""

    text: str
    start_s: float
    end_s: float


def _key(word: str) -> str:
    return "".join(character for character in word.casefold() if character.isalnum())


def _level(word: str) -> int:
    return LEVELS[zlib.crc32(_key(word).encode()) % len(LEVELS)]


def word_times(text: str) -> tuple[Word, ...]:
    """Return the words of ``text`` with the times at which ``speak_words`` speaks them."""
    words = []
    at = 0
    for word in text.split():
        words.append(Word(word, at * CHAR_S, (at + len(word)) * CHAR_S))
        at += len(word) + 1
    return tuple(words)


def speak_words(text: str, rate: int) -> Samples:
    """Return mono int16 samples of ``text``, with the pause of one character behind each word."""
    step = round(CHAR_S * rate)
    pieces = [
        np.repeat(np.array([_level(word), 0], np.int16), [len(word) * step, step]) for word in text.split()
    ]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int16)


def encode_speech(samples: Samples, encoding: str) -> bytes:
    """Return ``samples`` as ``s16le``, ``f32le``, ``mulaw`` or ``alaw`` (these two keep levels roughly)."""
    match encoding:
        case "s16le":
            return samples.astype("<i2").tobytes()
        case "f32le":
            return bytes((samples / np.float32(32768)).astype("<f4").tobytes())
        case "mulaw":
            return g711.mulaw_encode(samples)
        case "alaw":
            return g711.alaw_encode(samples)
    raise ValueError(f"the stand-in does not speak {encoding}")


def decode_speech(data: bytes, encoding: str) -> Samples:
    """Return mono int16 samples of ``s16le`` or ``f32le`` audio."""
    samples: Samples
    if encoding == "f32le":
        samples = np.rint(np.frombuffer(data, "<f4") * 32768).astype(np.int16)
        return samples
    return np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.int16)


def hear_words(samples: Samples, rate: int, vocabulary: Iterable[str] = VOCABULARY) -> tuple[Word, ...]:
    """Return the words in ``samples``; levels that no word of ``vocabulary`` has are not heard."""
    ear = WordEar(rate, vocabulary)
    return (*ear.feed(samples), *ear.flush())


@final
class WordEar:
    """Hears words in a stream of audio; a word is complete when another level begins."""

    def __init__(self, rate: int, vocabulary: Iterable[str] = VOCABULARY) -> None:
        self._rate = rate
        self._words = {_level(word): word for word in vocabulary}
        self._level = 0
        self._start = 0
        self._end = 0

    @property
    def heard_s(self) -> float:
        """Seconds of audio so far."""
        return self._end / self._rate

    @property
    def is_in_word(self) -> bool:
        """True while a word is being spoken."""
        return self._level in self._words

    def feed(self, samples: Samples) -> list[Word]:
        """Hear ``samples``; return the words that are complete by them."""
        words = []
        for level, count in _runs(samples):
            if level != self._level:
                words += self.flush()
                self._level, self._start = level, self._end
            self._end += count
        return words

    def flush(self) -> list[Word]:
        """Return the word that is being spoken, as far as it was."""
        word = self._words.get(self._level)
        start_s, end_s = self._start / self._rate, self._end / self._rate
        self._level, self._start = 0, self._end
        return [Word(word, start_s, end_s)] if word is not None and end_s - start_s >= SHORTEST_S else []


def _runs(samples: Samples) -> Iterator[tuple[int, int]]:
    """Yield each level and how long it lasts, in samples."""
    if len(samples):
        edges = np.flatnonzero(np.diff(samples)) + 1
        starts = np.concatenate([[0], edges])
        counts = np.diff(np.concatenate([starts, [len(samples)]]))
        for start, count in zip(starts, counts, strict=True):
            yield int(samples[start]), int(count)
