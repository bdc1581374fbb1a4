"""Arithmetic on PCM: levels, conversions, sums that saturate.

Samples are int16 arrays, shape ``(n,)`` for mono and ``(n, channels)`` otherwise.  Levels are in dBFS:
decibels of the RMS below full scale (32768), so that a full-scale square wave reads 0 and a full-scale
sine -3.01.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from voicetrio.errors import ConfigError

if TYPE_CHECKING:
    from voicetrio.frames import Samples

__all__ = [
    "FULL_SCALE",
    "FloatSamples",
    "add_saturating",
    "db_to_gain",
    "dbfs",
    "from_float",
    "gain_to_db",
    "rms",
    "to_float",
    "to_mono",
    "voiced_span",
]

FULL_SCALE: Final = 32768
"""The magnitude that 0 dBFS and the float value 1.0 stand for."""

FloatSamples: TypeAlias = npt.NDArray[np.float32]
"""Samples as float32, nominally within -1.0 .. 1.0."""


def db_to_gain(db: float) -> float:
    """Return the amplitude factor of ``db`` decibels; minus infinity gives 0."""
    return float(10.0 ** (db / 20.0))


def gain_to_db(gain: float) -> float:
    """Return the decibels of the amplitude factor ``gain`` (>= 0); 0 gives minus infinity."""
    if gain < 0:
        raise ConfigError(f"a gain cannot be negative: {gain}")
    return 20.0 * math.log10(gain) if gain > 0 else -math.inf


def rms(samples: Samples) -> float:
    """Return the root mean square relative to full scale, 0.0 to 1.0; 0.0 of no samples."""
    if samples.size == 0:
        return 0.0
    # float64: the squares of a minute at 48 kHz add up beyond what float32 can hold exactly.
    flat = samples.reshape(-1).astype(np.float64)
    return math.sqrt(float(flat @ flat) / flat.size) / FULL_SCALE


def dbfs(samples: Samples) -> float:
    """Return the level of ``samples`` in dBFS; minus infinity for digital silence."""
    return gain_to_db(rms(samples))


def to_float(samples: Samples) -> FloatSamples:
    """Return int16 ``samples`` as float32 in -1.0 <= x < 1.0, same shape."""
    return samples.astype(np.float32) / np.float32(FULL_SCALE)


def from_float(samples: npt.NDArray[np.floating[Any]]) -> Samples:
    """Return float ``samples`` (1.0 is full scale) as int16: rounded and saturated, NaN as 0, same shape."""
    scaled = np.rint(np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0) * FULL_SCALE)
    return _clipped(scaled)


def add_saturating(first: Samples, second: Samples) -> Samples:
    """Return the sum of two int16 arrays of one shape, clipped instead of wrapped around."""
    total = first.astype(np.int32) + second
    return _clipped(total)


def to_mono(samples: Samples) -> Samples:
    """Return the rounded mean of the channels, shape ``(n,)``; mono comes back as it is."""
    if samples.ndim == 1:
        return samples
    if samples.shape[1] == 1:
        return samples[:, 0]
    return _clipped(np.rint(samples.mean(axis=1, dtype=np.float64)))


def voiced_span(
    samples: Samples, rate: int, threshold_dbfs: float = -40.0, *, window_ms: int = 20
) -> tuple[int, int] | None:
    """Return where sound begins and ends: ``(start, stop)`` in samples, or None if there is none.

    The level at an instant is the RMS of the ``window_ms`` around it, looked at every millisecond, so an
    edge is found up to half a window outside the sound.  ``start`` is the first sample that is louder
    than ``threshold_dbfs``, ``stop`` lies just past the last one.  ``samples`` is mono.
    """
    if samples.ndim != 1:
        raise ConfigError("voiced_span measures mono audio: mix the channels down with to_mono() first")
    step = max(1, rate // 1000)
    block_count = -(-samples.size // step)
    padded = np.zeros(block_count * step, np.float64)
    padded[: samples.size] = samples
    energy = np.square(padded).reshape(block_count, step).sum(axis=1)
    half = max(1, window_ms // 2)
    summed = np.concatenate((np.zeros(half), np.cumsum(np.concatenate(([0.0], energy)))))
    summed = np.concatenate((summed, np.full(half, summed[-1])))
    window = summed[2 * half :] - summed[: -2 * half]
    limit = (db_to_gain(threshold_dbfs) * FULL_SCALE) ** 2 * 2 * half * step
    loud = np.flatnonzero(window[:block_count] > limit)
    if loud.size == 0:
        return None
    return int(loud[0]) * step, min(samples.size, (int(loud[-1]) + 1) * step)


def _clipped(values: npt.NDArray[Any]) -> Samples:
    clipped: Samples = np.clip(values, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return clipped
