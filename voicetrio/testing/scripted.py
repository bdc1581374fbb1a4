"""Speech services that follow a script: deterministic, in the event loop, timed by trio's clock.

Each keeps to the interface of its kind (``voicetrio.services``), so it goes wherever a real model goes.
Their delays are ``trio.sleep``: under a mock clock they cost no real time and are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias, final

import attrs
import numpy as np
import trio

from voicetrio.errors import ConfigError, ServiceError
from voicetrio.events import Transcript, TranscriptWord
from voicetrio.frames import AudioFrame, Samples, TextFrame, WordFrame
from voicetrio.services.llm import LlmOutput, Message, ToolCall, ToolSpec

if TYPE_CHECKING:
    from voicetrio.services.stt import SttInput
    from voicetrio.services.tts import TtsOutput

__all__ = ["Answer", "Heard", "ScriptedLLM", "ScriptedSTT", "ScriptedTTS", "ScriptedVAD"]

PENDING_SEGMENTS = 64
"""How many segments may wait for their decode; the recogniser's inlet waits beyond it."""


@final
class ScriptedVAD:
    """Hears voice at given times, or wherever the audio is not silent.

    Args:
        spans: ``(start_s, end_s)`` of each stretch of voice, in seconds of audio given so far.  A window is
            voiced when the script has voice in the middle of it.  None: voice is wherever a sample's
            magnitude is at least ``threshold``.
        rate: hertz.
        window: samples a call.
        threshold: the magnitude of an int16 sample from which it counts as voice, without ``spans``.
        voiced: the probability given for voice.
        unvoiced: the probability given for everything else.
    """

    def __init__(
        self,
        spans: Sequence[tuple[float, float]] | None = None,
        *,
        rate: int = 16000,
        window: int = 256,
        threshold: int = 1,
        voiced: float = 0.95,
        unvoiced: float = 0.02,
    ) -> None:
        self._spans = None if spans is None else tuple(spans)
        self._rate = rate
        self._window = window
        self._threshold = threshold
        self._voiced = voiced
        self._unvoiced = unvoiced
        self._position = 0
        self.resets = 0
        """How often ``reset`` was called."""

    @property
    def rate(self) -> int:
        """Hertz."""
        return self._rate

    @property
    def window(self) -> int:
        """Samples a call."""
        return self._window

    def probability(self, samples: Samples) -> float:
        """Return what the script says of the next window; raises ConfigError when it has another size."""
        if samples.shape != (self._window,):
            raise ConfigError(f"a window is {self._window} samples of mono audio, not {samples.shape}")
        middle_s = (self._position + self._window / 2) / self._rate
        self._position += self._window
        if self._spans is None:
            voice = bool((np.abs(samples.astype(np.int32)) >= self._threshold).any())
        else:
            voice = any(start_s <= middle_s < end_s for start_s, end_s in self._spans)
        return self._voiced if voice else self._unvoiced

    def reset(self) -> None:
        """Count the call; the script goes on, because its times are those of the whole stream."""
        self.resets += 1


@attrs.frozen
class Heard:
    """What a scripted recogniser makes of one segment."""

    text: str
    decode_s: float | None = None
    """Seconds from the stop to the final transcript; None: the recogniser's own."""
    interims: tuple[tuple[float, str], ...] = ()
    """``(after_s, text)``: interim transcripts, each sent once that much audio came after the start."""


@attrs.define
class _Segment:
    heard: Heard
    start: int
    stop: int | None = None
    stopped_at: float = 0.0
    interims_sent: int = 0


