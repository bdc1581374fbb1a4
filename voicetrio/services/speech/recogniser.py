"""Recordings to text: cut where it is quiet, recognised part by part.

Whisper decodes half a minute at once.  A longer recording is cut into parts at its quietest places; parts
that hold no sound are not decoded, because a recogniser hears words in silence.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, Protocol, final

import attrs
import numpy as np
import trio

from voicetrio.audio.pcm import dbfs
from voicetrio.audio.resample import Resampler
from voicetrio.errors import ConfigError
from voicetrio.frames import Samples
from voicetrio.runtime.idle_models import IdleModel, IdleModelStatistics, open_idle_model
from voicetrio.runtime.workers import Runner
from voicetrio.services.local.stt import Recognised, load_whisper

__all__ = ["RecognisedPart", "Recogniser", "SpeechDecoder", "open_recogniser"]

RATE_HZ: Final = 16_000
LONGEST_PART_S: Final = 25.0
QUIET_WITHIN_S: Final = 8.0
"""A part is cut at the quietest place of this stretch at its end..."""
QUIET_WINDOW_S: Final = 0.2
"""...measured over windows of this length."""
SILENT_DBFS: Final = -65.0
"""A part whose loudest second is quieter than this holds no speech."""


class SpeechDecoder(Protocol):
    """A loaded recogniser; calls block, and come from worker threads."""

    def decode(self, samples: Samples, rate: int) -> Recognised:
        """Return what is said in at most 25 s of int16 mono audio at 16 kHz."""
        ...


@attrs.frozen
class RecognisedPart:
    """A part of a recording; times are seconds in the recording."""

    start_s: float
    end_s: float
    text: str
    """Empty: nothing was understood."""
    words: tuple[tuple[str, float, float], ...]
    """``(word, start, end)``."""
    no_speech: float
    """The model's probability that this is no speech."""
    logprob: float
    """The mean log probability of a token."""


@final
class Recogniser:
    """A recogniser that is loaded when it is wanted.  Made by ``open_recogniser``."""

    rate: Final = RATE_HZ
    """Hertz that it works at; a recording of another rate is resampled."""

    def __init__(self, model: IdleModel[SpeechDecoder], names: tuple[str, ...]) -> None:
        self._model = model
        self.names = names
        """As a request's ``model`` names it; the first is its own."""

    async def recognise(
        self, samples: Samples, rate: int, outlet: trio.abc.SendChannel[RecognisedPart], *, session: str = ""
    ) -> None:
        """Send the parts of a recording, in order.

        Args:
            samples: int16 mono, shape ``(n,)``, at ``rate`` hertz.
            session: whose turn in the pool's round each decode takes.

        Raises ServiceError when the model cannot be loaded.  Cancelling leaves the decode in hand behind.
        """
        audio = await _resampled(samples, rate)
        async with self._model.lease() as pool:
            for start, end in _cuts(audio):
                await trio.lowlevel.checkpoint()
                part = audio[start:end]
                if _is_silent(part):
                    continue
                found: Recognised = await pool.run(
                    partial(_decode, part), session=session, name="decode a part of a recording"
                )
                at = start / RATE_HZ
                words = tuple((word, at + first, at + last) for word, first, last in found.words)
                await outlet.send(
                    RecognisedPart(at, end / RATE_HZ, found.text, words, found.no_speech, found.logprob)
                )

    def unload(self) -> bool:
        """Unload the model once nobody uses it; return whether it was loaded."""
        return self._model.unload()

    def statistics(self) -> IdleModelStatistics:
        """Return the counts so far."""
        return self._model.statistics()


def _decode(part: Samples, model: SpeechDecoder) -> Recognised:
    return model.decode(part, RATE_HZ)


async def _resampled(samples: Samples, rate: int) -> Samples:
    """Bring a recording to the model's rate, a minute at a time: some 50 ms of work each, in a thread."""
    await trio.lowlevel.checkpoint()
    if rate == RATE_HZ:
        return samples
    resampler = Resampler(rate, RATE_HZ)
    minutes = [samples[start : start + 60 * rate] for start in range(0, samples.size, 60 * rate)]
    parts = [await trio.to_thread.run_sync(resampler.feed, minute) for minute in minutes]
    return np.concatenate([*parts, resampler.flush()])


def _is_silent(part: Samples) -> bool:
    return all(dbfs(part[at : at + RATE_HZ]) < SILENT_DBFS for at in range(0, part.size, RATE_HZ))


def _cuts(audio: Samples) -> Iterator[tuple[int, int]]:
    """Yield the first and last samples of parts that a model can decode."""
    longest = round(LONGEST_PART_S * RATE_HZ)
    start = 0
    while audio.size - start > longest:
        first = start + longest - round(QUIET_WITHIN_S * RATE_HZ)
        end = first + _quietest(audio[first : start + longest])
        yield start, end
        start = end
    if start < audio.size:
        yield start, audio.size


def _quietest(stretch: Samples) -> int:
    """Return the middle of the quietest window."""
    window = round(QUIET_WINDOW_S * RATE_HZ)
    energy = np.concatenate(([0.0], np.cumsum(np.square(stretch.astype(np.float64)))))
    step = window // 8
    sums = energy[window::step] - energy[:-window:step]
    return int(np.argmin(sums)) * step + window // 2


@asynccontextmanager
async def open_recogniser(
    path: str | Path | None = None,
    *,
    workers: int = 1,
    idle_s: float = math.inf,
    runner: Runner | None = None,
    decoder: SpeechDecoder | None = None,
) -> AsyncIterator[Recogniser]:
    """Offer a recogniser, not loaded yet, until the block is left.

    Args:
        path: directory of another Whisper model; by default the packaged one, which knows English only.
        workers: decodes that are worked on at once.
        idle_s: seconds without a request after which the model is unloaded.
        runner: how decodes run; by default in threads.
        decoder: one that is loaded already, instead of Whisper.
    """
    if workers < 1:
        raise ConfigError(f"a recogniser needs at least 1 worker, not {workers}")

    def load() -> SpeechDecoder:
        return decoder if decoder is not None else load_whisper(path, workers=workers)

    name = "whisper-tiny.en" if path is None else Path(path).name
    async with open_idle_model(
        name, load, size=workers, reentrant=True, idle_s=idle_s, runner=runner
    ) as model:
        yield Recogniser(model, (name, "whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe"))
