"""The ledger: which sample is where on its way to the peer's ear, and which words that makes.

Four positions on the playout clock: *generated* (a reply made it), *accepted* (mixed into a tick's frame),
*written* (handed to the network), *heard*.  Heard comes from the peer where it confirms, and otherwise from
the pacer's estimate; the quality says which.

A reply's samples are mapped to the playout clock by spans.  When samples are taken back or cleared, the
spans are cut at what remains, so a sample that was never heard can never be counted as heard later.
"""

from __future__ import annotations

from collections import deque
from typing import Literal, final

import attrs

from voicetrio.machines.pacing import Pacer
from voicetrio.values import Value

__all__ = ["Heard", "PlayoutLedger", "ReplyLedger", "SpokenWord"]

CONFIRMATION_HOLDS_S = 0.3
"""How long a confirmed position is carried forward by the clock before the next must have come."""


@final
class PlayoutLedger:
    """Positions of one playout."""

    def __init__(self, pacer: Pacer, rate: int, *, confirms: bool) -> None:
        self._pacer = pacer
        self._rate = rate
        self._confirms = confirms
        self._floor = 0
        self._confirmed: tuple[int, float] | None = None
        self._held: tuple[int, Literal["exact", "estimated"]] | None = None
        self._held_epoch = self._held_floor = 0
        self.epoch = 0
        """Counts the clears."""
        self.written = 0
        """Just past the last sample that was handed to the network."""

    def wrote(self, end: int) -> None:
        """Samples up to ``end`` were handed to the network."""
        if end > self.written:
            self.written = end

    def confirm(self, epoch: int, position: int, now: float) -> bool:
        """The peer says that it has played up to ``position``; return False if that cannot count."""
        if epoch != self.epoch or not self._floor <= position <= self.written or self._held is not None:
            return False
        self._confirmed = (position, now)
        return True

    def cleared(self, position: int) -> int:
        """The peer is told to drop what it has not played; what comes next starts at ``position``.

        Returns the epoch of the clear.
        """
        self.epoch += 1
        self._floor = position
        self._confirmed = None
        return self.epoch

    def hold(self, now: float) -> None:
        """The peer hears nothing from ``now`` on: what it had is kept until ``release``."""
        if self._held is None:
            self._held = self.heard(now)
            self._held_epoch, self._held_floor = self.epoch, self._floor

    def release(self, position: int, reported: tuple[int, int] | None = None) -> int:
        """The peer is back; what comes next stands at ``position``, in a new epoch.

        Args:
            position: just past everything that was written, or later.
            reported: epoch and position that the peer says it has played, if it does.

        Returns the position up to which it has heard: what lies after it was lost on the way.
        """
        heard = self.written if self._held is None else self._held[0]
        if reported is not None and reported[0] == self._held_epoch and reported[1] <= self.written:
            heard = max(self._held_floor, reported[1])
        self._held = None
        self.cleared(position)
        return heard

    def heard(self, now: float) -> tuple[int, Literal["exact", "estimated"]]:
        """Return the position that the ear has reached at ``now``, and how well that is known."""
        if self._held is not None:
            return self._held
        if self._confirms and self._confirmed is not None:
            position, then = self._confirmed
            carried = position + int(min(max(now - then, 0.0), CONFIRMATION_HOLDS_S) * self._rate)
            return min(carried, self.written), "exact"
        return max(self._floor, min(self._pacer.heard_position(now), self.written)), "estimated"


@attrs.frozen(eq=False, repr=False)
class SpokenWord(Value):
    """A piece of a reply's text with the reply's samples that speak it."""

    text: str
    start: int
    end: int


@attrs.frozen(eq=False, repr=False)
class Heard(Value):
    """What the ear has had of one reply."""

    samples: int
    """Of the reply, at the playout's rate."""
    text: str
    """A prefix of the reply's text."""
    unheard: str
    """The rest of what was generated."""
    quality: Literal["exact", "estimated"]
    words: tuple[tuple[str, int, int], ...]
    """The heard words, each with its first and last sample on the playout clock."""


@attrs.define(eq=False, repr=False)
class _Span:
    playout: int
    reply: int
    length: int


@final
class ReplyLedger:
    """Where one reply's samples and words lie on the playout clock."""

    def __init__(self) -> None:
        self._spans: deque[_Span] = deque()
        self._words: list[SpokenWord] = []
        self._begun = 0

    @property
    def text(self) -> str:
        """All the text that was generated with audio."""
        return " ".join(word.text for word in self._words)

    def add_word(self, word: SpokenWord) -> None:
        """A word was generated."""
        self._words.append(word)

    def accepted(self, playout: int, reply: int, length: int) -> None:
        """``length`` samples from ``reply`` on were mixed at ``playout`` on the playout clock."""
        last = self._spans[-1] if self._spans else None
        if last and last.playout + last.length == playout and last.reply + last.length == reply:
            last.length += length
        else:
            self._spans.append(_Span(playout, reply, length))

    def begin_words(self, end: int) -> list[SpokenWord]:
        """Return the words that begin before reply sample ``end`` and were not returned since a cut."""
        begun = self._begun
        if begun == len(self._words) or self._words[begun].start >= end:
            return []
        while self._begun < len(self._words) and self._words[self._begun].start < end:
            self._begun += 1
        return self._words[begun : self._begun]

    def cut(self, playout: int) -> int | None:
        """Nothing from ``playout`` on was or will be heard; return the first reply sample that was cut."""
        first: int | None = None
        while self._spans and self._spans[-1].playout + self._spans[-1].length > playout:
            span = self._spans[-1]
            kept = max(0, playout - span.playout)
            first = span.reply + kept
            if kept:
                span.length = kept
                break
            self._spans.pop()
        while first is not None and self._begun and self._words[self._begun - 1].start >= first:
            self._begun -= 1
        return first

    @property
    def last_playout(self) -> int:
        """Just past the last of its samples on the playout clock; 0 if there is none."""
        return self._spans[-1].playout + self._spans[-1].length if self._spans else 0

    @property
    def first_playout(self) -> int | None:
        """The first of its samples on the playout clock, if any."""
        return self._spans[0].playout if self._spans else None

    def samples_heard(self, heard_position: int) -> int:
        """Return how many of the reply's samples lie before ``heard_position``."""
        for span in reversed(self._spans):
            if heard_position > span.playout:
                return span.reply + min(span.length, heard_position - span.playout)
        return 0

    def heard(self, heard_position: int, quality: Literal["exact", "estimated"]) -> Heard:
        """Return what was heard when the ear has reached ``heard_position``.

        A word counts as heard when more than half of it was.
        """
        samples = self.samples_heard(heard_position)
        heard: list[SpokenWord] = []
        for word in self._words:
            if samples * 2 < word.start + word.end or samples == 0:
                break
            heard.append(word)
        return Heard(
            samples=samples,
            text=" ".join(word.text for word in heard),
            unheard=" ".join(word.text for word in self._words[len(heard) :]),
            quality=quality,
            words=tuple(
                (word.text, self._playout_of(word.start), self._playout_of(max(word.start, word.end - 1)))
                for word in heard
            ),
        )

    def _playout_of(self, reply: int) -> int:
        for span in reversed(self._spans):
            if reply >= span.reply:
                return span.playout + min(reply - span.reply, span.length)
        return self._spans[0].playout if self._spans else 0
