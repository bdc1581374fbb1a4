"""The turn source that listens: a VAD in the event loop, and a recogniser beside it in a task of its own.

Audio goes to the recogniser first and to the VAD then, so a boundary always comes after the audio that it
speaks of.  Everything that is told carries positions on the capture clock, whatever rates the models take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import final

import attrs
import numpy as np
import trio

from voicetrio.audio.resample import FrameResampler, scale_position
from voicetrio.conversation.inbox import Inbox, UserActed, UserTurn
from voicetrio.errors import ConfigError, LinkStopped, ServiceError
from voicetrio.events import SpeechStarted, SpeechStopped, Transcript, TranscriptWord
from voicetrio.frames import AudioFrame, DtmfFrame, Frame, MessageFrame, Samples
from voicetrio.machines.voice import (
    VoiceActivity,
    VoiceChange,
    VoiceLasted,
    VoiceSettings,
    VoiceStarted,
    VoiceStopped,
)
from voicetrio.runtime.emit import emit
from voicetrio.runtime.links import LinkReceiver, LinkSender, open_link
from voicetrio.services.stt import STT, SpeechBoundary, SttInput
from voicetrio.services.vad import VAD

__all__ = ["Listening"]

STT_ITEMS = 4096
"""Frames and boundaries that may wait for the recogniser; the bound that matters is in seconds."""
GAP_RESET_S = 0.5
"""A gap in the audio after which the VAD forgets what it heard, in seconds."""


@final
class Listening:
    """Hears one session with one VAD and one recogniser; a TurnSource.

    Args:
        vad: tells voice from the rest.
        stt: turns speech into text; None: speech is told, and nothing is understood.
        settings: when voice is speech.
        marks_s: lengths of voice, in seconds, that the conversation wants to be told.
        stt_lag_s: seconds of live audio that may wait for the recogniser; more fails the session.
    """

    def __init__(
        self,
        vad: VAD,
        stt: STT | None,
        settings: VoiceSettings | None = None,
        *,
        marks_s: tuple[float, ...] = (),
        stt_lag_s: float = 10.0,
    ) -> None:
        self._vad = vad
        self._stt = stt
        self._stt_lag_s = stt_lag_s
        self._activity = VoiceActivity(vad.rate, settings, marks_s=marks_s)
        self._windows = _Windows(vad.rate, vad.window)
        self._to_stt_rate = FrameResampler(stt.rate) if stt is not None else None
        self._boundaries: dict[int, tuple[int, int]] = {}
        """By a segment's end as the recogniser knows it: its start and end on the capture clock."""

    async def run(self, inlet: trio.abc.ReceiveChannel[Frame], inbox: Inbox) -> None:
        """Listen until ``inlet`` ends and the last transcript is told; see ``TurnSource``."""
        to_stt, for_stt = open_link[SttInput](
            name="recogniser",
            max_items=STT_ITEMS,
            max_s=self._stt_lag_s,
            policy="fail" if inbox.live else "block",
        )
        async with trio.open_nursery() as nursery:
            if self._stt is not None:
                nursery.start_soon(self._recognise, self._stt, for_stt, inbox)
            try:
                await self._hear(inlet, inbox, to_stt)
            finally:
                to_stt.close()

    async def _hear(
        self, inlet: trio.abc.ReceiveChannel[Frame], inbox: Inbox, to_stt: LinkSender[SttInput]
    ) -> None:
        while True:
            deadline = self._activity.deadline
            if deadline is None:
                frame = await anext(inlet, None)
            else:
                with trio.CancelScope(deadline=deadline) as scope:
                    frame = await anext(inlet, None)
                if scope.cancelled_caught:
                    await self._tell(self._activity.tick(trio.current_time()), inbox, to_stt)
                    continue
            match frame:
                case None:
                    break
                case AudioFrame():
                    await self._hear_audio(frame, inbox, to_stt)
                case DtmfFrame():
                    inbox.put(UserActed())
                case MessageFrame(data={"type": "text", "text": str(text)}):
                    inbox.put(UserTurn(text))
                case MessageFrame():
                    inbox.put(UserActed())
        await self._flush_stt(to_stt)
        await self._tell(self._activity.finish(), inbox, to_stt)

    # A frame costs no checkpoint but the one that waits for it: most frames change nothing.
    async def _hear_audio(  # noqa: ASYNC910
        self, frame: AudioFrame, inbox: Inbox, to_stt: LinkSender[SttInput]
    ) -> None:
        if frame.rate != inbox.rate:
            raise ConfigError(f"audio at {frame.rate} Hz came in on a capture clock of {inbox.rate} Hz")
        now = trio.current_time()
        if inbox.clock.heard(frame.position, frame.end, now):
            inbox.wake()
        if self._to_stt_rate is not None:
            for resampled in self._to_stt_rate.feed(frame):
                await self._give(to_stt, resampled)
        changes: list[VoiceChange] = []
        for start, samples in self._windows.feed(frame):
            if self._windows.had_gap:
                self._vad.reset()
            probability = self._vad.probability(samples)
            changes += self._activity.feed(start, start + len(samples), probability, now)
        if changes:
            await self._tell(changes, inbox, to_stt)

    async def _tell(self, changes: list[VoiceChange], inbox: Inbox, to_stt: LinkSender[SttInput]) -> None:
        """Tell the conversation and the recogniser what the VAD decided, in positions of their clocks."""
        for change in changes:
            start = self._captured(change.start, inbox)
            match change:
                case VoiceStarted():
                    started = SpeechStarted(position=start)
                    emit(started)
                    inbox.put(started)
                    await self._bound(to_stt, SpeechBoundary("start", self._at_stt(start, inbox)))
                case VoiceLasted():
                    inbox.put(VoiceLasted(start, self._captured(change.until, inbox), change.mark_s))
                case VoiceStopped():
                    end = self._captured(change.end, inbox)
                    boundary = SpeechBoundary("stop", self._at_stt(end, inbox))
                    self._boundaries[boundary.position] = (start, end)
                    stopped = SpeechStopped(position=end, start=start)
                    emit(stopped)
                    inbox.put(stopped)
                    await self._bound(to_stt, boundary)
        await trio.lowlevel.checkpoint()

    def _captured(self, position: int, inbox: Inbox) -> int:
        return scale_position(position, self._vad.rate, inbox.rate)

    def _at_stt(self, position: int, inbox: Inbox) -> int:
        return position if self._stt is None else scale_position(position, inbox.rate, self._stt.rate)

    async def _bound(self, to_stt: LinkSender[SttInput], boundary: SpeechBoundary) -> None:
        if self._stt is not None:
            await self._give(to_stt, boundary)
        await trio.lowlevel.checkpoint()

    async def _give(  # noqa: ASYNC910  # see _hear_audio
        self, to_stt: LinkSender[SttInput], item: SttInput
    ) -> None:
        try:
            try:
                to_stt.send_nowait(item)
            except trio.WouldBlock:
                await to_stt.send(item)
        except LinkStopped:
            raise ServiceError("it stopped while audio came", service="recogniser") from None

    async def _flush_stt(self, to_stt: LinkSender[SttInput]) -> None:
        if self._to_stt_rate is not None:
            for resampled in self._to_stt_rate.flush():
                await self._give(to_stt, resampled)
        await trio.lowlevel.checkpoint()

    async def _recognise(self, stt: STT, for_stt: LinkReceiver[SttInput], inbox: Inbox) -> None:
        def understand(transcript: Transcript) -> None:
            mapped = self._map(transcript, stt.rate, inbox.rate)
            emit(mapped)
            inbox.put(mapped)

        try:
            await stt.listen(for_stt, _Told(understand))
        finally:
            for_stt.close()

    def _map(self, transcript: Transcript, rate: int, capture_rate: int) -> Transcript:
        """Return ``transcript`` with positions on the capture clock."""
        end = transcript.position
        if end is None:
            raise ServiceError("a transcript came without its position", service="recogniser", fault="ours")
        # A segment's end and start are known exactly; scaling there and back could miss them by a sample.
        known = self._boundaries.pop(end, None) if transcript.final else None
        if known is None:
            known = (
                scale_position(transcript.start, rate, capture_rate),
                scale_position(end, rate, capture_rate),
            )
        words = tuple(
            TranscriptWord(
                word.text,
                scale_position(word.start, rate, capture_rate),
                scale_position(word.end, rate, capture_rate),
            )
            for word in transcript.words
        )
        return attrs.evolve(transcript, start=known[0], position=known[1], words=words)