@final
class ScriptedSTT:
    """Answers each stop of speech with the next text of a list.

    Each segment (a start, then a stop) takes the next entry; when there is none left, nothing was
    understood: the text is empty.  A decode does not hold up listening, and transcripts go out in the order
    of their segments.  Word times divide the segment evenly.

    Args:
        texts: what is heard in each segment, in order.
        rate: hertz.
        decode_s: seconds from a stop to its transcript, where the entry does not say.
    """

    def __init__(
        self, texts: Sequence[str | Heard] = (), *, rate: int = 16000, decode_s: float = 0.0
    ) -> None:
        self._script = [Heard(entry) if isinstance(entry, str) else entry for entry in texts]
        self._rate = rate
        self._decode_s = decode_s
        self._next = 0
        self.segments: list[tuple[int, int]] = []
        """``(start, stop)`` of every segment so far, as the boundaries gave them."""

    @property
    def rate(self) -> int:
        """Hertz."""
        return self._rate

    async def listen(
        self, inlet: trio.abc.ReceiveChannel[SttInput], outlet: trio.abc.SendChannel[Transcript]
    ) -> None:
        """Follow the script until ``inlet`` ends; an open segment then ends where the audio ended."""
        to_decode, decodes = trio.open_memory_channel[_Segment](PENDING_SEGMENTS)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._decode, decodes, outlet)
            async with to_decode:
                await self._collect(inlet, to_decode, outlet)

    async def _collect(
        self,
        inlet: trio.abc.ReceiveChannel[SttInput],
        to_decode: trio.abc.SendChannel[_Segment],
        outlet: trio.abc.SendChannel[Transcript],
    ) -> None:
        segment: _Segment | None = None
        heard_to = 0
        async for item in inlet:
            if isinstance(item, AudioFrame):
                heard_to = item.end
                if segment is not None:
                    for interim in self._due_interims(segment, heard_to):
                        await outlet.send(interim)
            elif item.kind == "start":
                segment = segment or _Segment(self._take(), item.position)
            else:
                segment = segment or _Segment(self._take(), item.position)
                await self._stop(segment, item.position, to_decode)
                segment = None
        if segment is not None:
            await self._stop(segment, max(heard_to, segment.start), to_decode)

    def _take(self) -> Heard:
        self._next += 1
        return self._script[self._next - 1] if self._next <= len(self._script) else Heard("")

    async def _stop(self, segment: _Segment, stop: int, to_decode: trio.abc.SendChannel[_Segment]) -> None:
        segment.stop = stop
        segment.stopped_at = trio.current_time()
        self.segments.append((segment.start, stop))
        await to_decode.send(segment)

    def _due_interims(self, segment: _Segment, heard_to: int) -> Iterator[Transcript]:
        for after_s, text in segment.heard.interims[segment.interims_sent :]:
            if heard_to < segment.start + after_s * self._rate:
                break
            segment.interims_sent += 1
            words = self._words(text, segment.start, heard_to)
            yield Transcript(text=text, final=False, start=segment.start, position=heard_to, words=words)

    async def _decode(
        self, decodes: trio.abc.ReceiveChannel[_Segment], outlet: trio.abc.SendChannel[Transcript]
    ) -> None:
        async with decodes:
            async for segment in decodes:
                await outlet.send(await self._transcribe(segment))

    async def _transcribe(self, segment: _Segment) -> Transcript:
        """Return what was heard, when the decode is over."""
        assert segment.stop is not None
        decode_s = self._decode_s if segment.heard.decode_s is None else segment.heard.decode_s
        await trio.sleep_until(max(segment.stopped_at + decode_s, trio.current_time()))
        return Transcript(
            text=segment.heard.text,
            final=True,
            start=segment.start,
            position=segment.stop,
            words=self._words(segment.heard.text, segment.start, segment.stop),
            decode_s=trio.current_time() - segment.stopped_at,
        )

    @staticmethod
    def _words(text: str, start: int, stop: int) -> tuple[TranscriptWord, ...]:
        words = text.split()
        edges = [start + (stop - start) * k // max(1, len(words)) for k in range(len(words) + 1)]
        return tuple(TranscriptWord(word, edges[k], edges[k + 1]) for k, word in enumerate(words))


Answer: TypeAlias = str | Sequence[str | ToolCall | float | Exception]
"""One answer of a scripted language model: a text, sent word by word, or a list of what to do in turn: send a
text or a tool call, wait some seconds, raise an error."""


@final
class ScriptedLLM:
    """Answers from a list, or by a function of the conversation.

    Args:
        answers: the answers in order, one a request (a request that is cancelled has used its answer), or a
            function that is given the messages.
        first_piece_s: seconds from the request to the first piece.
        piece_s: seconds between two pieces.

    Raises ServiceError, with fault ``ours``, when a request comes after the last answer.
    """

    def __init__(
        self,
        answers: Sequence[Answer] | Callable[[Sequence[Message]], Answer] = (),
        *,
        first_piece_s: float = 0.0,
        piece_s: float = 0.0,
    ) -> None:
        if isinstance(answers, str):
            raise ConfigError("answers is a list of answers or a function, not one text")
        self._answers = answers
        self._first_piece_s = first_piece_s
        self._piece_s = piece_s
        self.requests: list[tuple[Message, ...]] = []
        """The messages of every request so far."""
        self.tools: list[tuple[ToolSpec, ...]] = []
        """The tools offered with every request so far."""
        self.finished = 0
        """Requests that were answered to the end: neither cancelled nor failed."""

    async def answer(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        outlet: trio.abc.SendChannel[LlmOutput],
    ) -> None:
        """Stream the next answer."""
        self.requests.append(tuple(messages))
        self.tools.append(tuple(tools))
        answer = self._next_answer(messages)
        await trio.sleep(self._first_piece_s)
        pieces = _word_pieces(answer) if isinstance(answer, str) else answer
        for index, piece in enumerate(pieces):
            if index and not isinstance(piece, float | int):
                await trio.sleep(self._piece_s)
            match piece:
                case str():
                    await outlet.send(TextFrame(piece))
                case ToolCall():
                    await outlet.send(piece)
                case Exception():
                    raise piece
                case _:
                    await trio.sleep(piece)
        self.finished += 1

    def _next_answer(self, messages: Sequence[Message]) -> Answer:
        if callable(self._answers):
            return self._answers(messages)
        if len(self.requests) > len(self._answers):
            raise ServiceError(
                f"request {len(self.requests)} has no answer: the script holds {len(self._answers)}",
                service="scripted LLM",
                fault="ours",
            )
        return self._answers[len(self.requests) - 1]


def _word_pieces(text: str) -> list[str]:
    """Cut ``text`` before each space, so that the pieces concatenate to it."""
    words = text.split(" ")
    return [word if index == 0 else f" {word}" for index, word in enumerate(words)]


@final
class ScriptedTTS:
    """Speaks each word as a block of constant samples, so that a test can tell which word a sample is.

    Word ``k`` of a run (from 0) has the level ``level(k)`` in every sample; ``word_index`` is the way back.

    Args:
        rate: hertz.
        word_s: seconds a word, or a function from the word to its seconds.
        gap_s: seconds of silence (zeros) after each clause.
        first_audio_s: seconds from a clause to its first audio.
        real_time_factor: seconds of synthesis for one second of audio, waited after each chunk.
        chunk_s: seconds of audio a frame.
    """

    LEVELS = 300
    """So many words have levels of their own; then they repeat."""
    STEP = 100
    """The difference of two levels."""

    def __init__(
        self,
        *,
        rate: int = 24000,
        word_s: float | Callable[[str], float] = 0.25,
        gap_s: float = 0.0,
        first_audio_s: float = 0.0,
        real_time_factor: float = 0.0,
        chunk_s: float = 0.1,
    ) -> None:
        self._rate = rate
        self._word_s = word_s
        self._gap_s = gap_s
        self._first_audio_s = first_audio_s
        self._real_time_factor = real_time_factor
        self._chunk = max(1, round(chunk_s * rate))
        self.clauses: list[str] = []
        """Every clause that was taken up so far, of all runs."""
        self.finished = 0
        """Runs that came to their end: neither cancelled nor failed."""

    @property
    def rate(self) -> int:
        """Hertz."""
        return self._rate

    @classmethod
    def level(cls, word_index: int) -> int:
        """Return the value of every sample of word ``word_index`` (from 0) of a run."""
        return (word_index % cls.LEVELS + 1) * cls.STEP

    @classmethod
    def word_index(cls, sample: int) -> int | None:
        """Return which word (modulo ``LEVELS``) a plain ``sample`` is of; None for silence or a mixture."""
        index, rest = divmod(int(sample), cls.STEP)
        return index - 1 if rest == 0 and 1 <= index <= cls.LEVELS else None

    async def speak(
        self, inlet: trio.abc.ReceiveChannel[TextFrame], outlet: trio.abc.SendChannel[TtsOutput]
    ) -> None:
        """Speak each clause with the script's timing."""
        position = word_count = 0
        async for clause in inlet:
            words = clause.text.split()
            if not words:
                continue
            self.clauses.append(clause.text)
            frames, levels = self._plan(words, position, word_count)
            count = frames[-1].end - position + round(self._gap_s * self._rate)
            await trio.sleep(self._first_audio_s)
            for word_frame in frames:
                await outlet.send(word_frame)
            for start in range(position, position + count, self._chunk):
                # Made when it is sent: a voice that held its clauses would be most of a session's memory.
                samples = _steps(frames, levels, start, min(start + self._chunk, position + count))
                frame = AudioFrame.from_samples(samples, self._rate, start)
                await outlet.send(frame)
                await trio.sleep(frame.duration_s * self._real_time_factor)
            position += count
            word_count += len(words)
        self.finished += 1

    def _plan(
        self, words: Sequence[str], position: int, first_index: int
    ) -> tuple[list[WordFrame], list[int]]:
        """Return the words with their places, and their levels."""
        frames = []
        for word in words:
            word_s = self._word_s(word) if callable(self._word_s) else self._word_s
            count = max(1, round(word_s * self._rate))
            frames.append(WordFrame(word, position, position + count, self._rate))
            position += count
        return frames, [self.level(first_index + index) for index in range(len(words))]


def _steps(words: Sequence[WordFrame], levels: Sequence[int], start: int, stop: int) -> Samples:
    """Return samples ``start`` to ``stop``: each word's level, and zeros after the last."""
    samples = np.zeros(stop - start, np.int16)
    for word, level in zip(words, levels, strict=True):
        if word.end > start and word.start < stop:
            samples[max(0, word.start - start) : word.end - start] = level
    return samples
