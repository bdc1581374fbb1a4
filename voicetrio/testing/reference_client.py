"""A client of our own wire as a careful author would write one: a real WebSocket, a real playback buffer.

It has a microphone that never stops (silence unless ``speak`` gave it something), a playback that starts
when enough is buffered and then consumes in real time, and it tells what it has played.  It records
everything with its time, so that a script can measure at the client's side and nowhere else.  All time is
trio's: under a virtual clock it needs none.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, final
from urllib.parse import urlencode

import attrs
import numpy as np
import trio

from voicetrio.connection.websocket import MessageSocket, SocketClosed, SocketLimits, open_websocket_client
from voicetrio.errors import ConfigError, PeerGone
from voicetrio.frames import Samples
from voicetrio.runtime.attendants import open_attendants
from voicetrio.runtime.deadlines import cleanup
from voicetrio.transports.playback import PlaybackBuffer, PlaybackStatistics, PlayedStretch

__all__ = [
    "AudioArrival",
    "ReferenceClient",
    "ReferenceClientStatistics",
    "ServerMessage",
    "open_reference_client",
]

FRAME_MS = 20
REPORT_INTERVAL_S = 0.1


@attrs.frozen
class ServerMessage:
    """A text message of the server."""

    time: float
    """When it arrived, in seconds."""
    fields: dict[str, Any]
    """The JSON object; ``type`` says what it is."""

    @property
    def event(self) -> str | None:
        """The name of the session's event that it tells; None for other messages."""
        return self.fields.get("event") if self.fields.get("type") == "event" else None


@attrs.frozen
class AudioArrival:
    """An audio message of the server."""

    time: float
    """When it arrived, in seconds."""
    epoch: int
    """Of the last clear before it."""
    position: int
    """Of its first sample, on the playout clock."""
    samples: Samples


@attrs.frozen(kw_only=True)
class ReferenceClientStatistics:
    """What the client counted."""

    playback: PlaybackStatistics
    messages: int
    audio_messages: int
    audio_after_bye: int
    """Audio that came after the server had said goodbye."""
    frames_sent: int
    reports_sent: int
    microphone_late_s: float
    """The most that a frame was sent after its time, in seconds."""


