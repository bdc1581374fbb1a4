"""The turn source that listens: a VAD in the event loop, and a recogniser beside it in a task of its own.

A boundary always comes to the recogniser after the audio that it speaks of.  Everything that is told carries
positions on the capture clock, whatever rates the models take.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import final

import attrs
import numpy as np
import trio

from voicetrio.audio.resample import FrameResampler, scale_position
from voicetrio.conversation.inbox import Inbox, UserActed, UserTurn
from voicetrio.errors import ConfigError, LinkStopped, ServiceError
from voicetrio.events import SpeechStarted, SpeechStopped, Transcript, TranscriptWord
from voicetrio.frames import BYTES_PER_SAMPLE, AudioFrame, DtmfFrame, Frame, MessageFrame, Samples
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
QUIET_S = 0.5
"""Audio is quiet so long after the last voice, in seconds."""
TOGETHER_S = 0.04
"""How much audio goes to the recogniser at a time, in seconds, within ``QUIET_S`` of a voice."""
QUIET_TOGETHER_S = 0.2
"""How much at a time while it is quiet."""
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
        self._current_time = trio.current_time
        self._activity = VoiceActivity(vad.rate, settings, marks_s=marks_s)
        self._to_vad_rate = FrameResampler(vad.rate)
        self._windows = _Windows(vad.rate, vad.window)
        self._to_stt_rate: FrameResampler | None = None
        self._bundle: _Bundle | None = None
        if stt is not None:
            # One conversion serves both where both want the same.
            self._to_stt_rate = self._to_vad_rate if stt.rate == vad.rate else FrameResampler(stt.rate)
            self._bundle = _Bundle(stt.rate)
        self._boundaries: dict[int, tuple[int, int]] = {}
        """By a segment's end as the recogniser knows it: its start and end on the capture clock."""

    async def run(self, inlet: trio.abc.ReceiveChannel[Frame], inbox: Inbox) -> None:
        """Listen until ``inlet`` ends and the last transcript is told; see ``TurnSource``."""
        # Asked for with every frame: the way there by ``trio.current_time`` is twice as long.
        self._current_time = trio.lowlevel.current_clock().current_time
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
                if inbox.live and isinstance(inlet, LinkReceiver):
                    await self._hear_at_once(inlet, inbox, to_stt)
                else:
                    await self._hear(inlet, inbox, to_stt)
                for item in (*self._rest(), *self._judge(self._activity.finish(), inbox)):
                    await _give(to_stt, item)
            finally:
                to_stt.close()

    async def _hear_at_once(
        self, inlet: LinkReceiver[Frame], inbox: Inbox, to_stt: LinkSender[SttInput]
    ) -> None:
        """Hear live audio in the step that brings it: nobody has to wait, because nothing ever does."""

        def hear(frame: Frame) -> None:
            for item in self._take(frame, inbox):
                _give_now(to_stt, item)
            if self._activity.start is not None and self._deadline < scope.deadline:
                # It moves with each frame; looked at too early, it is looked at again.
                scope.deadline = self._deadline

        while True:
            with trio.CancelScope(deadline=self._deadline) as scope:
                await inlet.listen(hear)
            if not scope.cancelled_caught:
                return
            for item in self._judge_by_the_clock(inbox):
                _give_now(to_stt, item)

    async def _hear(
        self, inlet: trio.abc.ReceiveChannel[Frame], inbox: Inbox, to_stt: LinkSender[SttInput]
    ) -> None:
        while True:
            with trio.CancelScope(deadline=self._deadline) as scope:
                frame = await anext(inlet, None)
            items: Sequence[SttInput]
            if scope.cancelled_caught:
                items = self._judge_by_the_clock(inbox)
            elif frame is None:
                return
            else:
                items = self._take(frame, inbox)
            for item in items:
                await _give(to_stt, item)

    @property
    def _deadline(self) -> float:
        deadline = self._activity.deadline
        return math.inf if deadline is None else deadline

    def _take(self, frame: Frame, inbox: Inbox) -> Sequence[SttInput]:
        """Hear one frame; return what the recogniser is to be given of it."""
        match frame:
            case AudioFrame():
                return self._take_audio(frame, inbox)
            case MessageFrame(data={"type": "text", "text": str(text)}):
                inbox.put(UserTurn(text))
            case DtmfFrame() | MessageFrame():
                inbox.put(UserActed())
        return ()

    def _take_audio(self, frame: AudioFrame, inbox: Inbox) -> Sequence[SttInput]:
        if frame.rate != inbox.rate:
            raise ConfigError(f"audio at {frame.rate} Hz came in on a capture clock of {inbox.rate} Hz")
        now = self._current_time()
        if inbox.clock.heard(frame.position, frame.end, now):
            inbox.wake()
        at_vad_rate = self._to_vad_rate.feed(frame)
        changes: list[VoiceChange] = []
        for start, samples, follows_gap in self._windows.cut(at_vad_rate):
            if follows_gap:
                self._vad.reset()
            probability = self._vad.probability(samples)
            changes += self._activity.feed(start, start + samples.size, probability, now)
        if self._to_stt_rate is None or self._bundle is None:
            return self._judge(changes, inbox) if changes else ()
        is_shared = self._to_stt_rate is self._to_vad_rate
        resampled = at_vad_rate if is_shared else self._to_stt_rate.feed(frame)
        given = self._bundle.add(resampled, is_quiet=self._activity.start is None)
        if not changes:
            return given
        # The audio first, so that a boundary always comes after the audio that it speaks of.
        return (*given, *self._bundle.take(), *self._judge(changes, inbox))

    def _rest(self) -> Sequence[SttInput]:
        """Return the audio that the recogniser was not given yet; there is no more."""
        if self._to_stt_rate is None or self._bundle is None:
            return ()
        return (*self._bundle.add(self._to_stt_rate.flush(), is_quiet=False), *self._bundle.take())

    def _judge_by_the_clock(self, inbox: Inbox) -> Sequence[SttInput]:
        """Tell what the passing of time has changed, without a frame."""
        held = [] if self._bundle is None else self._bundle.take()
        return (*held, *self._judge(self._activity.tick(trio.current_time()), inbox))

    def _judge(self, changes: list[VoiceChange], inbox: Inbox) -> list[SttInput]:
        """Tell the conversation what the VAD decided; return what the recogniser is told of it."""
        boundaries: list[SttInput] = []
        for change in changes:
            start = self._captured(change.start, inbox)
            match change:
                case VoiceStarted():
                    started = SpeechStarted(position=start)
                    emit(started)
                    inbox.put(started)
                    boundaries.append(SpeechBoundary("start", self._at_stt(start, inbox)))
                case VoiceLasted():
                    inbox.put(VoiceLasted(start, self._captured(change.until, inbox), change.mark_s))
                case VoiceStopped():
                    end = self._captured(change.end, inbox)
                    boundary = SpeechBoundary("stop", self._at_stt(end, inbox))
                    self._boundaries[boundary.position] = (start, end)
                    stopped = SpeechStopped(position=end, start=start)
                    emit(stopped)
                    inbox.put(stopped)
                    boundaries.append(boundary)
        return boundaries if self._stt is not None else []

    def _captured(self, position: int, inbox: Inbox) -> int:
        return scale_position(position, self._vad.rate, inbox.rate)

    def _at_stt(self, position: int, inbox: Inbox) -> int:
        return position if self._stt is None else scale_position(position, inbox.rate, self._stt.rate)

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


