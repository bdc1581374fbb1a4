"""A peer in the same process, for tests and for embedding: no socket, no wire, exact time.

``memory_peer()`` gives both ends: the transport for ``open_session``, and the *far end*, which is the caller.
"""

from __future__ import annotations

from collections import deque
from typing import Any, TypeAlias, final

import attrs
import numpy as np
import numpy.typing as npt
import trio

from voicetrio.errors import ConfigError, PeerGone
from voicetrio.events import Dtmf, Event, MessageReceived
from voicetrio.frames import AudioFrame
from voicetrio.runtime.transport import (
    Clear,
    HangUp,
    Inbound,
    Mark,
    Operation,
    OutboxReader,
    SendAudio,
    SendMessage,
    Traits,
)
from voicetrio.transports.playback import PlaybackBuffer
from voicetrio.values import Value

__all__ = ["FarEnd", "Heard", "MemoryPeer", "MemoryPeerStatistics", "memory_peer"]

REPORT_INTERVAL_S = 0.1
"""How often the far end tells what it has played."""


@attrs.frozen(eq=False, repr=False)
class Heard(Value):
    """One operation, as it reached the far end."""

    time: float
    """``trio.current_time()``, in seconds."""
    operation: Operation


@attrs.frozen(kw_only=True, eq=False, repr=False)
class MemoryPeerStatistics(Value):
    """Counts of one memory peer."""

    heard: int
    """Operations that reached the far end, in all."""
    forgotten: int
    """Of these, how many are not recorded any more."""
    waiting: int
    """What the far end sent and the session has not taken yet."""


@attrs.frozen(eq=False, repr=False)
class _SourceEnded(Value):
    """The far end will send no more audio."""


@attrs.frozen(eq=False, repr=False)
class _Gone(Value):
    """The far end left."""

    why: str
    code: int | None


_Sent: TypeAlias = AudioFrame | Event | _SourceEnded | _Gone


def memory_peer(
    *,
    traits: Traits | None = None,
    name: str = "memory",
    max_waiting: int = 512,
    max_recorded: int = 100_000,
    playback_start_s: float = 0.06,
) -> tuple[MemoryPeer, FarEnd]:
    """Make a transport and its far end.

    What the far end sends before the session runs waits, at most ``max_waiting`` items; it records the last
    ``max_recorded`` operations.  With ``traits.confirms`` it plays what it gets, as a client with
    ``playback_start_s`` of buffer does, and tells every 0.1 s what it has played.
    """
    if max_waiting < 1 or max_recorded < 1:
        raise ConfigError("max_waiting and max_recorded must be at least 1")
    far_end = FarEnd(traits or Traits(echo="none"), max_waiting, max_recorded, playback_start_s)
    return MemoryPeer(far_end, name), far_end


@final
class FarEnd:
    """The caller's side of a memory peer; made by ``memory_peer`` only."""

    def __init__(self, traits: Traits, max_waiting: int, max_recorded: int, playback_start_s: float) -> None:
        self.traits = traits
        """What this peer can do."""
        self.heard: deque[Heard] = deque(maxlen=max_recorded)
        """Every operation that reached it, with its time; the oldest go first."""
        self.playback = PlaybackBuffer(traits.output_rate, start_s=playback_start_s)
        """What it plays, as of the last operation."""
        self.epoch = 0
        """Of the last clear that reached it."""
        self._sender, self._receiver = trio.open_memory_channel[_Sent](max_waiting)
        self._position = 0
        self._reads = trio.Event()
        self._reads.set()
        self._heard_count = 0
        self._changed = trio.lowlevel.ParkingLot()

    # --- what it sends ---

    async def send_audio(self, audio: AudioFrame | npt.NDArray[Any]) -> None:
        """Send a frame, or int16 mono samples that follow what was sent before; waits for room.

        Raises trio.BrokenResourceError when the session is over.
        """
        await self._sender.send(self._frame(audio))

    def send_audio_nowait(self, audio: AudioFrame | npt.NDArray[Any]) -> None:
        """Send audio at once; raises trio.WouldBlock if there is no room."""
        self._sender.send_nowait(self._frame(audio))

    def dtmf(self, digit: str) -> None:
        """Press a key."""
        self._sender.send_nowait(Dtmf(digit=digit, position=self._position))

    def message(self, data: Any) -> None:
        """Send an application's message."""
        self._sender.send_nowait(MessageReceived(data=data))

    def end_source(self) -> None:
        """Send no more audio, as a file's end does; the session begins to end."""
        self._sender.send_nowait(_SourceEnded())

    def hang_up(self, why: str = "the far end hung up", code: int | None = None) -> None:
        """Leave: the transport raises PeerGone."""
        self._sender.send_nowait(_Gone(why, code))

    def _frame(self, audio: AudioFrame | npt.NDArray[Any]) -> AudioFrame:
        rate = self.traits.input_rate
        if not isinstance(audio, AudioFrame):
            audio = AudioFrame.from_samples(np.asarray(audio), rate, self._position)
        if audio.rate != rate or audio.channels != 1:
            raise ConfigError(
                f"this peer sends mono at {rate} Hz, not {audio.channels} channels at {audio.rate} Hz"
            )
        if audio.position < self._position:
            raise ConfigError(f"positions cannot go back: {audio.position} after {self._position}")
        self._position = audio.end
        return audio

    # --- what it hears ---

    def stop_reading(self) -> None:
        """Take nothing from the session any more: its outbox fills."""
        if self._reads.is_set():
            self._reads = trio.Event()

    def resume_reading(self) -> None:
        """Take what waits."""
        self._reads.set()

    @property
    def audio(self) -> list[AudioFrame]:
        """The audio that reached it and is recorded, in order."""
        return [item.operation.frame for item in self.heard if isinstance(item.operation, SendAudio)]

    @property
    def messages(self) -> list[Any]:
        """The messages and events that reached it and are recorded, in order."""
        return [item.operation.data for item in self.heard if isinstance(item.operation, SendMessage)]

    async def wait_heard(self, count: int) -> None:
        """Wait until ``count`` operations reached it, in all."""
        await trio.lowlevel.checkpoint()
        while self._heard_count < count:
            await self._changed.park()

    def _hear(self, operation: Operation) -> None:
        now = trio.current_time()
        match operation:
            case SendAudio(frame=frame):
                self.playback.push(frame.samples, now, position=frame.position)
            case Clear(epoch=epoch, position=position):
                self.playback.clear(position, now)
                self.epoch = epoch
            case _:
                pass
        self.heard.append(Heard(now, operation))
        self._heard_count += 1
        self._changed.unpark_all()


