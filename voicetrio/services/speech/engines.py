"""The engines of one server or one command: which model and voice a request means, and their loaded
models."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, final

import attrs

from voicetrio.errors import ConfigError
from voicetrio.runtime.idle_models import IdleModel, IdleModelStatistics, open_idle_model
from voicetrio.runtime.workers import Runner
from voicetrio.services.speech.engine import (
    SpeechEngine,
    SpeechModel,
    Voice,
    VoiceError,
    VoiceMix,
    parse_voice,
)

__all__ = ["MODEL_ALIASES", "VOICE_ALIASES", "ChosenVoice", "Engines", "UnknownModel", "open_engines"]

MODEL_ALIASES: Final = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
"""Names of OpenAI's models: each means the default engine, and its voices may be of any engine."""

VOICE_ALIASES: Final = (
    "alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer",
    "verse",
)  # fmt: skip
"""Names of OpenAI's voices: they are dealt to the voices of the engine in turn."""


class UnknownModel(ConfigError):
    """A request names a model that there is not."""


@attrs.frozen
class ChosenVoice:
    """A voice, or a mix, of one engine."""

    engine: SpeechEngine
    mix: VoiceMix

    @property
    def name(self) -> str:
        """The voice, or the mix with its weights."""
        if len(self.mix) == 1:
            return self.mix[0][0]
        return "+".join(f"{name}({weight:g})" for name, weight in self.mix)


@final
class Engines:
    """Engines with the models that are loaded.  Made by ``open_engines``."""

    def __init__(self, models: dict[str, tuple[SpeechEngine, IdleModel[SpeechModel]]]) -> None:
        self._models = models

    @property
    def all(self) -> tuple[SpeechEngine, ...]:
        """Every engine; the first is the default."""
        return tuple(engine for engine, _ in self._models.values())

    @property
    def default(self) -> SpeechEngine:
        """The engine of requests that name none of ours."""
        return self.all[0]

    def voices(self) -> list[tuple[SpeechEngine, Voice]]:
        """Return every voice with its engine."""
        return [(engine, voice) for engine in self.all for voice in engine.voices]

    def model(self, engine: SpeechEngine) -> IdleModel[SpeechModel]:
        """Return the model of ``engine``, to be leased."""
        return self._models[engine.name][1]

    def choose(self, model: str | None = None, voice: str | None = None) -> ChosenVoice:
        """Return the voice that a request means.

        A model that is one of our engines has the voices of that engine only; with OpenAI's names, or without
        a model, any engine's voice can be named.  Without a voice it is the engine's first one.

        Raises UnknownModel, and VoiceError, which lists the voices that there are.
        """
        engines = self._engines_of(model)
        if voice is None:
            return ChosenVoice(engines[0], ((engines[0].voices[0].name, 1.0),))
        mix = parse_voice(voice)
        for engine in engines:
            known = {each.name for each in engine.voices}
            if all(name in known for name, _ in mix):
                if len(mix) > 1 and not engine.can_mix:
                    raise VoiceError(f"the voices of {engine.name} cannot be mixed: name one of them")
                return ChosenVoice(engine, mix)
        if len(mix) == 1 and mix[0][0].lower() in VOICE_ALIASES:
            voices = engines[0].voices
            index = VOICE_ALIASES.index(mix[0][0].lower()) % len(voices)
            return ChosenVoice(engines[0], ((voices[index].name, 1.0),))
        names = sorted(each.name for engine in engines for each in engine.voices)
        unknown = next((name for name, _ in mix if name not in names), None)
        if unknown is None:
            raise VoiceError("the voices of a mix must belong to one engine")
        listed = ", ".join(names[:40]) + (", …" if len(names) > 40 else "")
        raise VoiceError(f"there is no voice {unknown!r}: choose from {listed}, or one of OpenAI's names")

    def statistics(self) -> list[IdleModelStatistics]:
        """Return the counts of every engine so far."""
        return [model.statistics() for _, model in self._models.values()]

    def _engines_of(self, model: str | None) -> tuple[SpeechEngine, ...]:
        if model is None or model in MODEL_ALIASES:
            return self.all
        if model in self._models:
            return (self._models[model][0],)
        raise UnknownModel(
            f"there is no model {model[:100]!r}: choose from {', '.join((*self._models, *MODEL_ALIASES))}"
        )


@asynccontextmanager
async def open_engines(
    engines: Sequence[SpeechEngine],
    *,
    workers: int = 1,
    idle_s: float = math.inf,
    runner: Runner | None = None,
) -> AsyncIterator[Engines]:
    """Offer ``engines``, none of them loaded yet, until the block is left.

    Args:
        engines: the first is the default.
        workers: clauses that an engine can work on at once, each on one thread.
        idle_s: seconds without a request after which an engine is unloaded.
        runner: how the models' calls run; by default in threads.

    Raises ConfigError without an engine, and for two of one name.
    """
    if not engines:
        raise ConfigError("give at least one speech engine")
    models: dict[str, tuple[SpeechEngine, IdleModel[SpeechModel]]] = {}
    async with AsyncExitStack() as stack:
        for engine in engines:
            if engine.name in models:
                raise ConfigError(f"two engines are called {engine.name!r}")
            model = await stack.enter_async_context(
                open_idle_model(
                    engine.name,
                    engine.load,
                    size=workers,
                    reentrant=engine.is_reentrant,
                    idle_s=idle_s,
                    runner=runner,
                )
            )
            models[engine.name] = (engine, model)
        yield Engines(models)
