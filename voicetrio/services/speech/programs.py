"""Engines that are programs of the system: espeak-ng and flite, used where they are installed.

A program is started for every clause (some ten milliseconds) and writes a WAV file to its output.  It is
never given a shell, and the text goes in by its standard input or as one argument, so nothing in a text can
be a command.  These programs tell no word times: a clause's time is divided by the letters of what is said.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from typing import Final, final

import numpy as np

from voicetrio.audio.pcm import voiced_span
from voicetrio.audio.wav import read_wav
from voicetrio.errors import ConfigError, ServiceError
from voicetrio.frames import Samples
from voicetrio.services.speech.engine import SpokenClause, Voice, VoiceMix
from voicetrio.services.speech_text.spelling import SpokenWord

__all__ = ["EspeakEngine", "FliteEngine"]

LONGEST_RUN_S: Final = 30.0
"""A program that takes longer for a clause is ended."""
ESPEAK_WORDS_A_MINUTE: Final = 165
LEAD_S: Final = 0.02
TRAIL_S: Final = 0.15
SILENT_DBFS: Final = -50.0


@final
class EspeakEngine:
    """espeak-ng: formant synthesis, many languages, instant.  It is licensed under the GPL, and runs
    apart."""

    name = "espeak-ng"
    can_mix = False
    is_reentrant = True
    voices: Sequence[Voice] = (
        Voice("en-us", "en-US", "formant synthesis"),
        Voice("en-gb", "en-GB", "formant synthesis"),
        Voice("en-gb-scotland", "en-GB", "formant synthesis"),
    )

    @property
    def is_installed(self) -> bool:
        """True if the program is there."""
        return shutil.which("espeak-ng") is not None

    def load(self) -> _Espeak:
        """Find the program.  Raises ConfigError."""
        return _Espeak(_find("espeak-ng"))


@final
class FliteEngine:
    """flite: small recorded voices; a robot that is understood well."""

    name = "flite"
    can_mix = False
    is_reentrant = True
    voices: Sequence[Voice] = (
        Voice("slt", "en-US", "a woman"),
        Voice("rms", "en-US", "a man"),
        Voice("awb", "en-GB", "a man from Scotland"),
        Voice("kal16", "en-US", "a man, diphones"),
    )

    @property
    def is_installed(self) -> bool:
        """True if the program is there."""
        return shutil.which("flite") is not None

    def load(self) -> _Flite:
        """Find the program.  Raises ConfigError."""
        return _Flite(_find("flite"))


@final
class _Espeak:
    rate = 22_050

    def __init__(self, program: str) -> None:
        self._program = program

    def speak(self, words: Sequence[SpokenWord], voice: VoiceMix, speed: float) -> SpokenClause:
        pace = round(ESPEAK_WORDS_A_MINUTE * speed)
        command = [self._program, "-v", voice[0][0], "-s", str(pace), "--stdin", "--stdout"]
        return _place(words, _run(command, _text(words), self.rate), self.rate)

    def phonemize(self, words: Sequence[SpokenWord]) -> str:
        done = _call([self._program, "-q", "--ipa", "--stdin"], _text(words).encode())
        return " ".join(done.decode(errors="replace").split())


@final
class _Flite:
    rate = 16_000

    def __init__(self, program: str) -> None:
        self._program = program

    def speak(self, words: Sequence[SpokenWord], voice: VoiceMix, speed: float) -> SpokenClause:
        command = [self._program, "-voice", voice[0][0], "--setf", f"duration_stretch={1 / speed:.3f}"]
        return _place(
            words, _run([*command, "-t", _text(words), "-o", "/dev/stdout"], "", self.rate), self.rate
        )

    def phonemize(self, words: Sequence[SpokenWord]) -> str:
        raise ConfigError("flite tells no phonemes in IPA: use another model")


def _find(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise ConfigError(f"{program} is not installed: install the system's package {program}")
    return path


def _text(words: Sequence[SpokenWord]) -> str:
    # A pronunciation in IPA cannot be given to these programs: the written word is said.
    return " ".join(
        (" ".join(word.spoken) if word.spoken else _printable(word.written) if word.ipa else "") + word.pause
        for word in words
    )


def _printable(written: str) -> str:
    """Return what can be an argument of a program: no control characters, no half ones."""
    return "".join(character for character in written if character.isprintable())


def _run(command: list[str], text: str, rate: int) -> Samples:
    body = _call(command, text.encode())
    samples, got = read_wav(body)
    if got != rate:
        raise ServiceError(f"gave audio of {got} Hz, not {rate} Hz", service=command[0])
    return samples


def _call(command: list[str], text: bytes) -> bytes:
    name = command[0].rpartition("/")[2]
    try:
        done = subprocess.run(command, input=text, capture_output=True, timeout=LONGEST_RUN_S, check=False)
    except subprocess.TimeoutExpired:
        raise ServiceError(f"took longer than {LONGEST_RUN_S:g} s", service=name) from None
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip() or f"ended with status {done.returncode}"
        raise ServiceError(why, service=name)
    return done.stdout


def _place(words: Sequence[SpokenWord], samples: Samples, rate: int) -> SpokenClause:
    """Give each word its share of the sound."""
    span = voiced_span(samples, rate, SILENT_DBFS)
    if span is None:
        return SpokenClause(np.zeros(0, np.int16), tuple((word.written, 0, 0) for word in words))
    first = max(0, span[0] - round(LEAD_S * rate))
    last = min(samples.size, span[1] + round(TRAIL_S * rate))
    lengths = [len(" ".join(word.spoken)) or (len(word.written) if word.ipa else 0) for word in words]
    sounding = (span[1] - span[0]) / max(1, sum(lengths))
    placed = []
    at = float(span[0] - first)
    for word, length in zip(words, lengths, strict=True):
        end = at + length * sounding
        placed.append((word.written, round(at), round(end)))
        at = end
    return SpokenClause(samples[first:last], tuple(placed))
