"""A finished call, as both ends have it."""

from __future__ import annotations

import attrs

from voicetrio.cli.call.session_log import SessionLog
from voicetrio.frames import Samples
from voicetrio.testing.reference_client import AudioArrival, ServerMessage
from voicetrio.transports.playback import PlaybackStatistics, PlayedStretch

__all__ = ["Act", "CallRecord"]


@attrs.frozen
class Act:
    """Something that the caller did."""

    what: str
    """``speech``, ``cough`` or ``text``."""
    text: str
    time: float
    """When its first sample was recorded, in seconds of trio's clock."""
    duration_s: float


@attrs.define(kw_only=True)
class CallRecord:
    """A call; times are seconds of trio's clock."""

    log: SessionLog
    acts: list[Act]
    start: float
    stop: float
    microphone_started: float
    """The capture clock's position 0."""
    caller: Samples = attrs.field(repr=False)
    """What the microphone recorded from ``start`` to ``stop``."""
    caller_rate: int
    heard: Samples = attrs.field(repr=False)
    """What was played from ``start`` to ``stop``."""
    heard_rate: int
    arrivals: list[AudioArrival] = attrs.field(repr=False)
    """Each piece of audio that reached the caller's end."""
    messages: list[ServerMessage] = attrs.field(factory=list, repr=False)
    stretches: list[PlayedStretch] = attrs.field(repr=False)
    playback: PlaybackStatistics
    audio_after_end: int
    """Pieces of audio that came after the goodbye."""
