"""Medians with their spread and their confidence.

Timings on a shared machine have a long tail on one side, so everything here goes by order: medians and
quantiles, and a percentile bootstrap for the confidence (Efron, "Bootstrap Methods", 1979).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from statistics import median

__all__ = ["Estimate", "bootstrap_median", "estimate", "quantile"]

from typing import final

import attrs

RESAMPLES = 2000
CONFIDENCE = 0.95
SEED = 20260101
"""The same samples give the same interval."""


@final
@attrs.frozen
class Estimate:
    """What a row of samples says."""

    median: float
    low: float
    """The lower end of the median's confidence interval."""
    high: float
    """The upper end."""
    quartiles: tuple[float, float]
    """A quarter of the samples lies below the first, a quarter above the second."""
    count: int

    @property
    def uncertainty(self) -> float:
        """Half the interval's width as a part of the median; 0 where both are 0."""
        half = (self.high - self.low) / 2
        if half == 0:
            return 0.0
        return math.inf if self.median == 0 else half / abs(self.median)


def quantile(samples: Sequence[float], part: float) -> float:
    """Return the sample below which ``part`` (0 to 1) of them lie, between two of them by a straight line.

    Raises ValueError for no samples, or a part outside 0 to 1.
    """
    if not samples:
        raise ValueError("no samples have no quantile")
    if not 0 <= part <= 1:
        raise ValueError(f"a quantile lies between 0 and 1, not at {part}")
    ordered = sorted(samples)
    place = part * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def bootstrap_median(
    samples: Sequence[float], *, confidence: float = CONFIDENCE, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Return the interval that holds the median with this confidence.

    One sample says nothing about its spread: the interval is unbounded then.
    """
    if len(samples) < 2:
        return (-math.inf, math.inf)
    draw = random.Random(SEED)
    medians = sorted(median(draw.choices(samples, k=len(samples))) for _ in range(resamples))
    outside = (1 - confidence) / 2
    return quantile(medians, outside), quantile(medians, 1 - outside)


def estimate(samples: Sequence[float]) -> Estimate:
    """Return what ``samples`` say; raises ValueError for none, or for one that is not a number."""
    if any(math.isnan(sample) for sample in samples):
        raise ValueError("a sample is not a number")
    low, high = bootstrap_median(samples)
    return Estimate(
        median(samples), low, high, (quantile(samples, 0.25), quantile(samples, 0.75)), len(samples)
    )
