"""A voice behind a connection: text goes in as it comes, audio and words come out.

A vendor's *wire* (``voice_wire``) says how text is given and what the answers mean, without I/O; a *line*
(``voice_line``) joins it to a connection; ``Speaking`` is one run of the voice, which is one reply.

1. Text is given to the vendor as it comes, on one context of the connection.  Where the vendor forgets a
   context that is not fed, it is ended first, and the next text goes to a new one.
2. When the connection is lost, or the vendor fails in a way that may pass, the text whose audio had not
   started is said again; once audio went out, from the next sentence on.  What is lost is an event.
3. A vendor that owes audio and gives nothing for ``answer_s`` is taken for lost.
4. An error that will not pass is raised, and so is the last of ``max_attempts`` without audio between them,
   and one after which the vendor wants to be left alone for longer than ``answer_s``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import final

import attrs
import trio

from voicetrio.connection.faults import ConnectionLost
from voicetrio.connection.recovery import SpokenText, recover_text
from voicetrio.errors import ServiceError
from voicetrio.frames import AudioFrame, TextFrame
from voicetrio.machines.captions import Captions
from voicetrio.machines.spoken_text import MAX_CHARS_PER_S
from voicetrio.runtime.keeper import Opener
from voicetrio.services.tts import TtsOutput
from voicetrio.services.voice_line import Lease, VoiceContext
from voicetrio.services.voice_wire import Sound, StretchSpoken, VoiceItem, WordTimes

__all__ = ["ConnectedTTS", "Speaking", "VoiceSettings"]


@attrs.frozen(kw_only=True)
class VoiceSettings:
    """How a run of a voice behaves; times in seconds."""

    timed: bool = True
    """The vendor tells word times."""
    answer_s: float = 6.0
    """A vendor that owes audio must give some within this time."""
    feed_within_s: float = float("inf")
    """A context that is given nothing for so long is ended."""
    max_chars: int = 1000
    """Longer texts are given in parts."""
    max_attempts: int = 4
    """So often in a row the voice may fail without any audio."""
    retry_s: float = 0.25
    """Wait after a failure that was not the connection's; twice as long after each further one."""


