"""From what a streaming recogniser says to one final transcript for each stretch of speech.

A recogniser says hypotheses: interim ones, each of which replaces the one before, and final ones, which stay.
The VAD says where speech starts and stops.  The rules:

1. Every stop is answered by one final transcript, whose position is the stop's.  It holds the final text
   whose words began before the stop; what came after it waits for the next one.
2. The recogniser is asked to finalize at each stop.  The stop is answered when it says that it has; or when
   final text covers the audio up to the stop and nothing is interim; or, at the latest, ``answer_s`` after it
   was asked, and then with the interim text too.  Where it cannot be asked (its connection is lost), the stop
   is answered after ``lost_s``, and what is recognised later goes with the next answer.
3. No word is told twice.  After a stream was lost, audio is given again: a word whose middle lies before the
   end of what is final was heard before.
4. Text that was recognised long before speech starts (the VAD did not hold it for speech) is left out.
5. Where no boundary ever comes, the recogniser's own ends of turns make the final transcripts.  A recogniser
   that expects an end says so ahead, by a *draft*: an interim transcript that may prove to be the turn.

Positions are samples on the recogniser's clock, times are seconds.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Final, final

import attrs

from voicetrio.events import Transcript, TranscriptWord

__all__ = ["Dictated", "Dictation", "Hypothesis"]

SLACK_S: Final = 0.25
"""A word may be said to begin so much after the stop and belong to it: recognisers' times are late."""
STALE_S: Final = 1.0
"""Final text that ended so long before speech starts is not part of it."""
NOTHING_PENDING_S: Final = 0.3
"""How long a recogniser that has final text and nothing interim is waited for."""


@attrs.frozen(kw_only=True)
class Hypothesis:
    """What the recogniser says about a stretch of audio; positions in samples."""

    text: str
    final: bool
    start: int
    end: int
    words: Sequence[TranscriptWord] = ()
    """With ``text``'s punctuation; empty where it tells no word times."""
    ends_turn: bool = False
    """The recogniser holds the turn for over."""
    drafts_turn: bool = False
    """It expects that the turn ends here."""
    joins: bool = False
    """Its text continues the one before without a space, unless it has one itself."""


@attrs.frozen
class Dictated:
    """A transcript that is ready to be told."""

    transcript: Transcript
    is_draft: bool = False
    """The recogniser expects that this is the turn."""


@attrs.define
class _Stop:
    start: int
    position: int
    since: float
    asked_at: float | None = None


