"""A recogniser behind a connection: audio goes out as it comes, transcripts come back.

A vendor's *wire* (``hearing_wire``) says how audio is given and what the answers mean, without I/O;
``machines.dictation`` decides which transcripts that makes.  Four tasks do the rest: one takes what comes in,
one sends audio, one asks to finalize and one tells transcripts.

1. The connection lives as long as ``listen``.  It is dialled with the first audio, and after a clean close
   while nothing came, with the next.
2. Audio is kept until a final transcript covers it.  After a loss it is given again on the new stream, no
   faster than the vendor allows; words that were final before are not told again.
3. Silence that nobody spoke in is not kept.
4. The vendor's times count the samples of a stream: they are brought to the capture clock through every gap
   and every pad.
5. A vendor that was asked to finalize, and says nothing at all, is taken for lost; so is one that follows
   turns by itself and says nothing more of the turn that is open.
6. What was changed of its options while it runs is told to every further stream first.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias, final

import attrs
import trio

from voicetrio.connection.connection import Connection
from voicetrio.connection.faults import ConnectionLost
from voicetrio.connection.recovery import ReplayQueue
from voicetrio.connection.websocket.socket import Message
from voicetrio.errors import ConfigError
from voicetrio.events import Failure, Transcript, TranscriptWord, WorkLost
from voicetrio.frames import AudioFrame
from voicetrio.machines.dictation import Dictated, Dictation, Hypothesis
from voicetrio.machines.stream_clock import StreamClock
from voicetrio.runtime.emit import emit
from voicetrio.services.hearing_wire import Finalized, Finished, Heard, HearingWire, NotTaken
from voicetrio.services.stt import SttInput

__all__ = ["ConnectedSTT", "HearingSettings", "OnMessage", "OpenLine"]

KEPT_SILENCE_S = 1.0
"""So much audio before speech is given again after a loss: the VAD tells late that it began."""
KEPT_BETWEEN_TURNS_S = 8.0
"""The same where the vendor tells: it may have been lost for as long as pings take to find out."""
FILLED_GAP_S = 0.5
"""A shorter gap in the audio is given as silence, so that words keep their distance."""
QUIET_S = 2.0
"""After so long without audio the connection is not held to be in use."""


@attrs.frozen(kw_only=True)
class HearingSettings:
    """How a recogniser is used; times in seconds."""

    chunk_s: float = 0.1
    """Audio is given in pieces of this length."""
    pad_s: float = 0.0
    """A shorter piece, at an end, is filled with silence to this length."""
    answer_s: float = 2.0
    """A recogniser that was asked to finalize is waited for so long."""
    lost_s: float = 8.0
    """One that cannot be asked is waited for so long."""
    finish_s: float = 2.0
    """At the end the rest is waited for so long."""
    replay_s: float = 30.0
    """So much audio is kept to be given again."""
    pace: float = 2.0
    """Seconds of audio a second that the vendor takes at most."""
    burst_s: float = 4.0
    """Seconds of audio that it takes at once."""


class OpenLine(Protocol):
    """Opens the connection, see ``open_connection``."""

    def __call__(self, on_message: OnMessage, /) -> AbstractAsyncContextManager[Connection]:
        """Open it for as long as the block lasts."""
        ...


class OnMessage(Protocol):
    """Takes each message at once."""

    def __call__(self, message: Message, /) -> None:
        """Take it."""
        ...


class ConnectedSTT:
    """The recogniser of one session, over one connection; ``listen`` runs once at a time.

    Args:
        name: the service, for events and errors.
        rate: hertz of the mono audio.
        make_wire: makes the vendor's wire.
        open_line: opens the connection.
        settings: see there.
    """

    def __init__(
        self,
        name: str,
        rate: int,
        make_wire: Callable[[], HearingWire],
        open_line: OpenLine,
        settings: HearingSettings,
    ) -> None:
        self._name = name
        self._rate = rate
        self._make_wire = make_wire
        self._open_line = open_line
        self._settings = settings
        self._configuration: Message | None = None
        self._runs: set[_Run] = set()

    @property
    def rate(self) -> int:
        """Hertz."""
        return self._rate

    async def listen(
        self, inlet: trio.abc.ReceiveChannel[SttInput], outlet: trio.abc.SendChannel[Transcript]
    ) -> None:
        """Recognise until ``inlet`` ends; see ``STT.listen``.

        Raises ServiceError when the connection gave up, ConfigError for audio of another format.
        """

        async def tell(dictated: Dictated) -> None:
            await outlet.send(dictated.transcript)

        await self._listen(inlet, tell)

    async def _listen(
        self, inlet: trio.abc.ReceiveChannel[Any], tell: _Tell, *, own_turns: bool = False
    ) -> None:
        run = _Run(self._name, self._rate, self._make_wire(), self._settings, own_turns=own_turns)
        run.configuration = self._configuration
        self._runs.add(run)
        try:
            async with self._open_line(run.on_message) as connection:
                await run.run(connection, inlet, tell)
        finally:
            self._runs.discard(run)

    def _configure(self, message: Message) -> None:
        """Say ``message`` on the stream that is open, and first of all on every further one."""
        self._configuration = message
        for run in self._runs:
            run.configure(message)


_Tell: TypeAlias = Callable[[Dictated], Awaitable[None]]


class _NothingOwed(Exception):
    """No audio will come and no answer is owed, so no stream is needed."""


@final
class _Run:
    """One call of ``listen``."""

    def __init__(
        self, name: str, rate: int, wire: HearingWire, settings: HearingSettings, *, own_turns: bool
    ) -> None:
        self.configuration: Message | None = None
        """What changes the vendor's options; None: they are those of the address."""
        self._configured: Message | None = None
        self._own_turns = own_turns
        self._name = name
        self._rate = rate
        self._wire = wire
        self._settings = settings
        self._queue = ReplayQueue(
            name, rate, max_s=settings.replay_s, pace=settings.pace, burst_s=settings.burst_s
        )
        self._dictation = Dictation(rate, answer_s=settings.answer_s, lost_s=settings.lost_s)
        self._clock = StreamClock(rate)
        self._stream = 0
        self._pending = bytearray()
        self._giving = trio.Lock()
        self._dialling = trio.CancelScope()
        self._heard_to = 0
        """Just past the audio that came in."""
        self._has_audio = False
        self._sent_to = 0
        """Just past the audio that the present stream was given."""
        self._changed = trio.Event()
        self._received_at = 0.0
        self._inlet_ended = False
        self._all_sent = False
        self._finish_asked = False
        self._finished = trio.Event()
        self._failures: list[Exception] = []

    async def run(
        self,
        connection: Connection,
        inlet: trio.abc.ReceiveChannel[SttInput],
        tell: _Tell,
    ) -> None:
        connection.on_lost(self._lost)
        async with trio.open_nursery() as nursery:
            for part in (self._send(connection), self._ask(connection), self._tell(connection, tell)):
                nursery.start_soon(self._guard, part, nursery.cancel_scope)
            await self._guard(self._take(inlet), nursery.cancel_scope)
        if self._dictation.gave_up and not self._stream and self._queue.behind_s:
            lost_s = self._queue.behind_s
            emit(WorkLost(connection=self._name, kind="audio", seconds=lost_s))
        if self._failures:
            first = self._failures[0]
            raise first if len(self._failures) == 1 else ExceptionGroup(self._name, self._failures)

    async def _guard(self, part: Awaitable[None], scope: trio.CancelScope) -> None:
        """Run one task; its failure ends all, and is raised once, without a group around it."""
        await trio.lowlevel.checkpoint()
        try:
            await part
        except Exception as error:
            self._failures.append(error)
            scope.cancel("recognition failed")

    def _stop_dialling_if_vain(self) -> None:
        if self._inlet_ended and self._dictation.deadline == math.inf:
            self._dialling.cancel("no audio will come, and nothing is owed")

    def _notify(self) -> None:
        self._stop_dialling_if_vain()
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    # --- what comes in ---

    async def _take(self, inlet: trio.abc.ReceiveChannel[SttInput]) -> None:
        async for item in inlet:
            if isinstance(item, AudioFrame):
                self._hear(item)
            elif item.kind == "start":
                self._dictation.start(item.position)
            else:
                self._dictation.stop(item.position, trio.current_time())
            self._notify()
        self._inlet_ended = True
        self._dictation.end(self._heard_to, trio.current_time())
        self._queue.close()
        self._notify()

    def _hear(self, frame: AudioFrame) -> None:
        if frame.rate != self._rate or frame.channels != 1:
            raise ConfigError(
                f"{self._name} expects mono audio of {self._rate} Hz, "
                f"not {frame.channels} channel(s) of {frame.rate} Hz"
            )
        if not self._has_audio:
            self._has_audio = True
            self._queue.cover(frame.position)
        elif self._dictation.is_idle:
            # Up to a moment ago nobody spoke: that need not be heard again.
            self._queue.cover(max(self._heard_to, frame.position) - round(KEPT_SILENCE_S * self._rate))
        elif self._own_turns and self._dictation.is_between_turns:
            kept_s = KEPT_BETWEEN_TURNS_S
            self._queue.cover(max(self._heard_to, frame.position) - round(kept_s * self._rate))
        self._heard_to = frame.end
        self._queue.push(frame)

    # --- what goes out ---

    async def _send(self, connection: Connection) -> None:
        while True:
            await trio.lowlevel.checkpoint()
            changed = self._changed
            try:
                frame: AudioFrame | None = await self._queue.take()
                # While audio comes, a clean close is a loss; while none does, it is not.
                with connection.using():
                    while frame is not None:
                        await self._give(connection, frame)
                        frame = await self._next_soon()
            except ConnectionLost:
                self._stream = 0
            except _NothingOwed:
                self._all_sent = True
                self._notify()
                return
            except trio.EndOfChannel:
                is_all = self._dictation.deadline == math.inf or self._has_stream(connection)
                if is_all and not self._all_sent:
                    self._all_sent = True
                    self._notify()
                    changed = self._changed
                if self._dictation.deadline == math.inf:
                    return
                with connection.using():
                    if self._has_stream(connection):
                        await changed.wait()
                    else:
                        await self._begin(connection)

    async def _next_soon(self) -> AudioFrame | None:
        with trio.move_on_after(QUIET_S):
            return await self._queue.take()
        return None

    def _has_stream(self, connection: Connection) -> bool:
        return self._stream != 0 and connection.stream == self._stream

    async def _begin(self, connection: Connection) -> None:
        """Wait for a stream, and begin it with what was not answered."""
        self._stream = 0
        number = 0
        with trio.CancelScope() as self._dialling:
            self._stop_dialling_if_vain()
            number = await connection.wait_usable()
        if not number:
            raise _NothingOwed
        self._wire.opened()
        self._dictation.lost()
        self._queue.rewind()
        self._pending.clear()
        self._clock = StreamClock(self._rate)
        self._sent_to = 0
        self._all_sent = False
        self._configured = None
        self._received_at = trio.current_time()
        self._stream = number
        self._notify()

    async def _give(self, connection: Connection, frame: AudioFrame) -> None:
        if not self._has_stream(connection):
            await self._begin(connection)
            return  # the frame comes again, after the oldest that is not answered
        gap = frame.position - self._sent_to if self._clock.count else 0
        if 0 < gap <= FILLED_GAP_S * self._rate:
            self._add(bytes(2 * gap), self._sent_to)
        self._add(bytes(frame.pcm), frame.position)
        size = 2 * round(self._settings.chunk_s * self._rate)
        async with self._giving:
            while len(self._pending) >= size:
                await self._give_chunk(connection, size)
        self._notify()

    def _add(self, pcm: bytes, position: int) -> None:
        self._clock.add(position, len(pcm) // 2)
        self._pending += pcm
        self._sent_to = position + len(pcm) // 2

    async def _give_chunk(self, connection: Connection, size: int) -> None:
        chunk = bytes(self._pending[:size])
        del self._pending[:size]
        await connection.send(self._wire.audio(chunk), stream=self._stream)

    async def _give_rest(self, connection: Connection) -> None:
        """Give what is left of a chunk, padded if the vendor needs that."""
        async with self._giving:
            if self._pending:
                missing = 2 * round(self._settings.pad_s * self._rate) - len(self._pending)
                if missing > 0:
                    self._clock.pad(missing // 2)
                    self._pending += bytes(missing)
                await self._give_chunk(connection, len(self._pending))

    # --- finalizing ---

    async def _ask(self, connection: Connection) -> None:
        while True:
            changed = self._changed
            if self.configuration != self._configured and self._stream:
                await self._say_configuration(connection, self.configuration)
                continue
            position = self._dictation.to_ask
            if position is not None and self._stream and (self._sent_to >= position or self._all_sent):
                await self._ask_once(connection)
                continue
            if self._inlet_ended and self._all_sent and self._dictation.deadline == math.inf:
                break
            await changed.wait()
        await self._finish(connection)

    def configure(self, message: Message) -> None:
        """Change the vendor's options."""
        self.configuration = message
        self._notify()

    async def _say_configuration(self, connection: Connection, message: Message | None) -> None:
        assert message is not None
        try:
            await connection.send(message, stream=self._stream)
        except ConnectionLost:
            await trio.lowlevel.checkpoint()
        self._configured = message

    async def _ask_once(self, connection: Connection) -> None:
        try:
            await self._give_rest(connection)
            message = self._wire.finalize()
            if message is not None:
                await connection.send(message, stream=self._stream)
        except ConnectionLost:
            await trio.lowlevel.checkpoint()
            return
        self._dictation.asked(trio.current_time())
        self._notify()

    async def _finish(self, connection: Connection) -> None:
        message = self._wire.finish()
        self._finish_asked = True
        if message is not None and self._stream and connection.stream == self._stream:
            try:
                await connection.send(message, stream=self._stream)
            except ConnectionLost:
                await trio.lowlevel.checkpoint()
            else:
                with trio.move_on_after(self._settings.finish_s):
                    await self._finished.wait()
        self._finished.set()
        self._notify()
        await trio.lowlevel.checkpoint()

    # --- what comes back ---

    def on_message(self, message: Message) -> None:
        """Take a message of the vendor; never waits."""
        now = self._received_at = trio.current_time()
        for answer in self._wire.read(message):
            match answer:
                case Heard():
                    hypothesis = self._place(answer)
                    self._dictation.heard(hypothesis, now)
                    if hypothesis.final:
                        self._queue.cover(hypothesis.end)
                case Finalized():
                    self._dictation.finalized(now)
                case Finished():
                    self._finished.set()
                case NotTaken(error):
                    emit(Failure(where=self._name, error=error))
        self._notify()

    def _place(self, heard: Heard) -> Hypothesis:
        clock = self._clock
        words = tuple(
            TranscriptWord(text, clock.position(start_s), clock.position(end_s))
            for text, start_s, end_s in heard.words
        )
        if heard.end_s is not None:
            end = clock.position(heard.end_s)
        else:
            end = words[-1].end if words else self._sent_to
        if heard.start_s is not None:
            start = clock.position(heard.start_s)
        else:
            start = words[0].start if words else min(self._dictation.covered, end)
        return Hypothesis(
            text=heard.text,
            final=heard.final,
            start=start,
            end=end,
            words=words,
            ends_turn=heard.ends_turn,
            drafts_turn=heard.drafts_turn,
            joins=heard.joins,
        )

    def _lost(self, stream: int, _lost: ConnectionLost) -> None:
        if stream == self._stream:
            self._stream = 0
            self._dictation.lost()
            if self._own_turns and not self._dictation.is_between_turns:
                self._queue.rewind()  # the turn goes on, also where no audio comes any more
            if self._finish_asked:
                self._finished.set()
            self._notify()

    async def _tell(self, connection: Connection, tell: _Tell) -> None:
        await trio.lowlevel.checkpoint()
        dictation = self._dictation
        while True:
            changed = self._changed
            dictated = dictation.take()
            if dictated is not None:
                await tell(dictated)
                continue
            if self._finished.is_set() and self._inlet_ended and dictation.deadline == math.inf:
                return
            with trio.CancelScope(deadline=min(dictation.deadline, self._stalls_at)):
                await changed.wait()
            asked_at = dictation.asked_at
            dictation.tick(trio.current_time())
            self._stop_dialling_if_vain()
            is_late = dictation.asked_at != asked_at
            if not self._has_stream(connection):
                continue
            if asked_at is not None and is_late and self._received_at < asked_at:
                connection.recycle("it was asked to finalize, and said nothing")
            elif trio.current_time() >= self._stalls_at:
                self._received_at = trio.current_time()
                connection.recycle("it had begun a turn, and said nothing more")

    @property
    def _stalls_at(self) -> float:
        """When a vendor that follows turns by itself, and has begun one, must have said something."""
        is_in_turn = self._own_turns and self._stream and not self._dictation.is_between_turns
        return self._received_at + self._settings.lost_s if is_in_turn else math.inf
