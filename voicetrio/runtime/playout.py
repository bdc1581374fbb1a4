"""The playout: the one owner of time on the way out.

It makes the frame at position ``p`` when that frame is due (see ``machines.pacing``), offers it to the
transport's outbox, and never waits for a write.  Whatever sounds is asked for that one tick's audio: the
reply in front of the queue, and the mixer's bed and one-shots.  When nothing sounds, it sleeps.  A peer that
takes a burst is written several ticks at once while the reply has them ready (see ``Traits.burst_s``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, final

import attrs
import numpy as np
import trio

from voicetrio.audio.mixer import Mixer, OneShot
from voicetrio.audio.pcm import add_saturating
from voicetrio.events import PlayoutSlipped
from voicetrio.frames import AudioFrame, Samples
from voicetrio.machines.ledger import PlayoutLedger
from voicetrio.machines.pacing import Pacer, SlipReport
from voicetrio.runtime.emit import emit
from voicetrio.runtime.hosts import Alarm, Host, alarm_host
from voicetrio.runtime.outbox import Gate, Outbox
from voicetrio.runtime.speech import Speech, SpeechSettings
from voicetrio.runtime.transport import Clear, Operation, SendAudio, Traits

__all__ = ["Playout", "PlayoutSettings", "PlayoutStatistics"]

HELD_POLL_S = 0.5
"""How often somebody who waits for the ear looks again while the clock stands still."""
CONFIRMATION_OVERDUE_S = 1.0
"""How long after its time a position that the peer does not confirm is taken for heard."""


@attrs.frozen(kw_only=True)
class PlayoutSettings:
    """The playout's parameters."""

    frame_ms: int = 20
    """Length of a tick."""
    bed_fade_s: float = 0.4
    """How long the bed fades out when the session ends."""
    speech: SpeechSettings = attrs.Factory(SpeechSettings)
    """How replies behave."""


@attrs.frozen
class PlayoutStatistics:
    """Counts of one playout; positions are samples on the playout clock."""

    ticks: int
    blocked_ticks: int
    """Ticks that the full outbox did not take; their audio was made later."""
    late_ticks: int
    """Ticks for which the event loop came a whole frame or more too late."""
    slips: int
    slipped_s: float
    position: int
    written: int
    heard: int
    heard_quality: Literal["exact", "estimated"]
    clears: int
    queued_speeches: int
    queued_s: float


