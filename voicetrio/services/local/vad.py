"""Voice activity by earshot: a small network, embedded in its package, that takes some 20 us a window."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from voicetrio.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from voicetrio.frames import Samples

__all__ = ["EarshotVAD"]

RATE_HZ = 16000
WINDOW = 256
"""16 ms: the only window that the network takes."""


@final
class EarshotVAD:
    """Voice activity of one stream; fast enough to be called in the event loop.

    Raises MissingExtra when the package ``earshot`` is not installed.
    """

    def __init__(self) -> None:
        try:
            import earshot
        except ImportError as error:
            raise MissingExtra("local", "voice activity detection") from error
        self._detector = earshot.Detector()

    @property
    def rate(self) -> int:
        """Hertz: 16000."""
        return RATE_HZ

    @property
    def window(self) -> int:
        """Samples a call: 256."""
        return WINDOW

    def probability(self, samples: Samples) -> float:
        """Return the probability of voice in ``samples``: int16, shape ``(256,)``.

        Raises ConfigError for another number of samples.
        """
        if samples.shape != (WINDOW,):
            raise ConfigError(f"a window is {WINDOW} samples of mono audio, not {samples.shape}")
        return float(self._detector.predict_i16(samples))

    def reset(self) -> None:
        """Forget the audio so far."""
        self._detector.reset()
