"""The interface to a voice-activity model."""

from __future__ import annotations

from typing import Protocol

from voicetrio.frames import Samples

__all__ = ["VAD"]


class VAD(Protocol):
    """Tells for one short stretch of audio how likely it holds a voice.

    One instance serves one stream: it may keep state.  It is called in the event loop, so a call must
    stay well below a millisecond; a heavier model belongs behind a worker pool.
    """

    @property
    def rate(self) -> int:
        """Hertz that ``probability`` expects."""
        ...

    @property
    def window(self) -> int:
        """Samples that one call of ``probability`` expects."""
        ...

    def probability(self, samples: Samples) -> float:
        """Return the probability of voice, 0 to 1, in ``samples``: int16, shape ``(window,)``."""
        ...

    def reset(self) -> None:
        """Forget everything heard so far."""
        ...