@final
class Playout:
    """The paced sender of one session."""

    def __init__(
        self, traits: Traits, outbox: Outbox, gate: Gate, settings: PlayoutSettings | None = None
    ) -> None:
        self._settings = settings or PlayoutSettings()
        self._traits = traits
        self._outbox = outbox
        self._gate = gate
        self.rate = traits.output_rate
        """Hertz of the playout clock."""
        self._frame = self.rate * self._settings.frame_ms // 1000
        self._frame_s = self._frame / self.rate
        burst_s = min(traits.burst_s, outbox.max_s) if traits.can_clear else 0.0
        self._most_ticks = max(1, int(burst_s / self._frame_s + 1e-6))
        self.lead_s = max(traits.lead_s, self._frame_s)
        """How far ahead of the ear it writes, in seconds."""
        self.keep_s = self.lead_s + traits.latency_s + 1.0 + traits.rewind_s
        """How much of a reply's past is kept, in seconds."""
        self._pacer = Pacer(self.rate, self._frame, lead_s=self.lead_s, latency_s=traits.latency_s)
        self._slips = SlipReport()
        self._ledger = PlayoutLedger(self._pacer, self.rate, confirms=traits.confirms)
        self._mixer = Mixer(self.rate)
        self._queue: deque[Speech] = deque()
        self._recent: deque[Speech] = deque()  # complete, but not heard to the end
        self._tail: Samples | None = None
        self._taps: list[Callable[[AudioFrame], object]] = []
        self._running = False
        self._held = False
        self._alarm: Alarm | None = None
        self._resting = True
        """Nothing sounds: it waits to be poked."""
        self._wake_at = 0.0
        self._became_idle = trio.Event()
        self._ticks = 0
        self._blocked = 0
        self._late = 0
        outbox.on_written = self._written

    # --- what others call ---

    @property
    def position(self) -> int:
        """The first sample of the next frame, on the playout clock."""
        return self._pacer.position

    def open_speech(self, name: str, *, live_s: float | None = None) -> Speech:
        """Return the handle of a new reply; nothing of it is heard before its ``release``.

        With ``live_s`` the audio is live: no more than that many seconds wait, the oldest is dropped.
        """
        return Speech(self, name, self._settings.speech, live_s=live_s)

    def start_bed(self, clip: Samples, *, gain_db: float = 0.0, fade_s: float = 0.4) -> None:
        """Loop ``clip`` (int16 mono at ``rate``) under everything, from now on."""
        self._mixer.start_bed(clip, gain_db=gain_db, fade_s=fade_s)
        self._poke()

    def stop_bed(self, fade_s: float | None = None) -> None:
        """Fade the bed out."""
        self._mixer.stop_bed(fade_s=self._settings.bed_fade_s if fade_s is None else fade_s)

    def play(self, clip: Samples, *, gain_db: float = 0.0) -> OneShot:
        """Play ``clip`` (int16 mono at ``rate``) once, beside whatever else sounds."""
        shot = self._mixer.play(clip, gain_db=gain_db)
        self._poke()
        return shot

    @contextmanager
    def tap(self, callback: Callable[[AudioFrame], object]) -> Iterator[None]:
        """Call ``callback`` with each mixed frame that goes out, inside this block.

        It runs in the tick, so it must be quick; frames carry their position on the playout clock.
        """
        self._taps.append(callback)
        try:
            yield
        finally:
            self._taps.remove(callback)

    def heard(self) -> tuple[int, Literal["exact", "estimated"]]:
        """Return the position that the ear has reached now, and how well that is known."""
        return self._ledger.heard(trio.current_time())

    def confirm(self, epoch: int, position: int) -> bool:
        """The peer has played up to ``position`` since clear number ``epoch``; False if it cannot count."""
        return self._ledger.confirm(epoch, position, trio.current_time())

    def seconds_until_heard(self, position: int) -> float:
        """Return about how long until the ear has had everything before ``position``; 0 when it has."""
        now = trio.current_time()
        if self._ledger.heard(now)[0] >= position:
            return 0.0
        if self._held:
            return HELD_POLL_S
        left_s = self._pacer.heard_at(position) - now
        if left_s < -CONFIRMATION_OVERDUE_S and self._ledger.written >= position:
            return 0.0
        return max(left_s, self._frame_s)

    def hold(self) -> None:
        """Let the clock stand still: the peer hears nothing for now.  Idempotent.

        What was not written is taken back, and what the ear had by now stays what was heard.
        """
        if not self._held:
            self._held = True
            self._ledger.hold(trio.current_time())
            self._take_back()
            self._tail = None

    def release(self, reported: tuple[int, int] | None = None) -> tuple[int, int]:
        """Go on from what was heard: replies play again what was lost on the way, the bed goes on.

        ``reported`` is the epoch and the position up to which the peer says it has played.  Returns the new
        epoch and the position of the next sample.
        """
        self.hold()
        heard = self._ledger.release(self.position, reported)
        self._tail = None
        self._rewind_all(heard)
        for speech in self._queue:
            if speech.audible and not speech.paused:
                speech._fade_in()
        self._held = False
        self._pacer.refill(trio.current_time())
        self._poke()
        return self._ledger.epoch, self.position

    @property
    def is_active(self) -> bool:
        """Whether ticks are being made."""
        if self._queue:
            front = self._queue[0]
            if not front.paused and front._is_ready:
                return True
        return self._tail is not None or self._mixer.active

    def statistics(self) -> PlayoutStatistics:
        """Return the counts so far."""
        heard, quality = self.heard()
        return PlayoutStatistics(
            ticks=self._ticks,
            blocked_ticks=self._blocked,
            late_ticks=self._late,
            slips=self._pacer.slips,
            slipped_s=self._pacer.slipped_s,
            position=self._pacer.position,
            written=self._ledger.written,
            heard=heard,
            heard_quality=quality,
            clears=self._ledger.epoch,
            queued_speeches=len(self._queue),
            queued_s=sum(speech.remaining_to_play_s for speech in self._queue),
        )

    # --- the session's side ---

    async def run(self, host: Host | None = None) -> None:
        """Make each frame when it is due, called by ``host``, until cancelled."""
        self._alarm = (host or alarm_host()).alarm(self._on_time)
        self._running = True
        try:
            # What was started before this task may sound already.
            self._alarm.set(trio.current_time())
            await self._alarm.attend()
        finally:
            self._running = False
            self._alarm.close()

    def _on_time(self) -> None:
        """Make what is due, and say when to come again; without anything to play, wait to be poked."""
        now = trio.current_time()
        if self._held or not self.is_active:
            self._tell_slips(now, last=True)
            self._resting = True
            self._became_idle.set()
            return
        if self._resting:
            self._resting = False
            self._begin(now)
        else:
            self._late += now - self._wake_at >= self._frame_s
        self._catch_up(now)
        due = self._pacer.due
        self._wake_at = due if due > now else now + self._frame_s
        assert self._alarm is not None
        self._alarm.set(self._wake_at)

    async def wait_drained(self) -> None:
        """Wait until everything that was released is heard."""
        await trio.lowlevel.checkpoint()
        while self._queue:
            await self._queue[-1].wait_played()
        for speech in tuple(self._recent):
            await speech.wait_played()

    async def wait_silent(self) -> None:
        """Wait until nothing sounds any more (the bed and the one-shots are over, too)."""
        await trio.lowlevel.checkpoint()
        while self.is_active:
            self._became_idle = trio.Event()
            await self._became_idle.wait()

    def finish_all(self) -> None:
        """Nobody is left to send audio: what was released is complete, the rest never happened."""
        for speech in self._queue:
            speech.finish()
            speech.resume()

    def cut(self) -> dict[str, int]:
        """Drop what is not written; return the samples lost so far, by the reply's name.

        A frame that the transport has in hand counts as lost while it is not written: when the transport is
        over, another call gives the final count.
        """
        self._take_back()
        self._tail = None
        self._mixer = Mixer(self.rate)  # the bed ends here, too: the outbox has room again
        for speech in self._queue:
            speech._cut_short()
        self._recent.extend(self._queue)
        self._queue.clear()
        lost: dict[str, int] = {}
        for speech in self._recent:
            unwritten = speech._unwritten(self._ledger.written)
            if unwritten:
                lost[speech.name] = lost.get(speech.name, 0) + unwritten
        return lost

    # --- ticks ---

    def _begin(self, now: float) -> None:
        if self._ticks == 0 and self._mixer.active:
            self._pacer.start(now)  # a bed from the start: the stream is continuous, nothing is owed
        else:
            self._pacer.refill(now)

    def _catch_up(self, now: float) -> None:
        """Make the frames that are due.  Synchronous, so that a flush can call it, too."""
        if not self._running or not self._gate.is_open or self._held:
            return
        pacer = self._pacer
        while pacer.due <= now + 1e-9 and self.is_active:
            ticks = self._ticks_at_once()
            if not self._outbox.has_room(ticks * self._frame_s):
                self._blocked += 1
                break  # before the clock is moved: a stall is one slip, once the peer takes audio again
            slip_s = pacer.settle(now)
            if slip_s:
                self._mixer.skip(round(slip_s * self.rate))
                self._slips.add(slip_s)
            self._make(ticks)
        if pacer.slips:
            self._tell_slips(now)

    def _tell_slips(self, now: float, *, last: bool = False) -> None:
        told = self._slips.take(now, last=last)
        if told is not None:
            slipped_s, longest_s = told
            late_s = longest_s + self.lead_s - self._frame_s
            emit(PlayoutSlipped(position=self.position, late_s=late_s, slipped_s=slipped_s))

    def _ticks_at_once(self) -> int:
        """Return how many ticks the next frame is made of; more than one only in the midst of a reply."""
        if self._most_ticks == 1 or self._tail is not None or not self._queue:
            return 1
        return max(1, min(self._most_ticks, self._queue[0]._ready_samples // self._frame))

    def _make(self, ticks: int) -> None:
        """Make the next ``ticks`` ticks, as one frame."""
        position = self._pacer.position
        size = ticks * self._frame
        mixed = self._mixer.mix(self._next_speech(position, size), size)
        frame = AudioFrame(mixed.tobytes(), self.rate, 1, position)
        self._outbox.offer(frame)
        self._pacer.advance(ticks)
        self._ticks += ticks
        for tap in self._taps:
            tap(frame)

    def _next_speech(self, position: int, size: int) -> Samples | None:
        """Return the next frame's speech, ``size`` samples, or None."""
        parts: list[Samples] = []
        filled = 0
        while self._queue and filled < size:
            front = self._queue[0]
            taken = front._take(size - filled, position + filled)
            if taken is not None:
                parts.append(taken)
                filled += taken.size
            if front.state != "over":
                break
            self._forget_heard()
            self._recent.append(self._queue.popleft())
        tail, self._tail = self._tail, None
        if tail is None:
            if not parts:
                return None
            if parts[0].size == size:
                return parts[0]
        speech = np.zeros(size, dtype=np.int16)
        if parts:
            speech[:filled] = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if tail is not None:
            # A fade may be longer than a tick: the rest of it waits for the next one.
            head, rest = tail[:size], tail[size:]
            speech[: head.size] = add_saturating(speech[: head.size], head)
            self._tail = rest if rest.size else None
        return speech

    def _written(self, operation: Operation) -> None:
        if isinstance(operation, SendAudio):
            self._ledger.wrote(operation.frame.end)

    # --- what a speech calls ---

    def _poke(self) -> None:
        """Something may sound now: end the sleep of an idle playout."""
        if self._resting and self._running and self.is_active and not self._held:
            assert self._alarm is not None
            self._alarm.set(trio.current_time())

    def _enqueue(self, speech: Speech) -> None:
        self._queue.append(speech)
        self._poke()

    def _pause(self, speech: Speech) -> None:
        """Fade it out; what was not written is taken back and played after the resume."""
        if speech.audible and self._queue and self._queue[0] is speech:
            self._take_back()
            self._tail = speech._fade_tail(speech._next, self._fade)
            self._catch_up(trio.current_time())

    def _flush(self, speech: Speech) -> None:
        """Drop ``speech``; if the peer holds some of it, tell the peer to drop that, too."""
        if not speech.audible:
            self._forget(speech)
            return
        self._take_back()
        self._forget(speech)
        now = trio.current_time()
        if self._held:
            return
        heard, quality = self._ledger.heard(now)
        was_sounding = not speech.paused and self._gate.is_open
        if speech.last_playout - heard > self._fade and self._traits.can_clear and self._gate.is_open:
            speech._rewind(heard)
            speech.heard_quality = quality
            for other in self._recent:
                other._ledger.cut(heard)
                other.heard_quality = quality
            epoch = self._ledger.cleared(self.position)
            self._outbox.put(Clear(epoch, self.position), urgent=True)
            self._pacer.refill(now)
            was_sounding = True
        if was_sounding:
            self._tail = speech._fade_tail(speech._next, self._fade)
        self._catch_up(now)
        self._poke()

    def _forget(self, speech: Speech) -> None:
        if speech in self._queue:
            self._queue.remove(speech)
        if speech in self._recent:
            self._recent.remove(speech)

    def _forget_heard(self) -> None:
        heard = self.heard()[0]
        while self._recent and self._recent[0].last_playout <= heard:
            self._recent.popleft()

    def _take_back(self) -> None:
        """Take the audio back that is not written yet; whoever it belongs to plays it again."""
        first = self._outbox.take_back_audio()
        if first is None:
            return
        self._pacer.rewind(first)
        self._rewind_all(first)

    def _rewind_all(self, position: int) -> None:
        """Nothing from ``position`` on was heard, or will be; whoever it belongs to plays it again."""
        for speech in self._queue:
            speech._rewind(position)
        for speech in reversed(tuple(self._recent)):
            if speech._rewind(position):
                self._recent.remove(speech)
                self._queue.appendleft(speech)

    @property
    def _fade(self) -> int:
        return round(self._settings.speech.fade_s * self.rate)
