"""From probabilities of voice to the beginning and end of speech.

The rules:

1. A window at or above ``on`` begins a candidate.  Windows at or above ``off`` keep it; one below ``off``
   before ``min_speech_ms`` have gone by drops it.
2. A candidate that lasts ``min_speech_ms`` is speech.  Its start is the *first* window of the candidate,
   which lies before the decision.
3. In speech a window at or above ``off`` is voiced.  ``min_silence_ms`` without one end the speech, and its
   end is just past the *last* voiced window, which lies before the decision too.
4. A gap between two windows is silence: it drops a candidate, and ends speech if it is long enough.
5. When no audio arrives for ``input_silence_s`` by the clock (a muted microphone sends nothing), speech ends
   as in 3 and a candidate is dropped.
6. While speech goes on, each of the ``marks_s`` is told once, when the voiced stretch has become that long.

Positions are samples on the capture clock.  Times are seconds, and only rule 5 looks at them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import attrs
from attrs import validators

from voicetrio.values import Value

__all__ = ["VoiceActivity", "VoiceChange", "VoiceLasted", "VoiceSettings", "VoiceStarted", "VoiceStopped"]

_probability = validators.and_(validators.ge(0.0), validators.le(1.0))


@attrs.frozen(kw_only=True, eq=False, repr=False)
class VoiceSettings(Value):
    """When a probability is a voice, and when voice is speech."""

    on: float = attrs.field(default=0.5, validator=_probability)
    """Probability that begins speech."""
    off: float = attrs.field(default=0.35, validator=_probability)
    """Probability below which a window of speech is not voiced."""
    min_speech_ms: int = attrs.field(default=80, validator=validators.ge(0))
    min_silence_ms: int = attrs.field(default=250, validator=validators.ge(0))
    input_silence_s: float = attrs.field(default=1.0, validator=validators.gt(0))
    """Seconds without any audio after which speech has ended."""

    @off.validator
    def _below_on(self, _attribute: object, off: float) -> None:
        if off > self.on:
            raise ValueError(f"off ({off}) must not be above on ({self.on})")


@attrs.frozen(eq=False, repr=False)
class VoiceStarted(Value):
    """Speech began at ``start``."""

    start: int


@attrs.frozen(eq=False, repr=False)
class VoiceLasted(Value):
    """The speech that began at ``start`` has been voiced up to ``until``, at least ``mark_s`` seconds."""

    start: int
    until: int
    mark_s: float


@attrs.frozen(eq=False, repr=False)
class VoiceStopped(Value):
    """The speech that began at ``start`` ended; ``end`` is just past its last voiced sample."""

    start: int
    end: int


VoiceChange: TypeAlias = VoiceStarted | VoiceLasted | VoiceStopped
"""What the machine tells."""


class VoiceActivity:
    """The hysteresis over a stream of windows."""

    def __init__(
        self, rate: int, settings: VoiceSettings | None = None, *, marks_s: Sequence[float] = ()
    ) -> None:
        self._settings = settings or VoiceSettings()
        self._min_speech = self._settings.min_speech_ms * rate // 1000
        self._min_silence = self._settings.min_silence_ms * rate // 1000
        self._marks = tuple((round(mark_s * rate), mark_s) for mark_s in sorted(marks_s))
        self._marks_told = 0
        self.start: int | None = None
        """Where the candidate, or the speech, began; None while it is quiet."""
        self._voiced_until = 0
        self._end: int | None = None
        """Just past the last window."""
        self._heard_at = 0.0
        self.speaking = False
        """Speech is going on."""

    @property
    def deadline(self) -> float | None:
        """When ``tick`` has something to tell if no audio comes, in seconds."""
        return None if self.start is None else self._heard_at + self._settings.input_silence_s

    def feed(self, start: int, end: int, probability: float, now: float) -> list[VoiceChange]:
        """Take in that the window from ``start`` to ``end`` holds a voice with ``probability``."""
        changes = self._silence_up_to(start) if self._end is not None and start > self._end else []
        self._end = end
        self._heard_at = now
        if self.start is None:
            if probability < self._settings.on:
                return changes
            self.start = start
        elif probability < self._settings.off:
            return changes + self._silence_up_to(end)
        self._voiced_until = end
        return changes + self._voice()

    def tick(self, now: float) -> list[VoiceChange]:
        """Tell what the passing of time has changed."""
        deadline = self.deadline
        return [] if deadline is None or now < deadline else self.finish()

    def finish(self) -> list[VoiceChange]:
        """End what is going on: no audio comes any more."""
        was_speech, start = self.speaking, self.start
        self.start = None
        self.speaking = False
        return [VoiceStopped(start, self._voiced_until)] if was_speech and start is not None else []

    def _voice(self) -> list[VoiceChange]:
        assert self.start is not None
        changes: list[VoiceChange] = []
        lasted = self._voiced_until - self.start
        if not self.speaking:
            if lasted < self._min_speech:
                return changes
            self.speaking = True
            self._marks_told = 0
            changes.append(VoiceStarted(self.start))
        while self._marks_told < len(self._marks) and lasted >= self._marks[self._marks_told][0]:
            changes.append(VoiceLasted(self.start, self._voiced_until, self._marks[self._marks_told][1]))
            self._marks_told += 1
        return changes

    def _silence_up_to(self, position: int) -> list[VoiceChange]:
        if self.speaking and position - self._voiced_until < self._min_silence:
            return []
        return self.finish()
