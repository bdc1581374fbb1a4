"""Percentiles of a handful of figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["percentile"]


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the ``percent``-th percentile of ``values``, linear between the two nearest; 50 is the median.

    Raises ValueError when there are no values.
    """
    if not values:
        raise ValueError("no percentile of no values")
    return float(np.percentile(values, percent))