@final
class Dictation:
    """The state of one recogniser's stream.

    Args:
        rate: hertz of positions.
        answer_s: how long an asked recogniser is waited for.
        lost_s: how long one that cannot be asked is waited for.
    """

    def __init__(self, rate: int, *, answer_s: float = 2.0, lost_s: float = 8.0) -> None:
        self._rate = rate
        self._answer_s = answer_s
        self._lost_s = lost_s
        self._final: list[Hypothesis] = []
        self._interim: Hypothesis | None = None
        self._stops: deque[_Stop] = deque()
        self._asks: deque[int] = deque()
        """Positions of stops whose finalizing was asked and not confirmed."""
        self._speech_start: int | None = None
        self._has_boundaries = False
        self._turn_from: int | None = None
        """Where the turn began that the recogniser has not ended, as far as no boundary tells."""
        self._keeps_stale = False
        self._floor = 0
        """Words before this were told or are final."""
        self._ready: deque[Dictated] = deque()
        self.covered = 0
        """Final text covers the audio before this position."""

    # --- what is to be done ---

    @property
    def is_idle(self) -> bool:
        """True when nobody speaks and no answer is owed."""
        return self._has_boundaries and self._speech_start is None and not self._stops

    @property
    def to_ask(self) -> int | None:
        """Up to where the recogniser must be asked to finalize; None if there is nothing to ask."""
        return next((stop.position for stop in self._stops if stop.asked_at is None), None)

    @property
    def gave_up(self) -> bool:
        """True when the last stop was answered although the recogniser could not be asked."""
        return self._keeps_stale

    @property
    def deadline(self) -> float:
        """When ``tick`` must be called, at the latest; infinite when nothing is owed."""
        return self._answer_by(self._stops[0]) if self._stops else math.inf

    @property
    def asked_at(self) -> float | None:
        """When the recogniser was asked for what is owed next; None if it was not, or nothing is owed."""
        return self._stops[0].asked_at if self._stops else None

    @property
    def is_between_turns(self) -> bool:
        """True where the recogniser's own turns count, and none is open."""
        return not self._has_boundaries and self._turn_from is None

    def take(self) -> Dictated | None:
        """Return the next transcript to tell, if there is one."""
        return self._ready.popleft() if self._ready else None

    # --- what happens ---

    def start(self, position: int) -> None:
        """Speech starts at ``position``."""
        self._has_boundaries = True
        self._turn_from = None
        if self._speech_start is None and not self._stops and not self._keeps_stale:
            stale = position - round(STALE_S * self._rate)
            self._final = [each for each in self._final if each.end > stale]
        self._keeps_stale = False
        self._speech_start = position

    def stop(self, position: int, now: float) -> None:
        """Speech stops at ``position``: one answer is owed."""
        self._has_boundaries = True
        start = position if self._speech_start is None else self._speech_start
        self._speech_start = None
        self._stops.append(_Stop(start, position, now))
        self._answer(now)

    def asked(self, now: float) -> None:
        """The recogniser was asked to finalize up to ``to_ask``."""
        for stop in self._stops:
            if stop.asked_at is None:
                stop.asked_at = now
                self._asks.append(stop.position)
                return

    def heard(self, hypothesis: Hypothesis, now: float) -> None:
        """The recogniser says ``hypothesis``."""
        new = self._only_new(hypothesis)
        if new is not None and self._turn_from is None and not self._has_boundaries:
            self._turn_from = new.start
        if hypothesis.final:
            self._interim = None
            self.covered = max(self.covered, hypothesis.end)
            if new is not None:
                self._final.append(new)
            if hypothesis.ends_turn and not self._has_boundaries:
                self._tell_turn(hypothesis.end)
        else:
            self._interim = new
        self._answer(now)
        if (new is not None or hypothesis.final) and (self._final or self._interim):
            self._tell_interim(hypothesis)

    def finalized(self, now: float) -> None:
        """The recogniser has finalized what it was asked to, the oldest first."""
        if self._asks:
            position = max(self._asks.popleft(), self.covered + round(SLACK_S * self._rate))
            while self._asks and self._asks[0] <= position:
                self._asks.popleft()
            while self._stops and self._stops[0].position <= position:
                self._answer_one(self._stops.popleft(), with_interim=False)
        self._answer(now)

    def lost(self) -> None:
        """The recogniser's stream is lost, with what was interim; what is not final is heard again."""
        self._interim = None
        self._asks.clear()
        self._floor = max(self._floor, self.covered)
        for stop in self._stops:
            stop.asked_at = None

    def end(self, position: int, now: float) -> None:
        """No more audio comes: speech that goes on stops here."""
        if self._speech_start is None:
            self._speech_start, self._turn_from = self._turn_from, None
        if self._speech_start is not None:
            self.stop(max(position, self._speech_start), now)

    def tick(self, now: float) -> None:
        """Time has passed."""
        self._answer(now)

    # --- inside ---

    def _answer_by(self, stop: _Stop) -> float:
        if stop.asked_at is None:
            return stop.since + self._lost_s
        is_pending = self._interim is not None or not self._final
        wait_s = self._answer_s if is_pending else min(NOTHING_PENDING_S, self._answer_s)
        return stop.asked_at + wait_s

    def _answer(self, now: float) -> None:
        while self._stops:
            stop = self._stops[0]
            is_covered = self._interim is None and self.covered >= stop.position
            if not is_covered and now < self._answer_by(stop):
                return
            self._stops.popleft()
            is_expected = self._interim is not None and not is_covered
            if not is_expected and stop.position in self._asks:
                # There was nothing to finalize: recognisers do not confirm that.
                self._asks.remove(stop.position)
            if stop.asked_at is None and not is_covered:
                self._keeps_stale = True
            self._answer_one(stop, with_interim=not is_covered)

    def _answer_one(self, stop: _Stop, *, with_interim: bool) -> None:
        limit = stop.position + round(SLACK_S * self._rate)
        if self._speech_start is not None and self._speech_start > stop.position:
            limit = min(limit, (stop.position + self._speech_start) // 2)
        elif self._stops:
            limit = min(limit, (stop.position + max(stop.position, self._stops[0].start)) // 2)
        told, self._final = _split(self._final, limit)
        if with_interim and self._interim is not None:
            early, late = _split([self._interim], limit)
            told += early
            self._interim = late[0] if late else None
            for part in early:
                self._floor = max(self._floor, part.words[-1].end if part.words else part.end)
        self._tell(
            Transcript(
                text=_join(told),
                final=True,
                start=stop.start,
                position=stop.position,
                words=tuple(word for each in told for word in each.words),
            )
        )

    def _tell_turn(self, position: int) -> None:
        told, self._final = self._final, []
        self._turn_from = None
        self._tell(
            Transcript(
                text=_join(told),
                final=True,
                start=told[0].start if told else position,
                position=position,
                words=tuple(word for each in told for word in each.words),
            )
        )

    def _tell_interim(self, hypothesis: Hypothesis) -> None:
        parts = [*self._final, *([self._interim] if self._interim is not None else [])]
        text = _join(parts)
        if text:
            self._tell(
                Transcript(
                    text=text,
                    final=False,
                    start=parts[0].start if self._speech_start is None else self._speech_start,
                    position=max(hypothesis.end, parts[0].start),
                    words=tuple(word for each in parts for word in each.words),
                ),
                is_draft=hypothesis.drafts_turn and not self._has_boundaries,
            )

    def _tell(self, transcript: Transcript, *, is_draft: bool = False) -> None:
        self._ready.append(Dictated(transcript, is_draft))

    def _only_new(self, hypothesis: Hypothesis) -> Hypothesis | None:
        """Return what of ``hypothesis`` was not told before; None if nothing is left."""
        if not hypothesis.words:
            is_old = hypothesis.end <= self._floor
            return None if is_old or not hypothesis.text.strip() else hypothesis
        words = [word for word in hypothesis.words if word.start + word.end >= 2 * self._floor]
        if len(words) == len(hypothesis.words):
            return hypothesis
        return _of_words(hypothesis, words) if words else None


def _of_words(hypothesis: Hypothesis, words: Sequence[TranscriptWord]) -> Hypothesis:
    text = " ".join(word.text for word in words)
    return attrs.evolve(hypothesis, text=text, words=tuple(words), start=words[0].start, joins=False)


def _split(parts: Sequence[Hypothesis], limit: int) -> tuple[list[Hypothesis], list[Hypothesis]]:
    """Return what begins before ``limit``, and the rest."""
    before: list[Hypothesis] = []
    after: list[Hypothesis] = []
    for part in parts:
        early = [word for word in part.words if word.start < limit]
        if len(early) == len(part.words):
            (before if part.words or part.start < limit else after).append(part)
        elif not early:
            after.append(part)
        else:
            before.append(attrs.evolve(_of_words(part, early), end=early[-1].end))
            after.append(_of_words(part, part.words[len(early) :]))
    return before, after


def _join(parts: Sequence[Hypothesis]) -> str:
    text = ""
    for part in parts:
        text += part.text if part.joins else f" {part.text}"
    return " ".join(text.split())
