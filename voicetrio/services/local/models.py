"""The embedded models, loaded once for a process and shared by its sessions."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, final

import attrs
import trio

from voicetrio.errors import ConfigError
from voicetrio.runtime.workers import ModelPool, Runner, WorkerStatistics, open_model_pool, open_workers
from voicetrio.services.local.bot import RuleBot
from voicetrio.services.local.piper import PiperVoice, load_piper
from voicetrio.services.local.stt import Whisper, load_whisper, pooled_transcribe
from voicetrio.services.local.tts import PiperTTS
from voicetrio.services.local.vad import EarshotVAD
from voicetrio.services.segments import SegmentedSTT

__all__ = ["LocalModels", "LocalStatistics", "open_models"]

RECOGNISER, VOICE = "speech recognition", "voice"


@attrs.frozen
class LocalStatistics:
    """What the pools of the models have done so far."""

    stt: WorkerStatistics
    tts: WorkerStatistics
    load_s: dict[str, float]
    """Seconds that each model took to load."""


@final
class LocalModels:
    """Models that are loaded.  Each method makes what one session needs; made by ``open_models``."""

    def __init__(
        self,
        stt_pool: ModelPool[Whisper],
        tts_pool: ModelPool[PiperVoice],
        *,
        voice_rate: int,
        speed: float,
        now: Callable[[], datetime.datetime],
        load_s: dict[str, float],
    ) -> None:
        self._stt_pool = stt_pool
        self._tts_pool = tts_pool
        self._voice_rate = voice_rate
        self._speed = speed
        self._now = now
        self._load_s = load_s

    def vad(self) -> EarshotVAD:
        """Make the voice activity detector of one stream."""
        return EarshotVAD()

    def stt(self, *, preroll_s: float = 0.5) -> SegmentedSTT:
        """Make the recogniser of one session."""
        return SegmentedSTT(pooled_transcribe(self._stt_pool), preroll_s=preroll_s)

    def tts(self, *, speed: float | None = None) -> PiperTTS:
        """Make the voice of one session; ``speed`` as of ``PiperTTS``, by default that of ``open_models``."""
        return PiperTTS(self._tts_pool, rate=self._voice_rate, speed=self._speed if speed is None else speed)

    def llm(self) -> RuleBot:
        """Make the bot that answers by rules."""
        return RuleBot(now=self._now)

    def statistics(self) -> LocalStatistics:
        """Return the counts so far."""
        return LocalStatistics(self._stt_pool.statistics(), self._tts_pool.statistics(), dict(self._load_s))


@asynccontextmanager
async def open_models(
    *,
    workers: int = 1,
    whisper: str | Path | None = None,
    voice: str | Path | None = None,
    language: str = "en",
    speed: float = 1.0,
    now: Callable[[], datetime.datetime] = datetime.datetime.now,
    on_progress: Callable[[str, bool], object] | None = None,
    runner: Runner | None = None,
) -> AsyncIterator[LocalModels]:
    """Load the models, each once, side by side in threads, and keep them until the block is left.

    Leaving the block waits a moment for the calls in hand.  Cancelling the load abandons it: a thread that is
    loading ends by itself.

    Args:
        workers: how many decodes, and how many clauses, can be worked on at once, each on one thread.
        whisper: directory of another Whisper model in CTranslate2's format.
        voice: another English Piper voice: its ``.onnx`` file, with its ``.onnx.json`` beside it.
        language: of the speech, for multilingual Whisper models.
        speed: of the voice; 2 is twice as fast.
        now: the local time that the bot tells.
        on_progress: called as ``on_progress(name, done)`` when the load of a model begins and when it ends.
        runner: how the models' calls run; by default in threads.

    Raises MissingExtra when the extra ``local`` is not installed, ConfigError for a path without a model.
    """
    if workers < 1:
        raise ConfigError(f"models need at least 1 worker, not {workers}")
    EarshotVAD()  # it is loaded with its package, so this tells at once whether that is there
    models, load_s = await _load_all(
        {
            RECOGNISER: lambda: load_whisper(whisper, workers=workers, language=language),
            VOICE: lambda: load_piper(voice),
        },
        on_progress,
        runner,
    )
    async with (
        open_model_pool(
            "stt", lambda: models[RECOGNISER], size=workers, reentrant=True, runner=runner
        ) as stt,
        open_model_pool("tts", lambda: models[VOICE], size=workers, reentrant=True, runner=runner) as tts,
    ):
        rate = models[VOICE].rate
        yield LocalModels(stt, tts, voice_rate=rate, speed=speed, now=now, load_s=load_s)


async def _load_all(
    loads: Mapping[str, Callable[[], Any]],
    on_progress: Callable[[str, bool], object] | None,
    runner: Runner | None,
) -> tuple[dict[str, Any], dict[str, float]]:
    """Call the functions of ``loads`` side by side; return what they return, and how long each took."""
    loaded: dict[str, Any] = {}
    load_s: dict[str, float] = {}
    failures: list[Exception] = []

    async def load(name: str, factory: Callable[[], Any]) -> None:
        await trio.lowlevel.checkpoint()
        began = trio.current_time()
        try:
            if on_progress is not None:
                on_progress(name, False)
            loaded[name] = await threads.run(factory, name=f"load {name}")
            load_s[name] = trio.current_time() - began
            if on_progress is not None:
                on_progress(name, True)
        except Exception as error:
            # Raised below, outside of the nursery, which would wrap it in a group.
            failures.append(error)
            nursery.cancel_scope.cancel("a model could not be loaded")

    async with open_workers("load", workers=len(loads), runner=runner) as threads:
        async with trio.open_nursery() as nursery:
            for name, factory in loads.items():
                nursery.start_soon(load, name, factory)
    if failures:
        # One plain error, whatever the number: most often the second has the same cause.
        first, *others = failures
        for other in others:
            first.add_note(f"besides: {other}")
        raise first
    return loaded, load_s
