"""Recovery of work: what a service is given again when its stream was lost.

The decisions are made by ``machines.spoken_text`` (what a voice says again) and ``machines.replay`` (what a
recogniser hears again).  Here they meet the clock and the events.
"""

from __future__ import annotations

import math
from typing import final

import trio

from voicetrio.events import WorkLost
from voicetrio.frames import AudioFrame
from voicetrio.machines.replay import AudioReplay, Missed, Rewound
from voicetrio.machines.spoken_text import SpokenText, TextToRecover
from voicetrio.runtime.emit import emit

__all__ = ["ReplayQueue", "SpokenText", "TextToRecover", "recover_text"]


def recover_text(connection: str, spoken: SpokenText) -> str:
    """Return the text that the next voice must say; tell what of it is lost as an event."""
    recovered = spoken.recover()
    if recovered.lost:
        emit(WorkLost(connection=connection, kind="text", text=recovered.lost))
    return recovered.again


@final
class ReplayQueue:
    """Audio on its way to a recogniser, which can be given again.

    One task pushes, another one takes and sends.

    Args:
        connection: the name, for events.
        rate: Hertz of the audio.
        max_s: how much audio is kept.
        pace: seconds of audio a second that the service takes at most (above 1).
        burst_s: seconds of audio that a new stream takes at once.
    """

    def __init__(
        self,
        connection: str,
        rate: int,
        *,
        max_s: float = 30.0,
        pace: float = math.inf,
        burst_s: float = 1.0,
    ) -> None:
        self._connection = connection
        self._replay = AudioReplay(rate, max_s=max_s, pace=pace, burst_s=burst_s)
        self._changed = trio.Event()
        self._is_closed = False

    @property
    def behind_s(self) -> float:
        """Seconds of audio that the present stream has not had."""
        return self._replay.behind_s

    def push(self, frame: AudioFrame) -> None:
        """Take audio; what is too old is dropped."""
        self._replay.push(frame)
        self._changed.set()

    def close(self) -> None:
        """No more audio will come."""
        self._is_closed = True
        self._changed.set()

    async def take(self) -> AudioFrame:
        """Wait for the next audio that the present stream may have.

        Raises trio.EndOfChannel when it had all, and no more will come.  Cancelled before it returns, the
        stream did not have it.
        """
        await trio.lowlevel.checkpoint()
        while True:
            frame = self._replay.take(trio.current_time())
            self._tell(self._replay.take_missed())
            if frame is not None:
                return frame
            if self._is_closed and not self._replay.has_more:
                raise trio.EndOfChannel
            self._changed = trio.Event()
            with trio.CancelScope(deadline=self._replay.ready_at if self._replay.has_more else math.inf):
                await self._changed.wait()

    def rewind(self) -> Rewound:
        """A new stream is open: take again what no final transcript covers; tell what is lost as an event."""
        rewound = self._replay.rewind(trio.current_time())
        self._tell(rewound.lost)
        self._changed.set()
        return rewound

    def position_at(self, seconds: float) -> int:
        """Return the capture position of a time in the present stream, in seconds."""
        return self._replay.position_at(seconds)

    def is_new(self, start: int, end: int) -> bool:
        """Tell whether a word from position ``start`` to ``end`` was not transcribed by an earlier stream."""
        return self._replay.is_new(start, end)

    def cover(self, position: int) -> None:
        """A final transcript covers the audio before ``position``."""
        self._replay.cover(position)

    def _tell(self, missed: Missed | None) -> None:
        if missed is not None:
            emit(
                WorkLost(
                    connection=self._connection,
                    kind="audio",
                    seconds=missed.seconds,
                    position=missed.position,
                )
            )
