"""The user's turn: from segments of speech and their texts to one committed text.

A turn is a list of *segments*: stretches of speech as the VAD cut them, each with the text that a
recogniser made of it.  News comes in any order; what decides is the position that it speaks of.

The rules:

1. A segment is *answered* when a final transcript reaches its end, or after ``decode_wait_s``; what an
   interim transcript said then counts as its text.
2. A segment that is answered without words is not part of any turn.  Speech without words is no turn.
3. A turn starts with its first words, at the start of their segment.  Each start has one end.
4. When nothing is being spoken and every segment is answered, the text is complete for now: it is
   *speculated* upon, once, until it changes.
5. The turn ends when rule 4 holds and the wait is over that ``endpointing`` sets, counted from the last
   voiced sample that had words.  Decoding and waiting overlap: each runs from the end of the speech.
6. A final transcript of what lies before the last turn's end is *late*: it neither starts nor ends a turn.
7. A source that decides turns itself says when one is over: that ends it without a wait.
8. A turn whose reply was retracted is reopened: its text joins what the user says next.

=====================  =================  ==================  =====================  ===================
news                   nothing is open    being spoken        decode pending         words are waiting
=====================  =================  ==================  =====================  ===================
speech starts          being spoken       being spoken        being spoken           being spoken
speech stops           (unknown: ignore)  decode pending      decode pending         decode pending
final with words       started, waiting   being spoken        waiting, speculate     waiting, speculate
final without words    ignored            being spoken        nothing, or waiting    waiting
wait is over           -                  -                   -                      ended
the source ends it     ignored            ignored             ignored                ended
=====================  =================  ==================  =====================  ===================

Positions and ``now`` are samples on the capture clock.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

from voicetrio.machines.endpointing import TurnSettings, wait_after
from voicetrio.machines.words import words_of
from voicetrio.values import Value

__all__ = ["Ended", "LateText", "Speculate", "Started", "TurnAction", "Turns"]

ANSWER_SLACK_S = 0.3
"""A final transcript that ends this much before its segment answers it: recognisers trim silence."""


@attrs.frozen(eq=False, repr=False)
class Started(Value):
    """The user took the turn; its first words began at ``position``."""

    position: int


@attrs.frozen(eq=False, repr=False)
class Speculate(Value):
    """The turn would read ``text`` if it ended now: a reply can be prepared."""

    text: str


@attrs.frozen(eq=False, repr=False)
class Ended(Value):
    """The turn is over."""

    text: str
    position: int
    """Just past its last voiced sample that had words."""
    waited_s: float
    stt_s: float | None


@attrs.frozen(eq=False, repr=False)
class LateText(Value):
    """Words that belong before the end of the last turn came after it."""

    text: str
    start: int
    end: int


TurnAction: TypeAlias = Started | Speculate | Ended | LateText
"""What the machine decides."""


@attrs.define(eq=False, repr=False)
class _Segment:
    start: int
    end: int | None = None
    stopped_at: int = 0
    answered: bool = False
    finals: list[tuple[int, str]] = attrs.Factory(list)
    interim: str = ""
    stt_s: float | None = None

    @property
    def text(self) -> str:
        """Its text so far, in the order of positions."""
        return " ".join(text for _, text in sorted(self.finals, key=lambda final: final[0]))

    def covers(self, start: int, end: int) -> bool:
        """Tell whether the stretch from ``start`` to ``end`` overlaps it."""
        return start < (self.end if self.end is not None else max(end, self.start) + 1) and end > self.start


class Turns:
    """The user's turns, one after the other."""

    def __init__(self, rate: int, settings: TurnSettings | None = None) -> None:
        self._rate = rate
        self._settings = settings or TurnSettings()
        self._slack = round(ANSWER_SLACK_S * rate)
        self._segments: list[_Segment] = []
        self._last: list[_Segment] = []
        self._settled_until = 0
        self._settled_before = 0
        self._dropped_until = 0
        self._started = False
        self._speculated: str | None = None
        self._complete: float | None = None

    @property
    def speaking(self) -> bool:
        """Speech is going on."""
        return any(segment.end is None for segment in self._segments)

    @property
    def is_open(self) -> bool:
        """Speech is going on, or waits for its text, or its text waits for the turn's end."""
        return bool(self._segments)

    @property
    def pending(self) -> bool:
        """Speech has ended and its text has not come."""
        return any(segment.end is not None and not segment.answered for segment in self._segments)

    @property
    def text(self) -> str:
        """What the open turn reads so far."""
        return " ".join(segment.text for segment in self._segments if segment.finals)

    @property
    def deadline(self) -> int | None:
        """When ``tick`` has something to decide (a position), if nothing else comes."""
        if self.speaking or not self._segments:
            return None
        unanswered = [segment.stopped_at for segment in self._segments if not segment.answered]
        if unanswered:
            return min(unanswered) + round(self._settings.decode_wait_s * self._rate)
        wait_s = wait_after(self.text, self._settings, complete=self._complete)
        return self._voiced_until + round(wait_s * self._rate)

    def speech_started(self, start: int) -> list[TurnAction]:
        """Speech began at ``start``."""
        self._complete = None
        for segment in self._segments:
            if segment.end is not None and segment.start <= start < segment.end:
                segment.end = None  # a transcript came before the VAD's word
                segment.answered = False
                return []
        self._insert(_Segment(start))
        return []

    def speech_stopped(self, start: int, end: int, now: int) -> list[TurnAction]:
        """The speech that began at ``start`` ended at ``end``."""
        spoken = [segment for segment in self._segments if segment.end is None]
        segment = next((segment for segment in spoken if segment.covers(start, end)), None)
        if segment is None:
            return []
        segment.end = end
        segment.stopped_at = now
        segment.answered = any(reach >= end - self._slack for reach, _ in segment.finals)
        return self._review()

    def transcript(
        self, start: int, end: int, text: str, now: int, *, final: bool = True, stt_s: float | None = None
    ) -> list[TurnAction]:
        """The audio from ``start`` to ``end`` reads ``text``; ``stt_s`` is how long that took, if known."""
        has_words = bool(words_of(text))
        if end <= self._settled_until:
            return [LateText(text, start, end)] if final and has_words else []
        segment = self._segment_of(start, end)
        if segment is None:
            if not (final and has_words):
                return []
            segment = _Segment(start, end, stopped_at=now)
            self._insert(segment)
        if not final:
            segment.interim = text
            return []
        if has_words:
            segment.finals.append((end, text.strip()))
        segment.interim = ""
        if segment.end is not None and end >= segment.end - self._slack:
            segment.answered = True
            segment.stt_s = stt_s if stt_s is not None else (now - segment.stopped_at) / self._rate
        return self._review()

    def completeness(self, probability: float) -> None:
        """A turn model gives the probability that what was said so far is a whole turn."""
        self._complete = probability

    def dismiss(self, start: int, end: int) -> list[TurnAction]:
        """What was spoken from ``start`` to ``end`` is not part of a turn (a backchannel).

        Its transcript is not to be given.
        """
        self._segments = [segment for segment in self._segments if not segment.covers(start, end)]
        if not self._segments:
            self._settled_until = max(self._settled_until, end)
            self._started = False
            self._speculated = None
        return self._review()

    def whole(self, text: str, position: int, now: int) -> list[TurnAction]:
        """The user gave a whole turn that ends at ``position``; what was being said belongs to it."""
        whole = _Segment(position, position, answered=True)
        whole.finals.append((position, f"{self.text} {text.strip()}".strip()))
        actions: list[TurnAction] = [] if self._started else [Started(position)]
        self._segments = [whole]
        actions += self._end(max(now, position))
        self._settled_until = max(self._settled_until, now)
        return actions

    def over(self, now: int) -> list[TurnAction]:
        """The source of turns holds the open one for over."""
        is_open = not self._segments or self.speaking or self.pending
        return [] if is_open else self._end(max(now, self._voiced_until))

    def reopen(self) -> None:
        """The reply to the last turn was retracted: that turn goes on."""
        if self._last:
            self._segments = self._last + self._segments
            self._last = []
            self._settled_until = self._settled_before
            self._started = True
        self._speculated = None

    def tick(self, now: int) -> list[TurnAction]:
        """Decide what the passing of time has settled."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return []
        if not self.pending:
            return self._end(now)
        limit = round(self._settings.decode_wait_s * self._rate)
        for segment in self._segments:
            if not segment.answered and segment.stopped_at + limit <= now:
                self._give_up(segment)
        return self._review()

    def finish(self, now: int) -> list[TurnAction]:
        """Nothing more will be heard: what has words is a turn, now."""
        for segment in self._segments:
            segment.end = segment.end if segment.end is not None else max(now, segment.start)
            if not segment.answered:
                self._give_up(segment)
        actions = [action for action in self._review() if not isinstance(action, Speculate)]
        return actions + (self._end(now) if self._segments else [])

    @property
    def _voiced_until(self) -> int:
        return max(segment.end or segment.start for segment in self._segments)

    def _insert(self, segment: _Segment) -> None:
        self._segments.append(segment)
        self._segments.sort(key=lambda other: other.start)

    def _segment_of(self, start: int, end: int) -> _Segment | None:
        for segment in self._segments:
            if segment.end == end:
                return segment
        covering = [segment for segment in self._segments if segment.covers(start, end)]
        return max(covering, key=lambda segment: segment.start, default=None)

    def _give_up(self, segment: _Segment) -> None:
        segment.answered = True
        if words_of(segment.interim):
            segment.finals.append((segment.end or segment.start, segment.interim.strip()))
            segment.interim = ""

    def _review(self) -> list[TurnAction]:
        """Drop what turned out wordless; start the turn; speculate on a complete text."""
        actions: list[TurnAction] = []
        wordless = [s for s in self._segments if s.answered and s.end is not None and not s.finals]
        if wordless:
            self._segments = [segment for segment in self._segments if segment not in wordless]
            self._dropped_until = max([self._dropped_until, *(segment.end or 0 for segment in wordless)])
            if not self._segments:
                self._settled_until = max(self._settled_until, self._dropped_until)
        worded = [segment for segment in self._segments if segment.finals]
        if worded and not self._started:
            self._started = True
            actions.append(Started(worded[0].start))
        text = self.text
        if text and not self.speaking and not self.pending and text != self._speculated:
            self._speculated = text
            actions.append(Speculate(text))
        return actions

    def _end(self, now: int) -> list[TurnAction]:
        position = self._voiced_until
        ended = Ended(self.text, position, (now - position) / self._rate, self._segments[-1].stt_s)
        self._last, self._segments = self._segments, []
        self._settled_before = self._settled_until
        self._settled_until = max(self._settled_until, position, self._dropped_until)
        self._started = False
        self._speculated = None
        self._complete = None
        return [ended]
