"""The handle of one reply's audio on the playout.

A reply sends audio and words at its own pace; the playout takes samples by its clock.  Nothing is heard
before ``release``, and nothing is written after ``flush``.  The handle keeps the audio until it was heard,
so that a paused reply can go on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, final

import attrs
import numpy as np
import trio

from voicetrio.audio.mixer import GainRamp
from voicetrio.audio.pcm import db_to_gain
from voicetrio.audio.resample import Resampler
from voicetrio.audio.tape import Tape
from voicetrio.errors import ReplyFlushed
from voicetrio.frames import AudioFrame, Samples, WordFrame
from voicetrio.machines.ledger import Heard, ReplyLedger, SpokenWord

if TYPE_CHECKING:
    from voicetrio.runtime.playout import Playout

__all__ = ["Speech", "SpeechSettings", "SpeechStatistics"]

KEPT_S = 1.0
"""Of a reply's past this much is kept without asking whether it was heard."""
FORGET_EVERY_S = 0.5
"""How much is played between two looks at what can be let go of."""
HEARD_MARGIN_S = 0.5
"""Before what the peer says it has played this much is kept: it is carried forward between two reports."""
LIVE_WINDOW_TICKS = 25
"""After so many ticks a live speech looks whether its backlog ever emptied."""

SpeechState = Literal["held", "released", "over"]


@attrs.frozen(kw_only=True)
class SpeechSettings:
    """How a reply's audio behaves on the playout."""

    max_ahead_s: float = 3.0
    """Seconds of audio that a reply may generate ahead of the playout; then ``send`` waits."""
    fade_s: float = 0.02
    """Length of the fade at a pause, a resume and a flush, in seconds."""
    duck_db: float = -12.0
    """Gain of a ducked reply."""
    duck_ramp_s: float = 0.06
    """How long the gain takes to change, in seconds."""


@attrs.frozen
class SpeechStatistics:
    """Counts of one reply's audio, in samples at the playout's rate."""

    generated: int
    accepted: int
    starved_ticks: int
    """Ticks that found too little audio in the middle of the reply."""
    skipped: int
    """Samples that a live speech dropped in order to stay live."""
    waiting: bool
    """Whether a ``send`` waits for room."""


