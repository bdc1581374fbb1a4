"""From a script to audio: clause by clause, each made in a worker while the one before is on its way.

What comes out is one stream of samples at one rate, whatever the rates of the engines, with the place of
every word in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Final, final

import attrs
import numpy as np
import trio

from voicetrio.audio.resample import Resampler
from voicetrio.errors import ConfigError
from voicetrio.frames import Samples
from voicetrio.machines.clauses import ClauseSplitter
from voicetrio.runtime.workers import ModelPool
from voicetrio.services.speech.engine import SpeechModel, SpokenClause, VoiceMix
from voicetrio.services.speech.engines import ChosenVoice, Engines
from voicetrio.services.speech_text.script import (
    MarkupError,
    Pause,
    Placeholders,
    Say,
    Script,
    clamp_rate,
    parts_to_speak,
)

if TYPE_CHECKING:
    from voicetrio.services.speech_text.spelling import Pronunciation, SpokenWord

__all__ = [
    "PlacedWord",
    "SpokenPiece",
    "Unspeakable",
    "VoiceRequest",
    "choose_voices",
    "speak_script",
    "speak_texts",
]

PAUSE_STEP_S: Final = 1.0
"""Silence is given in pieces of this length, so that a long pause costs no memory."""
RESAMPLED_AT_ONCE_S: Final = 1.0
"""Audio that is resampled between two checkpoints: a millisecond of work."""
MOST_PAUSES_S: Final = 600.0
READ_AT_ONCE: Final = 2000
"""Characters of a text that are cut into clauses at once: some 5 ms of work."""


class Unspeakable(ConfigError):
    """A text holds nothing that the voice can say."""


@attrs.frozen
class PlacedWord:
    """A word with its place in the audio."""

    text: str
    """As it was written, with its punctuation."""
    start: int
    """First sample."""
    end: int
    """One past the last sample; equal to ``start`` for a word that is not said."""
    spoken: str
    """What was said for it: numbers and symbols in words."""
    voice: str


@attrs.frozen(eq=False)
class SpokenPiece:
    """A stretch of the audio: what was made of one clause, or of a pause."""

    samples: Samples
    """int16 mono, shape ``(n,)``."""
    position: int
    """Of its first sample in the whole."""
    words: tuple[PlacedWord, ...]
    """In the whole.  Their audio may end in the next piece, by the few samples that resampling holds back."""


@attrs.frozen(kw_only=True)
class VoiceRequest:
    """How a script is to be spoken."""

    voices: Mapping[str | None, ChosenVoice]
    """For every voice that the script names; that of ``None`` speaks the rest."""
    rate: int
    """Hertz of the audio."""
    speed: float = 1.0
    normalise: bool = True
    pronunciations: Mapping[str, Pronunciation] = attrs.field(factory=dict)
    """By the word in lower case."""
    gain: float = 1.0
    """Factor on the amplitude, saturating."""


def choose_voices(
    engines: Engines, script: Script, *, model: str | None = None, voice: str | None = None
) -> dict[str | None, ChosenVoice]:
    """Choose every voice of ``script`` now, so that an unknown one is told before anything is spoken.

    Raises UnknownModel, VoiceError, and ConfigError when the pauses add up to more than ten minutes.
    """
    total_s = sum(item.seconds for item in script.items if isinstance(item, Pause))
    if total_s > MOST_PAUSES_S:
        raise MarkupError(f"the pauses add up to {total_s:.0f} s: at most {MOST_PAUSES_S:.0f} s are allowed")
    voices: dict[str | None, ChosenVoice] = {None: engines.choose(model, voice)}
    for name in script.voices:
        voices[name] = engines.choose(model, name)
    return voices


async def speak_script(
    script: Script,
    request: VoiceRequest,
    engines: Engines,
    outlet: trio.abc.SendChannel[SpokenPiece],
    *,
    session: str = "",
) -> None:
    """Speak ``script`` into ``outlet``, piece by piece, contiguous from position 0.

    Args:
        session: whose turn in the pools' round each clause takes.

    Raises Unspeakable when nothing of it can be said, ServiceError when an engine cannot be loaded, and what
    the engine raises.  Cancelling takes effect within the clause that is being made: its thread is left
    behind.
    """
    speaker = _Speaker(request, engines, outlet, session)
    pronunciations = {**request.pronunciations, **script.pronunciations}
    async with AsyncExitStack() as leases:
        for item in script.items:
            match item:
                case Pause(seconds):
                    await speaker.pause(seconds)
                case Say():
                    await speaker.say(item, pronunciations, leases)
        await speaker.finish()


async def speak_texts(
    inlet: trio.abc.ReceiveChannel[str | None],
    request: VoiceRequest,
    engines: Engines,
    outlet: trio.abc.SendChannel[SpokenPiece],
    *,
    session: str = "",
) -> None:
    """Speak a text that is still being written: each clause as soon as it is complete.

    ``inlet`` gives pieces of any length, cut anywhere, white space included; None says that what came so far
    is to be spoken now.  Otherwise as ``speak_script``.
    """
    speaker = _Speaker(request, engines, outlet, session)
    splitter = ClauseSplitter()
    async with AsyncExitStack() as leases:
        async for text in inlet:
            for clause in splitter.flush() if text is None else _clauses(splitter, text):
                await speaker.say(Say(clause), request.pronunciations, leases)
        for clause in splitter.flush():
            await speaker.say(Say(clause), request.pronunciations, leases)
        await speaker.finish()


def _clauses(splitter: ClauseSplitter, text: str) -> Iterator[str]:
    """Yield the clauses that ``text`` completes; a long one is not read at once."""
    for start in range(0, len(text), READ_AT_ONCE):
        yield from splitter.feed(Placeholders.clean(text[start : start + READ_AT_ONCE]))


@final
class _Speaker:
    """The audio of one script: its position, and the resampler of the engine that speaks now."""

    def __init__(
        self,
        request: VoiceRequest,
        engines: Engines,
        outlet: trio.abc.SendChannel[SpokenPiece],
        session: str,
    ) -> None:
        self._request = request
        self._engines = engines
        self._outlet = outlet
        self._session = session
        self._pools: dict[str, ModelPool[SpeechModel]] = {}
        self._resampler: Resampler | None = None
        self._begun_at = 0
        self._fed = 0
        self._position = 0
        self._has_spoken = False

    async def pause(self, seconds: float) -> None:
        """Silence of exactly this length."""
        await self._flush()
        left = round(seconds * self._request.rate)
        step = round(PAUSE_STEP_S * self._request.rate)
        while left:
            await self._give(np.zeros(min(left, step), np.int16), ())
            left -= min(left, step)

    async def say(
        self, item: Say, pronunciations: Mapping[str, Pronunciation], leases: AsyncExitStack
    ) -> None:
        """One text in one voice."""
        await trio.lowlevel.checkpoint()
        chosen = self._request.voices[item.voice]
        parts = parts_to_speak(
            item.text,
            normalise=self._request.normalise,
            pronunciations=pronunciations,
            is_first=not self._has_spoken,
        )
        speed = clamp_rate(self._request.speed * item.rate)
        for words in parts:
            await trio.lowlevel.checkpoint()
            if not any(word.spoken or word.ipa for word in words):
                continue
            pool = await self._pool(chosen, leases)
            speak = partial(_speak, words, chosen.mix, speed)
            clause, rate = await pool.run(speak, session=self._session, name="speak a clause")
            if clause.samples.size:
                await self._take(clause, words, rate, chosen.name)

    async def finish(self) -> None:
        """Give the last samples; raise Unspeakable if none were spoken."""
        if not self._has_spoken:
            raise Unspeakable("the text holds nothing that can be said")
        await self._flush()

    async def _pool(self, chosen: ChosenVoice, leases: AsyncExitStack) -> ModelPool[SpeechModel]:
        await trio.lowlevel.checkpoint()
        name = chosen.engine.name
        if name not in self._pools:
            self._pools[name] = await leases.enter_async_context(self._engines.model(chosen.engine).lease())
        return self._pools[name]

    async def _take(self, clause: SpokenClause, words: Sequence[SpokenWord], rate: int, voice: str) -> None:
        if self._resampler is None or self._resampler.from_hz != rate:
            await self._flush()
            self._resampler = Resampler(rate, self._request.rate)
            self._begun_at, self._fed = self._position, 0
        placed = self._place(clause, words, rate, voice)
        self._has_spoken = True
        step = round(RESAMPLED_AT_ONCE_S * rate)
        parts = []
        for start in range(0, clause.samples.size, step):
            await trio.lowlevel.checkpoint()
            parts.append(self._resampler.feed(clause.samples[start : start + step]))
        self._fed += clause.samples.size
        await self._give(np.concatenate(parts), placed)

    def _place(
        self, clause: SpokenClause, words: Sequence[SpokenWord], rate: int, voice: str
    ) -> tuple[PlacedWord, ...]:
        def at(sample: int) -> int:
            return self._begun_at + (self._fed + sample) * self._request.rate // rate

        placed: list[PlacedWord] = []
        for word, (_, start, end) in zip(words, clause.words, strict=True):
            said = word.ipa or " ".join(word.spoken)
            if word.written or not placed:
                placed.append(PlacedWord(word.written, at(start), at(end), said, voice))
            else:  # the rest of the word before
                last = placed[-1]
                placed[-1] = attrs.evolve(last, end=at(end), spoken=f"{last.spoken} {said}")
        return tuple(placed)

    async def _flush(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._resampler is not None:
            rest = self._resampler.flush()
            self._resampler = None
            await self._give(rest, ())

    async def _give(self, samples: Samples, words: tuple[PlacedWord, ...]) -> None:
        if self._request.gain != 1.0:
            louder = samples.astype(np.float32) * self._request.gain
            samples = np.clip(np.rint(louder), -32768, 32767).astype(np.int16)
        piece = SpokenPiece(samples, self._position, words)
        self._position += samples.size
        if samples.size or words:
            await self._outlet.send(piece)
        else:
            await trio.lowlevel.checkpoint()


def _speak(
    words: Sequence[SpokenWord], mix: VoiceMix, speed: float, model: SpeechModel
) -> tuple[SpokenClause, int]:
    return model.speak(words, mix, speed), model.rate
