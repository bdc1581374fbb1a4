"""The interface to a voice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import trio

from voicetrio.frames import AudioFrame, TextFrame, WordFrame

__all__ = ["TTS", "TtsFactory", "TtsOutput"]

TtsOutput: TypeAlias = AudioFrame | WordFrame
"""What a voice sends: audio, and the words in it."""


class TTS(Protocol):
    """Speaks text; a stage whose every run is one reply.

    One instance serves one session, and several runs may be under way at once.
    """

    @property
    def rate(self) -> int:
        """Hertz of the mono audio that ``speak`` sends."""
        ...

    async def speak(
        self, inlet: trio.abc.ReceiveChannel[TextFrame], outlet: trio.abc.SendChannel[TtsOutput]
    ) -> None:
        """Speak each clause that ``inlet`` gives, in order, until it ends.

        Audio positions count from 0 at the first sample of this run and are contiguous.  The
        WordFrames of a stretch of audio come before it, concatenate (with single spaces) to the text
        as it was given, and lie inside the audio.  A voice that knows no word times sends one
        WordFrame a clause.  Raises ServiceError when it cannot go on.  Cancelling stops synthesis;
        audio that was not sent is lost.
        """
        ...


TtsFactory: TypeAlias = Callable[[], TTS]
"""Makes the voice of one session."""
