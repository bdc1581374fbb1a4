"""What the user's voice does to a reply that is being heard.

The rules:

1. A barge-in is speech that began over an audible reply.  Whether it did is the reply gate's to say: it knows
   when the first sample was heard, and that earlier speech belongs to the turn that the reply answered.
2. Voice that lasts ``duck_after_s`` makes the reply quieter; ``pause_after_s`` stops it for now;
   ``sustained_s`` takes the turn without any words.  Durations are voiced audio counted from its first
   sample, so that detecting it costs nothing on top.
3. Words take the turn, from an interim transcript on.  A transcript that ends before the barge-in began
   confirms nothing.
4. A backchannel alone ("mhm") takes nothing: the reply goes on, and what was said is no turn.  In the
   last ``answer_window_s`` of a reply it is an answer, and counts as words.
5. Voice that turns out to hold no words was a false interruption: the reply goes on at once.
6. If no text comes at all, the reply goes on ``false_after_s`` after the *end* of the voice.  While voice or
   a decode is pending that cannot happen; a decode is given up after ``decode_wait_s``.
7. A reply that cannot be interrupted is left alone, and a backchannel during it is still no turn.
8. When the session ends, a reply that was ducked or paused goes on, and there is no barge-in any more.

=================  ==============  =================  ==============  ===========================
news               no voice yet    quiet (< 0.2 s)    ducked          paused
=================  ==============  =================  ==============  ===========================
voice lasts        -               duck               pause           interrupt at ``sustained_s``
words              interrupt       interrupt          interrupt       interrupt
a backchannel      dismiss         dismiss            resume          resume
empty text         -               -                  resume          resume
nothing in time    -               -                  resume          resume
the reply is over  -               -                  -               -
=================  ==============  =================  ==============  ===========================

Positions and ``now`` are samples on the capture clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import attrs
from attrs import validators

from voicetrio.machines.words import BACKCHANNELS, is_backchannel, words_of
from voicetrio.values import Value

__all__ = [
    "BargeIn",
    "BargeInAction",
    "BargeInSettings",
    "Dismiss",
    "Duck",
    "Interrupt",
    "Pause",
    "Resume",
]

_seconds = validators.ge(0.0)
_SLACK_S = 0.3


def _frozen_texts(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(" ".join(words_of(text)) for text in texts)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class BargeInSettings(Value):
    """When the user's voice interrupts a reply; durations in seconds."""

    enabled: bool = True
    """False: no reply is ever ducked, paused or interrupted by the user's voice."""
    duck_after_s: float = attrs.field(default=0.2, validator=_seconds)
    pause_after_s: float = attrs.field(default=0.35, validator=_seconds)
    sustained_s: float = attrs.field(default=1.2, validator=_seconds)
    false_after_s: float = attrs.field(default=1.0, validator=_seconds)
    answer_window_s: float = attrs.field(default=1.0, validator=_seconds)
    backchannels: frozenset[str] = attrs.field(default=BACKCHANNELS, converter=_frozen_texts)
    """What a listener says without wanting the turn, as words in lower case."""

    @property
    def marks_s(self) -> tuple[float, ...]:
        """The lengths of voice at which something happens."""
        return (self.duck_after_s, self.pause_after_s, self.sustained_s) if self.enabled else ()


@attrs.frozen(eq=False, repr=False)
class Duck(Value):
    """Make the reply quieter."""

    position: int


@attrs.frozen(eq=False, repr=False)
class Pause(Value):
    """Stop the reply for now."""

    position: int


@attrs.frozen(eq=False, repr=False)
class Resume(Value):
    """It was no interruption: the reply goes on as before."""

    because: Literal["timeout", "no words", "backchannel", "ending"]


@attrs.frozen(eq=False, repr=False)
class Interrupt(Value):
    """The user takes the turn; their speech began at ``onset``."""

    because: Literal["words", "sustained voice"]
    onset: int


@attrs.frozen(eq=False, repr=False)
class Dismiss(Value):
    """What was said from ``start`` to ``end`` is no turn."""

    start: int
    end: int


BargeInAction: TypeAlias = Duck | Pause | Resume | Interrupt | Dismiss
"""What the machine decides."""


@attrs.define(eq=False, repr=False)
class _Episode:
    """One barge-in, from its first voice to the verdict."""

    onset: int
    is_answer: bool
    spoken_from: int | None
    ended_at: int = 0
    effect: Literal["none", "ducked", "paused"] = "none"
    pending: dict[int, int] = attrs.Factory(dict)
    """Ends of speech that wait for their text, each with when it was told."""


