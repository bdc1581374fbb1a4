"""One run of a recogniser behind a connection: four tasks around ``machines.dictation``.

One takes what comes in, one sends audio, one asks to finalize, one tells transcripts; what the vendor says is
taken at once by the connection's reader.

1. The connection is dialled with the first audio, and after a clean close while nothing came, with the next.
2. Audio is kept until a final transcript covers it.  After a loss it is given again on the new stream, no
   faster than the vendor allows; words that were final before are not told again.
3. Silence that nobody spoke in is not kept.
4. A vendor that was asked to finalize, and says nothing at all, is taken for lost; so is one that follows
   turns by itself and says nothing more of the turn that is open.
5. What was changed of its options while it runs is told to every further stream first.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeAlias, final

import attrs
import trio

from voicetrio.connection.connection import Connection
from voicetrio.connection.faults import ConnectionLost
from voicetrio.connection.recovery import ReplayQueue
from voicetrio.connection.websocket.socket import Message
from voicetrio.errors import ConfigError
from voicetrio.events import Failure, WorkLost
from voicetrio.frames import AudioFrame
from voicetrio.machines.dictation import Dictated, Dictation
from voicetrio.runtime.emit import emit
from voicetrio.runtime.running import Job, Report, run_together
from voicetrio.services.hearing_stream import HearingStream
from voicetrio.services.hearing_wire import Finalized, Finished, Heard, HearingWire, NotTaken
from voicetrio.values import positive

__all__ = ["HearingRun", "HearingSettings", "Tell"]

KEPT_SILENCE_S: Final = 1.0
"""So much audio before speech is given again after a loss: the VAD tells late that it began."""
KEPT_BETWEEN_TURNS_S: Final = 8.0
"""The same where the vendor tells: it may have been lost for as long as pings take to find out."""
QUIET_S: Final = 2.0
"""After so long without audio the connection is not held to be in use."""


@attrs.frozen(kw_only=True)
class HearingSettings:
    """How a recogniser is used; times in seconds."""

    chunk_s: float = attrs.field(default=0.1, validator=positive)
    """Audio is given in pieces of this length."""
    pad_s: float = 0.0
    """A shorter piece, at an end, is filled with silence to this length."""
    answer_s: float = attrs.field(default=2.0, validator=positive)
    """A recogniser that was asked to finalize is waited for so long."""
    lost_s: float = attrs.field(default=8.0, validator=positive)
    """One that cannot be asked is waited for so long."""
    finish_s: float = 2.0
    """At the end the rest is waited for so long."""
    replay_s: float = attrs.field(default=30.0, validator=positive)
    """So much audio is kept to be given again."""
    pace: float = 2.0
    """Seconds of audio a second that the vendor takes at most."""
    burst_s: float = 4.0
    """Seconds of audio that it takes at once."""


Tell: TypeAlias = Callable[[Dictated], Awaitable[None]]
"""Given each transcript, in order."""


class _NothingOwed(Exception):
    """No audio will come and no answer is owed, so no stream is needed."""


@final
class HearingRun:
    """One call of ``listen``.

    Args:
        name: the service, for events and errors.
        rate: hertz of the mono audio.
        wire: the vendor's, for this run alone.
        settings: see there.
        own_turns: the vendor decides turns, and no boundary will come.
        configuration: what changes the vendor's options; None: they are those of the address.
    """

    def __init__(
        self,
        name: str,
        rate: int,
        wire: HearingWire,
        settings: HearingSettings,
        *,
        own_turns: bool = False,
        configuration: Message | None = None,
    ) -> None:
        self._name = name
        self._rate = rate
        self._wire = wire
        self._settings = settings
        self._own_turns = own_turns
        self._configuration = configuration
        self._configured: Message | None = None
        """Which of them the present stream is told."""
        self._queue = ReplayQueue(
            name, rate, max_s=settings.replay_s, pace=settings.pace, burst_s=settings.burst_s
        )
        self._dictation = Dictation(rate, answer_s=settings.answer_s, lost_s=settings.lost_s)
        self._number = 0
        """Of the stream that is given audio; 0: there is none."""
        self._stream = self._new_stream()
        self._giving = trio.Lock()
        self._dialling = trio.CancelScope()
        self._heard_to = 0
        """Just past the audio that came in."""
        self._has_audio = False
        self._changed = trio.Event()
        self._received_at = 0.0
        self._inlet_ended = False
        self._all_sent = False
        self._finish_asked = False
        self._finished = trio.Event()

    async def run(self, connection: Connection, inlet: trio.abc.ReceiveChannel[Any], tell: Tell) -> None:
        """Recognise ``inlet`` to its end; ``on_message`` must be given what ``connection`` receives.

        Raises ServiceError when the connection gave up, ConfigError for audio of another format, and what
        ``tell`` raises.
        """
        connection.on_lost(self._lost)
        jobs = (
            Job(f"{self._name} takes", partial(self._take, inlet)),
            Job(f"{self._name} sends", partial(self._send, connection)),
            Job(f"{self._name} asks", partial(self._ask, connection)),
            Job(f"{self._name} tells", partial(self._tell, connection, tell)),
        )
        try:
            await run_together(self._name, jobs, Report())
        except Exception:
            self._tell_lost_audio()
            raise
        self._tell_lost_audio()

    def configure(self, message: Message) -> None:
        """Say ``message`` on the stream that is open, and first of all on every further one."""
        self._configuration = message
        self._notify()

    def _tell_lost_audio(self) -> None:
        if self._dictation.gave_up and not self._number and self._queue.behind_s:
            lost_s = self._queue.behind_s
            emit(WorkLost(connection=self._name, kind="audio", seconds=lost_s))

    def _new_stream(self) -> HearingStream:
        return HearingStream(self._rate, chunk_s=self._settings.chunk_s, pad_s=self._settings.pad_s)

    def _stop_dialling_if_vain(self) -> None:
        if self._inlet_ended and self._dictation.deadline == math.inf:
            self._dialling.cancel("no audio will come, and nothing is owed")

    def _notify(self) -> None:
        self._stop_dialling_if_vain()
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    # --- what comes in ---

    async def _take(self, inlet: trio.abc.ReceiveChannel[Any]) -> None:
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

    # --- streams ---

    def _has_stream(self, connection: Connection) -> bool:
        return self._number != 0 and connection.stream == self._number

    async def _begin(self, connection: Connection) -> None:
        """Wait for a stream, and begin it with what was not answered."""
        self._number = 0
        number = 0
        with trio.CancelScope() as self._dialling:
            self._stop_dialling_if_vain()
            number = await connection.wait_usable()
        if not number:
            raise _NothingOwed
        self._wire.opened()
        self._dictation.lost()
        self._queue.rewind()
        self._stream = self._new_stream()
        self._all_sent = False
        self._configured = self._configuration
        self._received_at = trio.current_time()
        self._number = number
        self._notify()
        if self._configured is not None:
            await connection.send(self._configured, stream=number)

    def _lost(self, number: int, _lost: ConnectionLost) -> None:
        """The stream is over: whoever finds out first says so, the connection or a task that used it."""
        if not number or number != self._number:
            return
        self._number = 0
        self._dictation.lost()
        if self._own_turns and not self._dictation.is_between_turns:
            self._queue.rewind()  # the turn goes on, also where no audio comes any more
        if self._finish_asked:
            self._finished.set()
        self._notify()

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
            except ConnectionLost as lost:
                self._lost(lost.stream, lost)
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

    async def _give(self, connection: Connection, frame: AudioFrame) -> None:
        if not self._has_stream(connection):
            await self._begin(connection)
            return  # the frame comes again, after the oldest that is not answered
        stream, number = self._stream, self._number
        stream.add(frame)
        async with self._giving:
            while (chunk := stream.take_chunk()) is not None:
                await connection.send(self._wire.audio(chunk), stream=number)
        self._notify()

    # --- asking ---

    async def _ask(self, connection: Connection) -> None:
        while True:
            changed = self._changed
            position = self._dictation.to_ask
            is_due = position is not None and (self._stream.end >= position or self._all_sent)
            number = self._number
            try:
                if number and self._configuration is not None and self._configuration != self._configured:
                    self._configured = self._configuration
                    await connection.send(self._configured, stream=number)
                elif number and is_due:
                    await self._ask_once(connection, number)
                elif self._inlet_ended and self._all_sent and self._dictation.deadline == math.inf:
                    break
                else:
                    await changed.wait()
            except ConnectionLost as lost:
                self._lost(lost.stream, lost)
        await self._finish(connection)

    async def _ask_once(self, connection: Connection, number: int) -> None:
        stream = self._stream
        async with self._giving:
            rest = stream.take_rest()
            if rest is not None:
                await connection.send(self._wire.audio(rest), stream=number)
        message = self._wire.finalize()
        if message is not None:
            await connection.send(message, stream=number)
        self._dictation.asked(trio.current_time())
        self._notify()

    async def _finish(self, connection: Connection) -> None:
        message = self._wire.finish()
        self._finish_asked = True
        if message is not None and self._has_stream(connection):
            try:
                await connection.send(message, stream=self._number)
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
                    hypothesis = self._stream.place(answer, self._dictation.covered)
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

    async def _tell(self, connection: Connection, tell: Tell) -> None:
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
        is_in_turn = self._own_turns and self._number and not self._dictation.is_between_turns
        return self._received_at + self._settings.lost_s if is_in_turn else math.inf
