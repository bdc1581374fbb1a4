"""The turn source without a VAD: a recogniser that decides by itself when a turn begins and ends.

1. A turn begins with its first words: there the user is told to speak, and a reply that is being heard is
   interrupted, unless they are a backchannel.
2. It ends when the recogniser says so, without any wait of the conversation's own.
3. A draft of the turn lets a reply be prepared; words that come after it take that back.
4. A microphone that sends nothing is silence to the recogniser, as long as a turn is open.
5. A turn of which nothing more is told for ``give_up_s`` is over with the text that it has.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from typing import Final, final

import attrs
import trio

from voicetrio.audio.resample import FrameResampler, scale_position
from voicetrio.conversation.inbox import Inbox, TurnDraft, TurnOver, UserActed, UserTurn
from voicetrio.errors import ConfigError, LinkStopped, ServiceError
from voicetrio.events import SpeechStarted, SpeechStopped, Transcript, TranscriptWord
from voicetrio.frames import AudioFrame, DtmfFrame, Frame, MessageFrame
from voicetrio.machines.words import words_of
from voicetrio.runtime.emit import emit
from voicetrio.runtime.links import LinkReceiver, LinkSender, open_link
from voicetrio.services.stt import TurnHeard, TurnSTT

__all__ = ["RecogniserTurns"]

STT_ITEMS: Final = 4096
"""Frames that may wait for the recogniser; the bound that matters is in seconds."""
SILENCE_STEP_S: Final = 0.1
FLUSH_S: Final = 2.0
"""So much silence is given after the last audio, also where no turn is open: words may be on their way."""
APART_S: Final = 10.0
"""After a silence of ours its clock jumps by so much: what came before need not be heard again."""
MAX_ANCHORS: Final = 1000
LATENCY_S: Final = 0.5
"""Words without times are taken to have begun so long before they came."""


@attrs.define
class _Turn:
    start: int
    """On the capture clock, as all positions here."""
    last: Transcript
    draft: str = ""


@final
class RecogniserTurns:
    """Hears one session with one recogniser that follows turns; a TurnSource.

    Args:
        stt: such as ``DeepgramFlux()`` or ``AssemblyAISTT()``.
        input_silence_s: seconds without any audio after which the recogniser is given silence.
        give_up_s: seconds without any news of an open turn after which it is over.
        stt_lag_s: seconds of live audio that may wait for the recogniser; more fails the session.

    Raises ConfigError for a recogniser that does not decide turns.
    """

    def __init__(
        self,
        stt: TurnSTT,
        *,
        input_silence_s: float = 1.0,
        give_up_s: float = 12.0,
        stt_lag_s: float = 10.0,
    ) -> None:
        if not callable(getattr(stt, "listen_turns", None)):
            name = type(stt).__name__
            raise ConfigError(f"{name} decides no turns: give the agent vad=… and stt=… instead")
        self._stt = stt
        self._input_silence_s = input_silence_s
        self._give_up_s = give_up_s
        self._stt_lag_s = stt_lag_s
        self._resampler = FrameResampler(stt.rate)
        self._clock = _Clock()
        self._turn: _Turn | None = None
        self._settled = 0
        """What was said before this belongs to a turn that was given up."""

    async def run(self, inlet: trio.abc.ReceiveChannel[Frame], inbox: Inbox) -> None:
        """Listen until ``inlet`` ends and the last turn is told; see ``TurnSource``."""
        to_stt, for_stt = open_link[AudioFrame](
            name="recogniser",
            max_items=STT_ITEMS,
            max_s=self._stt_lag_s,
            policy="fail" if inbox.live else "block",
        )
        to_turns, heard = open_link[TurnHeard](name="turns", max_items=STT_ITEMS)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._recognise, for_stt, to_turns)
            nursery.start_soon(self._tell_turns, heard, inbox)
            try:
                await self._hear(inlet, inbox, to_stt)
            finally:
                to_stt.close()

    async def _recognise(self, for_stt: LinkReceiver[AudioFrame], to_turns: LinkSender[TurnHeard]) -> None:
        try:
            await self._stt.listen_turns(for_stt, to_turns)
        finally:
            for_stt.close()
            to_turns.close()

    # --- what goes to the recogniser ---

    async def _hear(
        self, inlet: trio.abc.ReceiveChannel[Frame], inbox: Inbox, to_stt: LinkSender[AudioFrame]
    ) -> None:
        given_s = math.inf  # of silence since the last audio
        while True:
            is_needed = self._turn is not None or given_s < FLUSH_S
            wait_s = SILENCE_STEP_S if given_s > 0 else self._input_silence_s
            with trio.move_on_after(wait_s if is_needed else math.inf) as scope:
                frame = await anext(inlet, None)
            if scope.cancelled_caught:
                given_s += SILENCE_STEP_S
                await self._give_silence(to_stt)
                continue
            match frame:
                case None:
                    break
                case AudioFrame():
                    if given_s > 0 and self._turn is None:
                        self._clock.skip(round(APART_S * self._stt.rate))
                    given_s = 0.0
                    await self._hear_audio(frame, inbox, to_stt)
                case DtmfFrame():
                    inbox.put(UserActed())
                case MessageFrame(data={"type": "text", "text": str(text)}):
                    inbox.put(UserTurn(text))
                case MessageFrame():
                    inbox.put(UserActed())
        await self._flush(to_stt)

    async def _hear_audio(self, frame: AudioFrame, inbox: Inbox, to_stt: LinkSender[AudioFrame]) -> None:
        if frame.rate != inbox.rate:
            raise ConfigError(f"audio at {frame.rate} Hz came in on a capture clock of {inbox.rate} Hz")
        if inbox.clock.heard(frame.position, frame.end, trio.current_time()):
            inbox.wake()
        for resampled in self._resampler.feed(frame):
            await self._give_audio(to_stt, resampled)
        await trio.lowlevel.checkpoint()

    async def _flush(self, to_stt: LinkSender[AudioFrame]) -> None:
        for resampled in self._resampler.flush():
            await self._give_audio(to_stt, resampled)
        await trio.lowlevel.checkpoint()

    async def _give_audio(self, to_stt: LinkSender[AudioFrame], frame: AudioFrame) -> None:
        position = self._clock.add(frame.position, frame.sample_count)
        await self._give(to_stt, attrs.evolve(frame, position=position))

    async def _give_silence(self, to_stt: LinkSender[AudioFrame]) -> None:
        await self._flush(to_stt)
        count = round(SILENCE_STEP_S * self._stt.rate)
        await self._give(
            to_stt, AudioFrame.silence(count, self._stt.rate, position=self._clock.add_silence(count))
        )

    async def _give(self, to_stt: LinkSender[AudioFrame], frame: AudioFrame) -> None:
        try:
            await to_stt.send(frame)
        except LinkStopped:
            raise ServiceError("it stopped while audio came", service="recogniser") from None

    # --- what it says ---

    async def _tell_turns(self, heard: LinkReceiver[TurnHeard], inbox: Inbox) -> None:
        while True:
            news: TurnHeard | None = None
            with trio.move_on_after(self._give_up_s if self._turn is not None else math.inf) as scope:
                news = await anext(heard, None)
            if scope.cancelled_caught and self._turn is not None:
                self._settled = self._turn.last.position or 0
                self._end_turn(self._turn, attrs.evolve(self._turn.last, final=True), inbox)
            elif news is None:
                return
            else:
                self._tell_turn(news, inbox)

    def _tell_turn(self, news: TurnHeard, inbox: Inbox) -> None:
        transcript = self._map(news.transcript, inbox)
        if transcript.start < self._settled:
            return  # it was told already
        turn = self._turn
        if turn is None:
            if not words_of(transcript.text):
                return
            turn = self._turn = self._begin_turn(transcript, inbox)
        turn.last = transcript = attrs.evolve(transcript, start=turn.start)
        if transcript.final:
            self._end_turn(turn, transcript, inbox)
            return
        emit(transcript)
        inbox.put(transcript)
        if news.is_draft:
            turn.draft = transcript.text
            inbox.put(TurnDraft(transcript.text))
        elif turn.draft and transcript.text != turn.draft:
            turn.draft = ""
            inbox.put(TurnDraft(""))

    def _begin_turn(self, transcript: Transcript, inbox: Inbox) -> _Turn:
        if transcript.words:
            start = transcript.words[0].start
        else:
            now = inbox.clock.position_at(trio.current_time())
            start = max(transcript.start, now - round(LATENCY_S * inbox.rate))
        started = SpeechStarted(position=start)
        emit(started)
        inbox.put(started)
        return _Turn(start, transcript)

    def _end_turn(self, turn: _Turn, transcript: Transcript, inbox: Inbox) -> None:
        self._turn = None
        # The recogniser may count the silence behind the last word to its turn.
        voiced_to = transcript.words[-1].end if transcript.words else transcript.position or 0
        end = max(voiced_to, turn.start + 1)
        stopped = SpeechStopped(position=end, start=turn.start)
        transcript = attrs.evolve(transcript, position=end)
        for event in (stopped, transcript):
            emit(event)
            inbox.put(event)
        inbox.put(TurnOver())

    def _map(self, transcript: Transcript, inbox: Inbox) -> Transcript:
        """Return ``transcript`` with positions on the capture clock."""
        if transcript.position is None:
            raise ServiceError("a transcript came without its position", service="recogniser", fault="ours")

        def captured(position: int) -> int:
            return scale_position(self._clock.captured(position), self._stt.rate, inbox.rate)

        words = tuple(
            TranscriptWord(word.text, captured(word.start), captured(word.end)) for word in transcript.words
        )
        start, position = captured(transcript.start), captured(transcript.position)
        return attrs.evolve(transcript, start=start, position=position, words=words)


@final
class _Clock:
    """The recogniser's clock, at its rate: it counts the silence too that nobody captured."""

    def __init__(self) -> None:
        self._anchors: deque[tuple[int, int, bool]] = deque([(0, 0, False)], maxlen=MAX_ANCHORS)
        """Where it stood, where the capture clock stood, and whether that went on."""
        self._now = 0
        self._next_captured = 0

    def add(self, captured: int, sample_count: int) -> int:
        """Return the position of the samples that were captured at ``captured``."""
        goes_on = self._anchors[-1][2]
        if not goes_on or captured != self._next_captured:
            self._anchors.append((self._now, captured, True))
        self._next_captured = captured + sample_count
        return self._advance(sample_count)

    def add_silence(self, sample_count: int) -> int:
        """Return the position of so many samples that nobody captured."""
        if self._anchors[-1][2]:
            self._anchors.append((self._now, self._next_captured, False))
        return self._advance(sample_count)

    def skip(self, sample_count: int) -> None:
        """Leave so many positions out."""
        self.add_silence(sample_count)

    def _advance(self, sample_count: int) -> int:
        position = self._now
        self._now += sample_count
        return position

    def captured(self, position: int) -> int:
        """Return the place of ``position`` on the capture clock."""
        anchors = self._anchors
        index = max(0, bisect_right(anchors, position, key=lambda anchor: anchor[0]) - 1)
        start, captured, goes_on = anchors[index]
        return captured + (position - start) if goes_on else captured