async def _give(to_stt: LinkSender[SttInput], item: SttInput) -> None:
    try:
        await to_stt.send(item)
    except LinkStopped:
        raise _stopped() from None


def _give_now(to_stt: LinkSender[SttInput], item: SttInput) -> None:
    try:
        to_stt.send_nowait(item)
    except LinkStopped:
        raise _stopped() from None


def _stopped() -> ServiceError:
    return ServiceError("it stopped while audio came", service="recogniser")


@final
class _Bundle:
    """Audio on its way to the recogniser: several frames of it go in one.

    A recogniser is woken for every frame, and a hosted one is sent a message; in most of the time of most
    sessions there is nothing to recognise.
    """

    def __init__(self, rate: int) -> None:
        self._quiet = round(QUIET_S * rate)
        self._together = round(TOGETHER_S * rate)
        self._quiet_together = round(QUIET_TOGETHER_S * rate)
        self._quiet_from = self._quiet
        self._held: list[AudioFrame] = []
        self._held_end = 0

    def add(self, frames: list[AudioFrame], *, is_quiet: bool) -> list[AudioFrame]:
        """Add what follows; return what is to be given now."""
        given: list[AudioFrame] = []
        for frame in frames:
            if self._held and frame.position != self._held_end:
                given += self.take()
            self._held.append(frame)
            self._held_end = end = frame.end
            if not is_quiet:
                self._quiet_from = end + self._quiet
            together = self._quiet_together if frame.position >= self._quiet_from else self._together
            if end - self._held[0].position >= together:
                given += self.take()
        return given

    def take(self) -> list[AudioFrame]:
        """Return what is held, as one frame if there is any."""
        held, self._held = self._held, []
        if len(held) < 2:
            return held
        first = held[0]
        return [AudioFrame(b"".join([frame.pcm for frame in held]), first.rate, 1, first.position)]


@final
class _Windows:
    """Cuts frames into windows of exactly so many samples, all at a VAD's rate."""

    def __init__(self, rate: int, window: int) -> None:
        self._gap = GAP_RESET_S * rate
        self._window = window
        self._held = b""
        self._next: int | None = None
        self._follows_gap = False

    def cut(self, frames: list[AudioFrame]) -> list[tuple[int, Samples, bool]]:
        """Return each window that is full now: its position, its samples, whether a long gap lies before."""
        windows: list[tuple[int, Samples, bool]] = []
        count = self._window
        for frame in frames:
            if frame.channels != 1:
                raise ConfigError(f"voice is looked for in mono audio, not in {frame.channels} channels")
            if frame.position != self._next:
                self._follows_gap = self._next is not None and frame.position - self._next > self._gap
                self._held = b""  # a window never spans a gap
            pcm = self._held + frame.pcm
            self._next = end = frame.end
            start = end - len(pcm) // BYTES_PER_SAMPLE
            at = 0
            while end - start >= count:
                samples = np.frombuffer(pcm, np.int16, count, at)
                windows.append((start, samples, self._follows_gap))
                self._follows_gap = False
                start += count
                at += count * BYTES_PER_SAMPLE
            self._held = pcm[at:]
        return windows
