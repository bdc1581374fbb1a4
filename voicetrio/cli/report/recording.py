"""What a report is made of: both sides' audio, the events, and what was measured.

All times are seconds of the session: 0 is the first sample of both recordings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np

from voicetrio.audio import resample_whole
from voicetrio.events import Event
from voicetrio.frames import Samples

__all__ = ["Figure", "Recording", "TurnRecord"]


@attrs.frozen
class Figure:
    """One measured figure, ready to be shown."""

    label: str
    value: str
    """The figure with its unit."""
    note: str = ""
    """What it was measured against, or what was wanted."""
    good: bool | None = None
    """Whether it is what was wanted; None where nothing was asked for."""


@attrs.frozen(kw_only=True)
class TurnRecord:
    """One turn of the user and the reply to it, as it was measured.

    The times are None where the step did not happen, or was not seen.
    """

    reply: str
    """The reply's name, as its events have it."""
    user_text: str
    reply_text: str
    heard_text: str
    endpoint_ms: float | None = None
    """From the last voiced sample to the decision that the turn is over."""
    stt_ms: float | None = None
    """From the end of the last segment to its text."""
    first_audio_ms: float | None = None
    """From the opening of the reply to its first audio."""
    response_ms: float | None = None
    """From the caller's last voiced sample to the first voiced reply sample that the client played."""
    voiced_end_s: float | None = None
    """The caller's last voiced sample."""
    speech_stopped_s: float | None = None
    """The VAD's word that the speech is over."""
    transcript_s: float | None = None
    """The final transcript."""
    opened_s: float | None = None
    """The reply began to be made: the transcript was given to the language model."""
    decided_s: float | None = None
    """The turn was taken to be over."""
    first_text_s: float | None = None
    """The first text of the language model."""
    first_audio_s: float | None = None
    """The first audio of the voice."""
    first_sent_s: float | None = None
    """The reply's first sample was given to the transport."""
    first_played_s: float | None = None
    """The first voiced sample of the reply that the client played."""


@attrs.frozen(kw_only=True)
class Recording:
    """A session, recorded."""

    caller: Samples = attrs.field(repr=False)
    """What the caller's microphone sent: int16, shape ``(n,)``."""
    heard: Samples = attrs.field(repr=False)
    """What the caller's client played: int16, shape ``(n,)``."""
    caller_rate: int = 16000
    """Hertz of ``caller``, and of the capture clock that its events count in."""
    heard_rate: int = 24000
    """Hertz of ``heard``, and of the playout clock that its events count in."""
    events: tuple[tuple[float, Event], ...] = ()
    """Each event with the time at which it was told, in order."""
    capture_start_s: float = 0.0
    """The time of position 0 on the capture clock."""
    playout_start_s: float = 0.0
    """The time at which the client's ear had position 0 of the playout clock."""
    turns: tuple[TurnRecord, ...] = ()
    figures: tuple[Figure, ...] = ()
    session_end: Mapping[str, Any] = attrs.field(factory=dict)
    """How the session ended: ``reason``, ``late``, ``abandoned``, and what else is to be shown."""
    title: str = "A spoken conversation"

    @property
    def duration_s(self) -> float:
        """The length of the longer recording, at least up to the last event."""
        last_s = self.events[-1][0] if self.events else 0.0
        return max(len(self.caller) / self.caller_rate, len(self.heard) / self.heard_rate, last_s)

    def capture_s(self, position: int) -> float:
        """Return the time of ``position`` on the capture clock."""
        return self.capture_start_s + position / self.caller_rate

    def playout_s(self, position: int) -> float:
        """Return the time of ``position`` on the playout clock, at the client's ear."""
        return self.playout_start_s + position / self.heard_rate

    def stereo(self) -> Samples:
        """Return both sides at ``heard_rate``, shape ``(n, 2)``: left the caller, right what was heard."""
        left = resample_whole(self.caller, self.caller_rate, self.heard_rate)
        both = np.zeros((max(len(left), len(self.heard)), 2), np.int16)
        both[: len(left), 0] = left
        both[: len(self.heard), 1] = self.heard
        return both
