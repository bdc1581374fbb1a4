"""A client's playback, without I/O: audio goes in as it arrives and is consumed in real time.

The rules, which are a browser's or a phone's:

1. Playing starts when ``start_s`` of audio is buffered, at first, after a clear, and after running dry.
2. Once started it consumes one second of audio a second, whatever arrives.
3. A buffer that runs dry is an *underrun* if more audio comes later: audio should have been playing.
4. A clear drops what has not been played; what comes next stands at the position that the clear names.

Time is given by the caller with each call, in seconds, and never goes back.
"""

from __future__ import annotations

import math
from collections import deque
from typing import final

import attrs

from voicetrio.errors import ConfigError
from voicetrio.frames import Samples
from voicetrio.values import Value

__all__ = ["PlaybackBuffer", "PlaybackStatistics", "PlayedStretch"]


@attrs.frozen(eq=False, repr=False)
class PlayedStretch(Value):
    """Audio that was played without a break."""

    time: float
    """When its first sample sounded, in seconds."""
    position: int
    """Of its first sample, on the playout clock."""
    samples: Samples


@attrs.frozen(eq=False, repr=False)
class PlaybackStatistics(Value):
    """Counts of one playback."""

    played_samples: int
    buffered_s: float
    peak_s: float
    """The most that was ever buffered, in seconds."""
    underruns: int
    longest_gap_s: float
    """The longest silence that an underrun caused."""
    clears: int
    longest_clear_gap_s: float
    """The longest silence between a clear and the audio that followed it."""
    dropped_samples: int
    """Dropped by clears."""


@final
class PlaybackBuffer:
    """The playback of one client, int16 mono at ``rate``.

    Args:
        rate: hertz of the playout clock.
        start_s: seconds that are buffered before it plays.
        pause_s: a dry spell that lasts longer is silence on purpose and no underrun; infinite for a
            stream that is meant to be continuous.
        keep_stretches: keep what was played, for ``take_played``.
    """

    def __init__(
        self,
        rate: int,
        *,
        start_s: float = 0.06,
        pause_s: float = math.inf,
        keep_stretches: bool = False,
    ) -> None:
        if rate <= 0 or start_s < 0:
            raise ConfigError(f"rate must be above 0 and start_s not negative: {rate}, {start_s}")
        self.rate = rate
        self._start = round(start_s * rate)
        self._pause_s = pause_s
        self._keep = keep_stretches
        self._buffer: deque[tuple[int, Samples]] = deque()
        self._buffered = 0
        self._next = 0
        self._incoming = 0
        self._since: float | None = None
        self._consumed = 0
        self._dry_at: float | None = None
        self._cleared_at: float | None = None
        self._played: list[PlayedStretch] = []
        self._played_samples = self._peak = self._underruns = self._clears = self._dropped = 0
        self._longest_gap_s = self._longest_clear_gap_s = 0.0

    @property
    def position(self) -> int:
        """Just past the last sample that was played (as of the last call), on the playout clock."""
        return self._next

    @property
    def is_playing(self) -> bool:
        """True while it consumes (as of the last call)."""
        return self._since is not None

    def push(self, samples: Samples, now: float, *, position: int | None = None) -> None:
        """Audio arrived; it follows what came before it, unless ``position`` says where it stands."""
        self.advance(now)
        if position is not None:
            self._incoming = position
        if not samples.size:
            return
        self._buffer.append((self._incoming, samples))
        self._buffered += samples.size
        self._incoming += samples.size
        self._peak = max(self._peak, self._buffered)
        if self._since is None and self._buffered >= self._start:
            self._begin(now)

    def skip(self, position: int) -> None:
        """What comes next stands at ``position``: the samples in between were never sent."""
        self._incoming = position

    def clear(self, position: int, now: float) -> None:
        """Drop what was not played; what comes next stands at ``position``."""
        self.advance(now)
        self._clears += 1
        self._dropped += self._buffered
        if self._since is not None or self._buffered:
            self._cleared_at = now
        self._buffer.clear()
        self._buffered = 0
        self._next = self._incoming = position
        self._since = self._dry_at = None

    def advance(self, now: float) -> int:
        """Play up to ``now``; return the position just past what was played."""
        if self._since is None:
            return self._next
        wanted = int((now - self._since) * self.rate + 1e-6) - self._consumed
        if wanted >= self._buffered:
            dry_at = self._since + (self._consumed + self._buffered) / self.rate
            is_dry = now > dry_at + 1e-9
            self._consume(self._buffered)
            if is_dry:
                self._since, self._dry_at = None, dry_at
        elif wanted > 0:
            self._consume(wanted)
        return self._next

    def take_played(self) -> list[PlayedStretch]:
        """Return what was played since the last call, in pieces as they were consumed."""
        played, self._played = self._played, []
        return played

    def statistics(self) -> PlaybackStatistics:
        """Return the counts so far."""
        return PlaybackStatistics(
            played_samples=self._played_samples,
            buffered_s=self._buffered / self.rate,
            peak_s=self._peak / self.rate,
            underruns=self._underruns,
            longest_gap_s=self._longest_gap_s,
            clears=self._clears,
            longest_clear_gap_s=self._longest_clear_gap_s,
            dropped_samples=self._dropped,
        )

    def _begin(self, now: float) -> None:
        if self._cleared_at is not None:
            self._longest_clear_gap_s = max(self._longest_clear_gap_s, now - self._cleared_at)
        elif self._dry_at is not None and now - self._dry_at <= self._pause_s:
            self._underruns += 1
            self._longest_gap_s = max(self._longest_gap_s, now - self._dry_at)
        self._cleared_at = self._dry_at = None
        self._since = now
        self._consumed = 0

    def _consume(self, count: int) -> None:
        assert self._since is not None
        self._played_samples += count
        self._buffered -= count
        while count:
            position, front = self._buffer.popleft()
            taken, rest = front[:count], front[count:]
            if rest.size:
                self._buffer.appendleft((position + taken.size, rest))
            if self._keep:
                time = self._since + self._consumed / self.rate
                self._played.append(PlayedStretch(time, position, taken))
            self._consumed += taken.size
            self._next = position + taken.size
            count -= taken.size