@final
class Speech:
    """One reply's audio; made by ``Playout.open_speech``."""

    def __init__(
        self, playout: Playout, name: str, settings: SpeechSettings, *, live_s: float | None
    ) -> None:
        self.name = name
        self._playout = playout
        self._settings = settings
        self._live_s = live_s
        self._rate = playout.rate
        self._ramp = GainRamp(playout.rate)
        self._ledger = ReplyLedger()
        self._resampler: Resampler | None = None
        self._sent_rate = playout.rate
        self._sent = 0
        self._tape = Tape()
        self._next = 0  # reply position of the next sample to play
        self._forget_at = round(KEPT_S * playout.rate)
        self._starved = 0
        self._skipped = 0
        self._window = 0
        self._standing = 0
        self._room: trio.Event | None = None
        self._changed = trio.Event()
        self._flush_event = trio.Event()
        self.state: SpeechState = "held"
        self.finished = False
        self.flushed = False
        self.paused = False
        self.ducked = False
        self.audible = False
        self.heard_quality: Literal["exact", "estimated"] | None = None
        """How well it was known what was heard when a clear fixed that; None while it is not fixed."""
        self.on_word: Callable[[str, int], object] | None = None
        """Called in the tick that begins a word, with its text and its place on the playout clock."""

    # --- the reply's side ---

    async def send(self, frame: AudioFrame | WordFrame) -> None:
        """Give audio (mono, any rate), or a word of it; wait while too much is ahead of the playout.

        Word positions count samples of what was sent, at the word's own rate.
        Raises ReplyFlushed once the reply was flushed, also while waiting.  A cancelled send may have
        given the frame or not; the reply is over then in any case.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        self._check()
        if isinstance(frame, WordFrame):
            scale = self._rate / frame.rate
            self._ledger.add_word(
                SpokenWord(frame.text, round(frame.start * scale), round(frame.end * scale))
            )
        else:
            self._append(self._to_rate(frame))
            if self._is_far_ahead:
                await self._wait_for_room()
                return
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def _wait_for_room(self) -> None:  # noqa: ASYNC910  # it is called when there is none
        while self._is_far_ahead:
            self._room = trio.Event()
            await self._room.wait()
            self._check()

    @property
    def _is_far_ahead(self) -> bool:
        return self._live_s is None and self.remaining_to_play_s > self._settings.max_ahead_s

    def finish(self) -> None:
        """Say that no more audio comes.  What was sent is played to its end."""
        if self.finished or self.flushed:
            return
        if self._resampler is not None:
            self._append(self._resampler.flush())
        self.finished = True
        self._playout._poke()

    def release(self) -> None:
        """Let it be heard, after what was released before."""
        if self.state == "held" and not self.flushed:
            self.state = "released"
            self._playout._enqueue(self)

    # --- the conversation's side ---

    def duck(self) -> None:
        """Make it quieter."""
        self.ducked = True
        self._ramp.set(db_to_gain(self._settings.duck_db), self._settings.duck_ramp_s)

    def unduck(self) -> None:
        """Give it its own loudness again."""
        self.ducked = False
        if not self.paused:
            self._ramp.set(1.0, self._settings.duck_ramp_s)

    def pause(self) -> None:
        """Fade out and stop; what is played later starts where the fade began."""
        if not self.paused and not self.flushed:
            self.paused = True
            self._playout._pause(self)

    def resume(self) -> None:
        """Go on, with a fade, from where it was heard."""
        if not self.paused or self.flushed:
            return
        self.paused = False
        self._fade_in()
        self._playout._poke()

    def flush(self) -> None:
        """Drop everything that was not heard; nothing of it is written past a fade.  Idempotent."""
        if self.flushed or (self.state == "over" and self.remaining_s <= 0):
            return
        self.flushed = True
        self._playout._flush(self)
        self._leave()
        self._flush_event.set()

    def heard(self) -> Heard:
        """Return what the ear has had of it by now."""
        position, quality = self._playout.heard()
        return self._ledger.heard(position, self.heard_quality or quality)

    @property
    def text(self) -> str:
        """The text that came with its audio so far."""
        return self._ledger.text

    @property
    def remaining_to_play_s(self) -> float:
        """Seconds that were sent and not yet given to the transport."""
        return (self._generated - self._next) / self._rate

    @property
    def remaining_s(self) -> float:
        """Seconds that were sent and not yet heard."""
        return max(0, self._generated - self.heard().samples) / self._rate

    @property
    def first_playout(self) -> int | None:
        """Where its first sample lies on the playout clock, once it is audible."""
        return self._ledger.first_playout

    @property
    def last_playout(self) -> int:
        """Just past its last sample so far on the playout clock."""
        return self._ledger.last_playout

    async def wait_audible(self) -> None:
        """Wait until its first sample is given to the transport, or it is flushed."""
        await trio.lowlevel.checkpoint()
        while not self.audible and not self.flushed and self.state != "over":
            await self._changed.wait()

    async def wait_played(self) -> None:
        """Wait until all of it was heard, or it was flushed."""
        await trio.lowlevel.checkpoint()
        while not self.flushed:
            if self.state != "over":  # also again, when some of it was lost on the way to the peer
                await self._changed.wait()
                continue
            wait_s = self._playout.seconds_until_heard(self._ledger.last_playout)
            if wait_s <= 0:
                return
            with trio.move_on_after(wait_s):
                await self._flush_event.wait()

    def statistics(self) -> SpeechStatistics:
        """Return the counts so far."""
        return SpeechStatistics(
            self._generated, self._next, self._starved, self._skipped, self._room is not None
        )

    # --- the playout's side ---

    def _take(self, count: int, at: int) -> Samples | None:
        """Return up to ``count`` samples for the frame that starts at ``at`` on the playout clock."""
        if self.paused or self.flushed or not self._is_ready:
            return None
        if self._live_s is not None:
            self._stay_live(self._generated - self._next, count)
        taken = self._tape.read(self._next, count)
        size = taken.size
        if size:
            self._ledger.accepted(at, self._next, size)
            if self.on_word is not None:
                for word in self._ledger.begin_words(self._next + size):
                    self.on_word(word.text, at + max(0, word.start - self._next))
            self._next += size
            taken = self._ramp.apply(taken)
            if not self.audible:
                self.audible = True
                self._signal()
        if size < count and not self.finished and self.audible:
            self._starved += 1
        if self._next >= self._forget_at:
            self._forget()
        if self._room is not None:
            self._make_room()
        if self.finished and self._next >= self._generated:
            self._leave()
        return taken if size else None

    def _fade_tail(self, from_reply: int, count: int) -> Samples | None:
        """Return the fade that ends it: samples from ``from_reply`` on, down to nothing."""
        tail = self._read(from_reply, min(count, max(0, self._generated - from_reply)))
        if not tail.size:
            return None
        self._ramp.set(0.0, self._settings.fade_s)
        return self._ramp.apply(tail)

    def _rewind(self, playout_position: int) -> bool:
        """Its samples from ``playout_position`` on were taken back, or will not be heard.

        Returns True if there were any: it has something to play again.
        """
        first = self._ledger.cut(playout_position)
        if first is None:
            return False
        self._next = max(first, self._tape.start)
        if self.state == "over" and not self.flushed:
            self.state = "released"
            self._changed = trio.Event()
        return True

    def _fade_in(self) -> None:
        self._ramp.set(0.0, 0.0)
        self._ramp.set(db_to_gain(self._settings.duck_db) if self.ducked else 1.0, self._settings.fade_s)

    @property
    def _ready_samples(self) -> int:
        """How much could be played now; a live speech gives no more than it is asked for."""
        if self.paused or self._live_s is not None or not self._is_ready:
            return 0
        return self._generated - self._next

    @property
    def _is_ready(self) -> bool:
        """Whether it can play: it begins only with a lead's worth of audio, lest it stutter."""
        if self.audible or self.finished:
            return True
        return (self._generated - self._next) / self._rate >= self._playout.lead_s

    def _cut_short(self) -> None:
        """The session's drain is over: play no more of it."""
        self.flushed = True
        self._leave()
        self._flush_event.set()

    def _unwritten(self, written: int) -> int:
        """Return how many of its samples were not written, when those before ``written`` were."""
        return self._generated - self._ledger.samples_heard(written)

    def _check(self) -> None:
        if self.flushed or self.state == "over":
            raise ReplyFlushed(self.name)

    def _to_rate(self, frame: AudioFrame) -> Samples:
        samples = frame.samples
        if frame.channels != 1:
            samples = samples.mean(axis=1).astype(np.int16)
        if frame.rate == self._rate and self._resampler is None:
            return samples
        if self._resampler is None or self._sent_rate != frame.rate:
            if self._resampler is not None:
                self._append(self._resampler.flush())
            self._resampler = Resampler(frame.rate, self._rate)
            self._sent_rate = frame.rate
        return self._resampler.feed(samples)

    def _append(self, samples: Samples) -> None:
        if samples.size:
            self._tape.append(samples)
            self._playout._poke()

    def _read(self, start: int, count: int) -> Samples:
        return self._tape.read(start, count)

    @property
    def _generated(self) -> int:
        return self._tape.end

    def _stay_live(self, available: int, count: int) -> None:
        """Drop what stands in the way of being live.

        A backlog over the bound goes at once.  A smaller one that never empties is a standing queue: it
        adds delay and serves nobody (Nichols and Jacobson, "Controlling Queue Delay", 2012), so what of it
        was there at every tick of a window goes at the window's end.
        """
        assert self._live_s is not None
        backlog = max(0, available - count)
        self._standing = min(self._standing, backlog)
        self._window += 1
        if backlog > self._live_s * self._rate:
            excess = backlog
        elif self._window >= LIVE_WINDOW_TICKS:
            excess = self._standing
        else:
            return
        self._next += excess
        self._skipped += excess
        self._window = 0
        self._standing = available

    def _forget(self) -> None:
        """Let go of audio that can no longer be rewound to."""
        self._forget_at = self._next + round(FORGET_EVERY_S * self._rate)
        if self._next - self._tape.start <= KEPT_S * self._rate:
            return
        keep_from = self._next - round(self._playout.keep_s * self._rate)
        position, quality = self._playout.heard()
        if quality == "exact":
            # The peer says that it has played this: it will not ask for it again.
            heard = self._ledger.samples_heard(position)
            keep_from = max(keep_from, heard - round(HEARD_MARGIN_S * self._rate))
        self._tape.forget(keep_from)

    def _make_room(self) -> None:
        if self._room is not None and not self._is_far_ahead:
            room, self._room = self._room, None
            room.set()

    def _leave(self) -> None:
        self.state = "over"
        if self._room is not None:
            self._room.set()
            self._room = None
        self._signal()

    def _signal(self) -> None:
        self._changed.set()
        if self.state != "over":
            self._changed = trio.Event()