@final
class ReferenceClient:
    """A connected client; made by ``open_reference_client`` only."""

    def __init__(self, socket: MessageSocket, playback: PlaybackBuffer, input_rate: int) -> None:
        self._socket = socket
        self._playback = playback
        self.input_rate = input_rate
        """Hertz of the microphone."""
        self.output_rate = playback.rate
        """Hertz of what is played."""
        self.messages: list[ServerMessage] = []
        """Every text message of the server, in order."""
        self.arrivals: list[AudioArrival] = []
        """Every audio message of the server, in order."""
        self.epoch = 0
        """Of the last clear."""
        self.closed: SocketClosed | None = None
        """How the connection ended, once it has."""
        self.microphone_started = trio.current_time()
        """When the microphone's first sample was recorded, in seconds."""
        self._sent: list[Samples] = []
        self._speech: deque[Samples] = deque()
        self._position = 0
        self._cursor = 0
        self._said_bye = False
        self._audio_after_bye = self._reports = 0
        self._late_s = 0.0
        self._changed = trio.lowlevel.ParkingLot()
        self._played: list[PlayedStretch] = []

    # --- what a script does ---

    def speak(self, samples: Samples) -> float:
        """Queue int16 mono ``samples`` for the microphone; return when the first of them is recorded."""
        if samples.dtype != np.int16 or samples.ndim != 1:
            raise ConfigError(f"a microphone takes int16 mono, not {samples.dtype} of shape {samples.shape}")
        waiting = sum(part.size for part in self._speech)
        if samples.size:
            self._speech.append(samples)
        return self.microphone_started + (self._recorded + waiting) / self.input_rate

    async def wait_spoken(self) -> None:
        """Wait until the server was sent everything that ``speak`` queued."""
        await trio.lowlevel.checkpoint()
        while self._speech and self.closed is None:
            await self._changed.park()

    async def wait_message(self, predicate: Callable[[ServerMessage], bool]) -> ServerMessage:
        """Return the next text message that fits.

        Looks at each message once, in order of arrival, those that came before the call too; so a script
        that waits for one thing after another misses nothing.  Raises PeerGone when the connection ended
        before.
        """
        await trio.lowlevel.checkpoint()
        while True:
            while self._cursor < len(self.messages):
                message = self.messages[self._cursor]
                self._cursor += 1
                if predicate(message):
                    return message
            if self.closed is not None:
                raise PeerGone(f"the connection ended first: {self.closed}", code=self.closed.code)
            await self._changed.park()

    async def wait_event(self, predicate: str | Callable[[dict[str, Any]], bool]) -> ServerMessage:
        """Return the next event that fits: a name, or a function of the event's fields; see wait_message."""
        wanted = predicate if callable(predicate) else lambda fields: fields["event"] == predicate
        return await self.wait_message(lambda message: message.event is not None and wanted(message.fields))

    async def wait_closed(self) -> SocketClosed:
        """Wait until the connection has ended; return how."""
        await trio.lowlevel.checkpoint()
        while self.closed is None:
            await self._changed.park()
        return self.closed

    async def hang_up(self) -> None:
        """Tell the server that the user hangs up; it finishes and closes."""
        await self._send(type="end")

    async def type_text(self, text: str) -> None:
        """Send typed input."""
        await self._send(type="text", text=text)

    async def press(self, digit: str) -> None:
        """Press a key of the telephone."""
        await self._send(type="dtmf", digit=digit)

    async def send_message(self, data: Any) -> None:
        """Send an application's message."""
        await self._send(type="message", data=data)

    # --- what it measured ---

    def spoken_track(self, start: float, stop: float) -> Samples:
        """Return what the microphone recorded from ``start`` to ``stop`` (trio's clock)."""
        track = np.zeros(_length(start, stop, self.input_rate), np.int16)
        if self._sent:
            at = round((self.microphone_started - start) * self.input_rate)
            _place(track, np.concatenate(self._sent), at)
        return track

    def played_track(self, start: float, stop: float) -> Samples:
        """Return what was played from ``start`` to ``stop`` (trio's clock), at ``output_rate``."""
        self._playback.advance(trio.current_time())
        self._played += self._playback.take_played()
        track = np.zeros(_length(start, stop, self.output_rate), np.int16)
        for stretch in self._played:
            _place(track, stretch.samples, round((stretch.time - start) * self.output_rate))
        return track

    def played_stretches(self) -> list[PlayedStretch]:
        """Return what was played until now, piece by piece, each with its time and position."""
        self._playback.advance(trio.current_time())
        self._played += self._playback.take_played()
        return list(self._played)

    def statistics(self) -> ReferenceClientStatistics:
        """Return the counts so far."""
        self._playback.advance(trio.current_time())
        return ReferenceClientStatistics(
            playback=self._playback.statistics(),
            messages=len(self.messages),
            audio_messages=len(self.arrivals),
            audio_after_bye=self._audio_after_bye,
            frames_sent=len(self._sent),
            reports_sent=self._reports,
            microphone_late_s=self._late_s,
        )

    # --- its tasks ---

    @property
    def _recorded(self) -> int:
        return len(self._sent) * self._frame

    @property
    def _frame(self) -> int:
        return self.input_rate * FRAME_MS // 1000

    async def _run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._record, name="reference client microphone")
            nursery.start_soon(self._report, name="reference client reports")
            await self._read()
            nursery.cancel_scope.cancel()

    async def _record(self) -> None:
        while True:
            # A microphone gives a frame when its last sample was recorded.
            due = self.microphone_started + (self._recorded + self._frame) / self.input_rate
            await trio.sleep_until(due)
            self._late_s = max(self._late_s, trio.current_time() - due)
            samples = self._next_frame()
            try:
                await self._socket.send(samples.tobytes())
            except trio.BrokenResourceError:
                return
            self._sent.append(samples)
            self._changed.unpark_all()

    def _next_frame(self) -> Samples:
        frame = np.zeros(self._frame, np.int16)
        filled = 0
        while self._speech and filled < frame.size:
            front = self._speech.popleft()
            taken, rest = front[: frame.size - filled], front[frame.size - filled :]
            frame[filled : filled + taken.size] = taken
            filled += taken.size
            if rest.size:
                self._speech.appendleft(rest)
        return frame

    async def _report(self) -> None:
        report_at, reported = trio.current_time(), 0
        while True:
            report_at += REPORT_INTERVAL_S
            await trio.sleep_until(report_at)
            position = self._playback.advance(trio.current_time())
            # Silence is not reported: the server carries a report forward until the next.
            if self._playback.is_playing or position != reported:
                await self._send(type="played", epoch=self.epoch, position=position)
                reported = position
                self._reports += 1

    async def _read(self) -> None:
        await trio.lowlevel.checkpoint()
        try:
            while True:
                message = await self._socket.receive()
                self._take(message, trio.current_time())
                self._changed.unpark_all()
        except SocketClosed as closed:
            self.closed = closed
            self._changed.unpark_all()

    def _take(self, message: bytes | str, now: float) -> None:
        if isinstance(message, bytes):
            samples = np.frombuffer(message, "<i2")
            self.arrivals.append(AudioArrival(now, self.epoch, self._position, samples))
            self._position += samples.size
            self._audio_after_bye += self._said_bye
            self._playback.push(samples, now)
            return
        fields = json.loads(message)
        self.messages.append(ServerMessage(now, fields))
        match fields["type"]:
            case "clear":
                self.epoch = fields["epoch"]
                self._position = fields["position"]
                self._playback.clear(self._position, now)
            case "skip":
                self._position = fields["position"]
                self._playback.skip(self._position)
            case "bye":
                self._said_bye = True

    async def _send(self, **fields: Any) -> None:
        try:
            await self._socket.send(json.dumps(fields))
        except trio.BrokenResourceError:
            # ``closed`` tells it, and whoever waits is told.
            await trio.lowlevel.checkpoint()