class BargeIn:
    """Decides over one reply at a time; the next ``reply_audible`` begins anew."""

    def __init__(
        self, rate: int, settings: BargeInSettings | None = None, *, decode_wait_s: float = 5.0
    ) -> None:
        self._rate = rate
        self._settings = settings or BargeInSettings()
        self._decode_wait = round(decode_wait_s * rate)
        self._slack = round(_SLACK_S * rate)
        self._audible_at: int | None = None
        self._interruptible = True
        self._episode: _Episode | None = None
        self._shut = False

    @property
    def effect(self) -> Literal["none", "ducked", "paused"]:
        """What the voice has done to the reply so far."""
        return self._episode.effect if self._episode else "none"

    @property
    def deadline(self) -> int | None:
        """When ``tick`` has something to decide (a position), if nothing else comes."""
        episode = self._episode
        if episode is None or episode.spoken_from is not None:
            return None
        due = episode.ended_at + round(self._settings.false_after_s * self._rate)
        return max([due, *(told + self._decode_wait for told in episode.pending.values())])

    def reply_audible(self, at: int, *, interruptible: bool = True) -> None:
        """A reply's first sample is heard at ``at``."""
        self._audible_at = at
        self._interruptible = interruptible and self._settings.enabled
        self._episode = None

    def reply_over(self) -> None:
        """The reply has ended; a verdict that is still open can only dismiss what was said."""
        self._audible_at = None
        if self._episode is not None:
            self._episode.effect = "none"

    def speech_started(self, start: int, now: int, remaining_s: float) -> list[BargeInAction]:
        """Speech began at ``start``; the reply has ``remaining_s`` seconds to go (``inf``: unknown)."""
        if self._shut or self._audible_at is None:
            return []
        if self._episode is None:
            at_onset_s = remaining_s + (now - start) / self._rate
            self._episode = _Episode(start, at_onset_s <= self._settings.answer_window_s, start)
        else:
            self._episode.spoken_from = start
        return []

    def voice_lasted(self, start: int, until: int) -> list[BargeInAction]:
        """The speech that began at ``start`` has been voiced up to ``until``."""
        episode = self._episode
        if episode is None or episode.spoken_from != start or not self._acts:
            return []
        lasted_s = (until - start) / self._rate
        if lasted_s >= self._settings.sustained_s:
            return self._interrupt("sustained voice", episode.onset)
        if lasted_s >= self._settings.pause_after_s and episode.effect != "paused":
            episode.effect = "paused"
            return [Pause(until)]
        if lasted_s >= self._settings.duck_after_s and episode.effect == "none":
            episode.effect = "ducked"
            return [Duck(until)]
        return []

    def speech_stopped(self, start: int, end: int, now: int) -> list[BargeInAction]:
        """The speech that began at ``start`` ended at ``end``, told at ``now``; its text is to come."""
        episode = self._episode
        if episode is not None and episode.spoken_from == start:
            episode.spoken_from = None
            episode.ended_at = max(episode.ended_at, end)
            episode.pending[end] = now
        return []

    def transcript(
        self, start: int, end: int, text: str, *, final: bool, remaining_s: float
    ) -> list[BargeInAction]:
        """The audio from ``start`` to ``end`` reads ``text``."""
        episode = self._episode
        if self._shut or (episode is None and self._audible_at is None):
            return []
        floor = episode.onset if episode is not None else self._audible_at
        if floor is None or end <= floor:
            return []
        if episode is not None and final:
            episode.pending = {at: told for at, told in episode.pending.items() if at > end + self._slack}
        words = words_of(text)
        if not words:
            return self._settle("no words") if final else []
        is_answer = episode.is_answer if episode else remaining_s <= self._settings.answer_window_s
        if is_backchannel(words, self._settings.backchannels) and not is_answer:
            return [Dismiss(start, end), *self._settle("backchannel")] if final else []
        if self._acts:
            return self._interrupt("words", episode.onset if episode else start)
        return self._settle("no words") if final else []

    def tick(self, now: int) -> list[BargeInAction]:
        """Decide what the passing of time has settled."""
        deadline = self.deadline
        if deadline is None or now < deadline or self._episode is None:
            return []
        self._episode.pending.clear()
        return self._settle("timeout")

    def shut(self) -> list[BargeInAction]:
        """The session ends: what was ducked or paused goes on, and no voice does anything any more."""
        self._shut = True
        if self._episode is not None:
            self._episode.pending.clear()
            self._episode.spoken_from = None
        return self._settle("ending")

    @property
    def _acts(self) -> bool:
        return self._audible_at is not None and self._interruptible and not self._shut

    def _interrupt(self, because: Literal["words", "sustained voice"], onset: int) -> list[BargeInAction]:
        self._episode = None
        self._audible_at = None
        return [Interrupt(because, onset)]

    def _settle(
        self, because: Literal["timeout", "no words", "backchannel", "ending"]
    ) -> list[BargeInAction]:
        """End the episode as a false interruption, unless voice or a decode is pending."""
        episode = self._episode
        if episode is None or episode.spoken_from is not None or episode.pending:
            return []
        self._episode = None
        return [Resume(because)] if episode.effect != "none" else []