@final
class Speaking:
    """One run of a voice.

    Args:
        name: the service, for events and errors.
        rate: hertz of the audio.
        lease: gives contexts.
        settings: see there.
    """

    def __init__(self, name: str, rate: int, lease: Lease, settings: VoiceSettings) -> None:
        self._name = name
        self._rate = rate
        self._lease = lease
        self._settings = settings
        self._captions = Captions(rate, timed=settings.timed)
        self._spoken = SpokenText()
        self._again = ""
        self._is_ended = False
        self._attempts = 0
        self._fed_all = False
        self._has_times = not settings.timed
        self._is_due = False
        self._owes_since = 0.0
        self._stretch_from_s = self._stretch_s = 0.0
        self._stretch_words = 0

    async def run(
        self, inlet: trio.abc.ReceiveChannel[TextFrame], outlet: trio.abc.SendChannel[TtsOutput]
    ) -> None:
        """Speak ``inlet`` to its end; see ``TTS.speak``."""
        await trio.lowlevel.checkpoint()
        while True:
            if not self._again:
                # A context is leased only when there is something to say on it.
                text = await self._next_text(inlet)
                if text is None:
                    return
                self._captions.say(text)
                self._again = text
            failure = await self._speak(inlet, outlet)
            if failure is None:
                self._spoken.recover()
                left = 0
            else:
                left = await self._recover(failure)
            for word in self._captions.voice_ended(left):
                await outlet.send(word)

    async def _next_text(self, inlet: trio.abc.ReceiveChannel[TextFrame]) -> str | None:
        await trio.lowlevel.checkpoint()
        while not self._is_ended:
            try:
                text = (await inlet.receive()).text.strip()
            except trio.EndOfChannel:
                self._is_ended = True
            else:
                if text:
                    return text
        return None

    async def _speak(
        self, inlet: trio.abc.ReceiveChannel[TextFrame], outlet: trio.abc.SendChannel[TtsOutput]
    ) -> ServiceError | None:
        """Speak on one context; return why it did not come to its end, if it did not."""
        failures: list[Exception] = []
        failure: ServiceError | None = None

        async def feed() -> None:
            await trio.lowlevel.checkpoint()
            try:
                await self._feed(voice, inlet)
            except ServiceError:
                pass  # the one who plays hears of it, after the audio that came before
            except Exception as error:
                failures.append(error)
                nursery.cancel_scope.cancel("the text's source failed")

        async with self._lease() as voice:
            self._fed_all = False
            self._stretch_from_s = self._stretch_s = 0.0
            self._stretch_words = 0
            async with trio.open_nursery() as nursery:
                nursery.start_soon(feed)
                try:
                    failure = await self._play(voice, outlet)
                except Exception as error:
                    failures.append(error)
                nursery.cancel_scope.cancel()
        if failures:
            raise failures[0] if len(failures) == 1 else ExceptionGroup("the voice failed", failures)
        return failure

    async def _feed(self, voice: VoiceContext, inlet: trio.abc.ReceiveChannel[TextFrame]) -> None:
        while True:
            text, self._again = self._again, ""
            self._spoken.say(text)
            if not self._owes:
                self._owes_since = trio.current_time()
            self._is_due = True
            for part in _parts(text, self._settings.max_chars):
                await voice.say(part)
            next_text: str | None = None
            with trio.move_on_after(self._settings.feed_within_s):
                next_text = await self._next_text(inlet)
            if next_text is None:
                break
            self._captions.say(next_text)
            self._again = next_text
        self._fed_all = True
        self._owes_since = trio.current_time()
        await voice.end()

    async def _play(
        self, voice: VoiceContext, outlet: trio.abc.SendChannel[TtsOutput]
    ) -> ServiceError | None:
        odd = b""
        while True:
            await trio.lowlevel.checkpoint()
            try:
                item = await self._receive(voice)
            except trio.EndOfChannel:
                return None
            except ServiceError as error:
                return error
            match item:
                case Sound(_, pcm, stretch):
                    pcm = odd + pcm
                    odd = pcm[len(pcm) // 2 * 2 :]
                    self._note_reached(stretch or "", len(pcm) // 2)
                    await self._play_sound(pcm[: len(pcm) // 2 * 2], outlet)
                case WordTimes(_, words):
                    self._has_times = True
                    self._spoken.words((word, start_s) for word, start_s, _end_s in words)
                    for frame in self._captions.times(words):
                        await outlet.send(frame)
                case StretchSpoken(_, text):
                    self._note_reached(text, 0, is_whole=True)
                    for frame in self._captions.stretch_ended(text):
                        await outlet.send(frame)

    async def _play_sound(self, pcm: bytes, outlet: trio.abc.SendChannel[TtsOutput]) -> None:
        await trio.lowlevel.checkpoint()
        position, count = self._captions.end, len(pcm) // 2
        self._attempts, self._is_due = 0, False
        self._spoken.audio(count / self._rate)
        for frame in self._captions.audio(count):
            await outlet.send(frame)
        if count:
            await outlet.send(AudioFrame(pcm, self._rate, position=position))

    def _note_reached(self, stretch: str, sample_count: int, *, is_whole: bool = False) -> None:
        """Note the words of ``stretch`` that the voice has begun at most, where it tells no times."""
        words = stretch.split()
        before_s = self._stretch_s
        self._stretch_s += sample_count / self._rate
        chars = len(stretch) if is_whole else int(self._stretch_s * MAX_CHARS_PER_S)
        while self._stretch_words < len(words) and len(" ".join(words[: self._stretch_words])) <= chars:
            self._spoken.words([(words[self._stretch_words], self._stretch_from_s + before_s)])
            self._stretch_words += 1
        if is_whole:
            self._stretch_from_s += self._stretch_s
            self._stretch_s, self._stretch_words = 0.0, 0

    async def _receive(self, voice: VoiceContext) -> VoiceItem:
        """Return the next item; raises ServiceError, too, when the vendor owes audio and gives none."""
        answer_s = self._settings.answer_s
        since = trio.current_time()
        while True:
            since = max(since, self._owes_since)
            with trio.move_on_at(since + answer_s):
                return await voice.receive()
            if not self._owes:
                since = trio.current_time()
            elif trio.current_time() >= max(since, self._owes_since) + answer_s:
                text = f"it owes audio and gave nothing for {answer_s:g} s"
                voice.give_up(text)
                raise ServiceError(text, service=self._name, transient=True)

    @property
    def _owes(self) -> bool:
        # A voice that should tell word times and tells none cannot be seen to owe the rest of its text.
        return self._fed_all or self._is_due or (self._has_times and self._captions.owes)

    async def _recover(self, error: ServiceError) -> int:
        """Decide what is said again, or raise ``error``; return how many words that are."""
        self._attempts += 1
        asked_s = error.retry_after_s
        is_too_long = asked_s is not None and asked_s > self._settings.answer_s
        if not error.transient or is_too_long or self._attempts >= self._settings.max_attempts:
            raise error
        # What was given to the run but not yet to the context comes after.
        again = " ".join(text for text in (recover_text(self._name, self._spoken), self._again) if text)
        self._again = again
        if not isinstance(error, ConnectionLost):
            wait_s = self._settings.retry_s * 2 ** (self._attempts - 1)
            await trio.sleep(wait_s if asked_s is None else asked_s)
        await trio.lowlevel.checkpoint()
        return len(again.split())


class ConnectedTTS:
    """The voice of one session, behind one connection or several.

    Args:
        name: the service, for events and errors.
        rate: hertz of the audio.
        settings: see ``VoiceSettings``.
        open_lease: opens what gives contexts, for as long as its block lasts.
    """

    def __init__(
        self,
        name: str,
        rate: int,
        settings: VoiceSettings,
        open_lease: Callable[[], AbstractAsyncContextManager[Lease]],
    ) -> None:
        self._name = name
        self._rate = rate
        self._settings = settings
        self._opener = Opener(open_lease)

    @property
    def rate(self) -> int:
        """Hertz."""
        return self._rate

    def warm_up(self) -> None:
        """Connect now, in a session; elsewhere each ``speak`` connects for itself."""
        self._opener.begin()

    async def speak(
        self, inlet: trio.abc.ReceiveChannel[TextFrame], outlet: trio.abc.SendChannel[TtsOutput]
    ) -> None:
        """Speak each clause of ``inlet``; see ``voicetrio.services.tts``.

        Words come as early as the vendor tells their times, which may be after the audio that they begin in.
        Cancelling gives the context back at once; what still comes for it is dropped.
        """
        async with self._opener.use() as lease:
            await Speaking(self._name, self._rate, lease, self._settings).run(inlet, outlet)


def _parts(text: str, max_chars: int) -> list[str]:
    """Cut ``text`` between words into parts of at most ``max_chars`` characters, where words allow."""
    parts: list[str] = []
    for word in text.split():
        if parts and len(parts[-1]) + 1 + len(word) <= max_chars:
            parts[-1] += f" {word}"
        else:
            parts.append(word)
    return parts