def _length(start: float, stop: float, rate: int) -> int:
    if stop < start:
        raise ConfigError(f"a track cannot stop at {stop} before it starts at {start}")
    return round((stop - start) * rate)


def _place(track: Samples, samples: Samples, at: int) -> None:
    """Copy ``samples`` to ``track`` from index ``at`` on, as far as they lie inside."""
    first, last = max(0, at), min(track.size, at + samples.size)
    if first < last:
        track[first:last] = samples[first - at : last - at]


@asynccontextmanager
async def open_reference_client(
    url: str,
    *,
    playback_buffer_s: float = 0.06,
    pause_s: float = math.inf,
    input_rate: int = 16000,
    output_rate: int = 24000,
    limits: SocketLimits | None = None,
    stream: trio.abc.Stream | None = None,
) -> AsyncIterator[ReferenceClient]:
    """Call the server at ``url`` and stay on the line for as long as the block lasts.

    ``playback_buffer_s`` is buffered before it plays.  A playback that runs dry counts as an underrun if more
    audio comes within ``pause_s``: infinite for an agent with a background bed, whose audio never pauses.
    ``stream`` replaces the TCP connection.  Leaving the block closes the connection (code 1000).

    Raises ConfigError for a bad address, HandshakeFailed when the server does not answer or refuses.
    """
    separator = "&" if "?" in url else "?"
    full = url + separator + urlencode({"input_rate": input_rate, "output_rate": output_rate})
    playback = PlaybackBuffer(output_rate, start_s=playback_buffer_s, pause_s=pause_s, keep_stretches=True)
    async with (
        open_websocket_client(full, limits=limits, stream=stream) as socket,
        open_attendants() as nursery,
    ):
        client = ReferenceClient(socket, playback, input_rate)
        nursery.start_soon(client._run, name="reference client")
        try:
            yield client
        except Exception:
            with cleanup():
                await socket.close()  # noqa: ASYNC120  # a script that failed hangs up, too
            raise