@final
class MemoryPeer:
    """The transport's side of a memory peer; made by ``memory_peer`` only."""

    def __init__(self, far_end: FarEnd, name: str) -> None:
        self._far_end = far_end
        self._name = name
        self._gone: PeerGone | None = None
        self._reported = 0

    @property
    def name(self) -> str:
        """The peer's name, for logs."""
        return self._name

    @property
    def traits(self) -> Traits:
        """What the peer can do."""
        return self._far_end.traits

    def operation_for(self, event: Event) -> Operation | None:
        """Return what tells the far end of ``event``: nothing, since it can observe the session."""
        return None

    async def run(self, inbound: Inbound, outbox: OutboxReader) -> None:
        """Pass on both ways until the outbox says HangUp; see Transport."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read, inbound, nursery.cancel_scope, name=f"{self._name}/reader")
            if self.traits.confirms:
                nursery.start_soon(self._report, inbound, name=f"{self._name}/playback reports")
            await self._write(inbound, outbox)
            nursery.cancel_scope.cancel()
        if self._gone is not None:
            raise self._gone

    def statistics(self) -> MemoryPeerStatistics:
        """Return the counts so far."""
        far_end = self._far_end
        return MemoryPeerStatistics(
            heard=far_end._heard_count,
            forgotten=far_end._heard_count - len(far_end.heard),
            waiting=far_end._receiver.statistics().current_buffer_used,
        )

    async def _write(self, inbound: Inbound, outbox: OutboxReader) -> None:
        far_end = self._far_end
        while True:
            operation = await outbox.next(self._take_at_once)
            while not far_end._reads.is_set():
                await far_end._reads.wait()
                # It may read again, and the session be cancelled, in one step: then this is not written.
                await trio.lowlevel.checkpoint_if_cancelled()
            far_end._hear(operation)
            outbox.written(operation)
            if isinstance(operation, HangUp):
                return
            if isinstance(operation, Mark) and self.traits.confirms:
                self._confirm(inbound)

    def _take_at_once(self, operation: Operation) -> bool:
        """Let it be heard in the step that made it, if nothing is in the way; see OutboxReader."""
        if not self._far_end._reads.is_set() or isinstance(operation, HangUp | Mark):
            return False
        self._far_end._hear(operation)
        return True

    async def _read(self, inbound: Inbound, scope: trio.CancelScope) -> None:
        async with self._far_end._receiver:
            async for sent in self._far_end._receiver:
                match sent:
                    case AudioFrame() if self.traits.live:
                        inbound.send_nowait(sent)
                    case AudioFrame():
                        await inbound.send(sent)
                    case Event():
                        inbound.tell(sent)
                    case _SourceEnded():
                        inbound.source_ended()
                    case _Gone(why=why, code=code):
                        self._gone = PeerGone(why, code=code)
                        scope.cancel()
                        return

    async def _report(self, inbound: Inbound) -> None:
        report_at = trio.current_time()
        while True:
            report_at += REPORT_INTERVAL_S
            await trio.sleep_until(report_at)
            self._confirm(inbound)

    def _confirm(self, inbound: Inbound) -> None:
        far_end = self._far_end
        position = far_end.playback.advance(trio.current_time())
        # Silence is not reported: the session carries a report forward until the next.
        if far_end.playback.is_playing or position != self._reported:
            inbound.confirm(far_end.epoch, position)
            self._reported = position
