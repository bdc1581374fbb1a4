"""Gains that change without a click.

Every change of loudness follows one curve: the *power* goes from the old to the new along a squared sine, so
that a sound that fades in while another fades out keeps the loudness (equal-power, "sin/cos" fades).  The
curve is a table with linear interpolation, addressed by whole sample counts: the gain of a sample does
not depend on how the stream is cut into pieces.
"""

from __future__ import annotations

import math
from typing import Final, TypeAlias, final

import numpy as np
import numpy.typing as npt

from voicetrio.audio.pcm import FULL_SCALE
from voicetrio.errors import ConfigError
from voicetrio.frames import Samples

__all__ = ["GainRamp", "Gains", "fade_in_gains", "fade_out_gains", "seamless_loop"]

Gains: TypeAlias = npt.NDArray[np.float32]
"""Amplitude factors, one a sample, float32, shape ``(n,)``."""

_STEPS: Final = 1024  # linear interpolation between them errs by less than 1e-6
_POWER: Final = (np.sin(np.linspace(0.0, math.pi / 2, _STEPS + 1)) ** 2).astype(np.float32)


def fade_in_gains(sample_count: int) -> Gains:
    """Return gains that rise from just above 0 to exactly 1 at the last sample (a quarter sine)."""
    gains: Gains = np.sqrt(_power(0, sample_count, sample_count))
    return gains


def fade_out_gains(sample_count: int) -> Gains:
    """Return gains that fall from just below 1 to exactly 0 at the last sample (a quarter cosine)."""
    gains: Gains = np.sqrt(np.float32(1.0) - _power(0, sample_count, sample_count))
    return gains


def seamless_loop(clip: Samples, seam_samples: int) -> Samples:
    """Return ``clip`` (mono int16) made to loop: its end is cross-faded into its beginning.

    The result is ``seam_samples`` shorter (at most half of the clip) and repeats without a jump.
    """
    seam = min(seam_samples, clip.size // 2)
    if seam <= 0:
        return clip
    falling, rising = fade_out_gains(seam), fade_in_gains(seam)
    joined = clip[clip.size - seam :] * falling + clip[:seam] * rising
    return np.concatenate((_to_int16(joined), clip[seam : clip.size - seam]))


@final
class GainRamp:
    """A gain that moves smoothly to where it is set, sample by sample, over any number of calls."""

    __slots__ = ("_done", "_from", "_length", "_rate", "_to")

    def __init__(self, rate: int, gain: float = 1.0) -> None:
        """Start at ``gain`` (an amplitude factor, >= 0), for mono or interleaved audio of ``rate`` hertz."""
        self._rate = rate
        self._from = self._to = float(gain)
        self._length = self._done = 0

    @property
    def gain(self) -> float:
        """The factor that the last sample got."""
        if self.settled:
            return self._to
        return float(self._between(_power(self._done - 1, 1, self._length))[0])

    @property
    def target(self) -> float:
        """The factor that it moves to, or stays at."""
        return self._to

    @property
    def settled(self) -> bool:
        """Whether it has arrived."""
        return self._done >= self._length

    def set(self, gain: float, ramp_s: float = 0.0) -> None:
        """Move to ``gain`` (>= 0) within ``ramp_s`` seconds from now; 0 jumps.

        The last sample of the ramp has exactly the new gain.  Asking again for a gain that will be reached
        in time changes nothing, so it may be asked at every tick.
        """
        if not gain >= 0 or not ramp_s >= 0:
            raise ConfigError(f"a gain and its ramp cannot be negative: {gain}, {ramp_s} s")
        length = round(ramp_s * self._rate)
        if gain == self._to and self._length - self._done <= length:
            return
        self._from, self._to = self.gain, float(gain)
        self._length, self._done = length, 0

    def take(self, sample_count: int) -> float | Gains:
        """Return the gains of the next ``sample_count`` samples and move on.

        One number where all are the same.
        """
        moving = min(sample_count, self._length - self._done)
        if moving <= 0:
            return self._to
        gains = np.full(sample_count, self._to, np.float32)
        gains[:moving] = self._between(_power(self._done, moving, self._length))
        self._done += moving
        if self.settled:
            gains[moving - 1] = self._to
        return gains

    def advance(self, sample_count: int) -> None:
        """Move on by ``sample_count`` samples without making gains for them."""
        self._done = min(self._length, self._done + sample_count)

    def apply(self, samples: Samples) -> Samples:
        """Return int16 ``samples``, shape ``(n,)`` or ``(n, channels)``, times the gain; saturated.

        At a steady gain of 1 the very same array comes back.
        """
        gains = self.take(samples.shape[0])
        if isinstance(gains, float):
            return samples if gains == 1.0 else _to_int16(samples * np.float32(gains))
        return _to_int16(samples * (gains if samples.ndim == 1 else gains[:, np.newaxis]))

    def _between(self, power: Gains) -> Gains:
        old, new = np.float32(self._from**2), np.float32(self._to**2)
        gains: Gains = np.sqrt(np.maximum(old + (new - old) * power, np.float32(0.0)))
        return gains


def _power(start: int, count: int, length: int) -> Gains:
    """Return samples ``start`` .. ``start + count`` of a rise of power from 0 to 1 over ``length`` samples.

    Sample -1 is the 0 before the rise, sample ``length - 1`` is 1.
    """
    place = np.arange(start + 1, start + count + 1, dtype=np.int64) * _STEPS
    step = place // length
    part = ((place - step * length) / length).astype(np.float32)
    power: Gains = _POWER[step] + (_POWER[np.minimum(step + 1, _STEPS)] - _POWER[step]) * part
    return power


def _to_int16(samples: npt.NDArray[np.float32]) -> Samples:
    clipped: Samples = np.clip(np.rint(samples), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return clipped
