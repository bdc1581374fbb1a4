"""What the tests of vendors' clients share: a reply to speak, speech to hear, and what came of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import numpy as np
import trio

from voicetrio.events import Event, Transcript
from voicetrio.frames import AudioFrame, TextFrame, WordFrame
from voicetrio.runtime.emit import EventHub, emitting_to
from voicetrio.services.stt import STT, SpeechBoundary, SttInput
from voicetrio.services.tts import TTS
from voicetrio.testing.standins.speech import CHAR_S, VOCABULARY, hear_words, speak_words

FRAME_S = 0.04


@attrs.define
class Spoken:
    """What a voice gave."""

    rate: int
    frames: list[AudioFrame] = attrs.Factory(list)
    words: list[WordFrame] = attrs.Factory(list)
    first_audio_at: float | None = None

    @property
    def text(self) -> str:
        """The words as they were given."""
        return " ".join(word.text for word in self.words)

    @property
    def samples(self) -> Any:
        return (
            np.concatenate([frame.samples for frame in self.frames]) if self.frames else np.zeros(0, np.int16)
        )

    @property
    def heard(self) -> str:
        """What an ear makes of the audio; it knows the words that were given."""
        vocabulary = [*VOCABULARY, *self.text.split()]
        return " ".join(word.text for word in hear_words(self.samples, self.rate, vocabulary))

    def check(self) -> None:
        """Audio is contiguous from 0, and words lie in it, in order."""
        position = 0
        for frame in self.frames:
            assert frame.position == position
            position = frame.end
        starts = [word.start for word in self.words]
        assert starts == sorted(starts)
        assert all(0 <= word.start <= word.end <= position for word in self.words)


async def speak(tts: TTS, *texts: str | float) -> Spoken:
    """Let ``tts`` speak ``texts``; a number is a wait in seconds.  Raises what ``speak`` raised, as it is."""
    failures: list[Exception] = []
    spoken = Spoken(tts.rate)
    to_voice, clauses = trio.open_memory_channel[TextFrame](10)
    to_ear, audio = trio.open_memory_channel[Any](0)

    async def feed() -> None:
        async with to_voice:
            for text in texts:
                if isinstance(text, str):
                    await to_voice.send(TextFrame(text))
                else:
                    await trio.sleep(text)

    async def voice() -> None:
        async with to_ear, clauses:
            try:
                await tts.speak(clauses, to_ear)
            except Exception as error:
                failures.append(error)
                nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed)
        nursery.start_soon(voice)
        nursery.cancel_scope.deadline = trio.current_time() + 1000
        async for frame in audio:
            if isinstance(frame, AudioFrame):
                spoken.first_audio_at = spoken.first_audio_at or trio.current_time()
                spoken.frames.append(frame)
            else:
                spoken.words.append(frame)
    if failures:
        raise failures[0]
    spoken.check()
    return spoken


def speech(rate: int, *parts: str | float, position: int = 0) -> tuple[list[SttInput], list[SpeechBoundary]]:
    """Return frames of ``parts`` (words, or a pause in seconds) with the boundaries that a VAD would tell.

    A start is told 0.1 s late, a stop 0.25 s late, as far as there is audio.
    """
    told: list[tuple[int, SpeechBoundary]] = []
    pieces = []
    at = position
    for part in parts:
        if isinstance(part, str):
            samples = speak_words(part, rate)
            end = at + len(samples) - round(CHAR_S * rate)
            told.append((at + round(0.1 * rate), SpeechBoundary("start", at)))
            told.append((end + round(0.25 * rate), SpeechBoundary("stop", end)))
        else:
            samples = np.zeros(round(part * rate), np.int16)
        pieces.append(samples)
        at += len(samples)
    audio = np.concatenate(pieces)
    step = round(FRAME_S * rate)
    items: list[SttInput] = []
    for start in range(0, len(audio), step):
        frame = AudioFrame.from_samples(audio[start : start + step], rate, position + start)
        items.append(frame)
        while told and told[0][0] <= frame.end:
            items.append(told.pop(0)[1])
    items += [boundary for _, boundary in told]
    return items, [item for item in items if isinstance(item, SpeechBoundary) and item.kind == "stop"]


async def listen(stt: STT, items: Sequence[SttInput], *, after_s: float = 0.0) -> list[Transcript]:
    """Give ``items`` to ``stt`` in real time; return its transcripts.  Raises what ``listen`` raised."""
    failures: list[Exception] = []
    to_stt, inlet = trio.open_memory_channel[SttInput](1000)
    told, transcripts = trio.open_memory_channel[Transcript](100)
    result: list[Transcript] = []

    async def feed() -> None:
        async with to_stt:
            start = trio.current_time()
            first = next(item.position for item in items if isinstance(item, AudioFrame))
            for item in items:
                if isinstance(item, AudioFrame):
                    await trio.sleep_until(start + (item.end - first) / item.rate)
                await to_stt.send(item)
            await trio.sleep(after_s)

    async def recognise() -> None:
        async with told:
            try:
                await stt.listen(inlet, told)
            except Exception as error:
                failures.append(error)
                nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed)
        nursery.start_soon(recognise)
        with trio.fail_after(1000):
            result = [transcript async for transcript in transcripts]
    if failures:
        raise failures[0]
    return result


def finals(transcripts: Sequence[Transcript]) -> list[str]:
    """The texts of the final transcripts, without capitals and full stops."""
    return [plain(transcript.text) for transcript in transcripts if transcript.final]


def plain(text: str) -> str:
    return text.lower().replace(".", "")


def check_answers(transcripts: Sequence[Transcript], stops: Sequence[SpeechBoundary]) -> None:
    """Each stop has exactly one final transcript, in order."""
    answered = [transcript.position for transcript in transcripts if transcript.final]
    assert answered == [stop.position for stop in stops]


@asynccontextmanager
async def noting_events() -> AsyncIterator[list[Event]]:
    """Give a list to which every event of this task is added."""
    events: list[Event] = []
    hub = EventHub()
    with emitting_to(hub), hub.observed_by(events.append):
        yield events