@final
class _Told(trio.abc.SendChannel[Transcript]):
    """The recogniser's outlet: what it sends is understood at once, without a task that waits for it."""

    def __init__(self, understand: Callable[[Transcript], None]) -> None:
        self._understand = understand
        self._closed = False

    async def send(self, value: Transcript) -> None:
        await trio.lowlevel.checkpoint()
        if self._closed:
            raise trio.ClosedResourceError
        self._understand(value)

    async def aclose(self) -> None:
        self._closed = True
        await trio.lowlevel.checkpoint()


@final
class _Windows:
    """Cuts frames into windows of exactly so many samples at a VAD's rate."""

    def __init__(self, rate: int, window: int) -> None:
        self._rate = rate
        self._window = window
        self._resampler = FrameResampler(rate)
        self._held: list[Samples] = []
        self._held_count = 0
        self._next: int | None = None
        self.had_gap = False
        """Whether a long gap lies before the window that was yielded last."""

    def feed(self, frame: AudioFrame) -> Iterator[tuple[int, Samples]]:
        """Yield the first position and the samples of each window that is full now."""
        for resampled in self._resampler.feed(frame):
            if self._next is not None and resampled.position != self._next:
                self.had_gap = resampled.position - self._next > GAP_RESET_S * self._rate
                self._held, self._held_count = [], 0  # a window never spans a gap
            self._next = resampled.end
            self._held.append(resampled.samples)
            self._held_count += resampled.sample_count
            if self._held_count >= self._window:
                yield from self._cut(resampled.end)

    def _cut(self, end: int) -> Iterator[tuple[int, Samples]]:
        samples = self._held[0] if len(self._held) == 1 else np.concatenate(self._held)
        start = end - len(samples)
        count = len(samples) // self._window * self._window
        self._held = [samples[count:]] if count < len(samples) else []
        self._held_count = len(samples) - count
        for at in range(0, count, self._window):
            yield start + at, samples[at : at + self._window]
            self.had_gap = False
