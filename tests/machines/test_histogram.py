from __future__ import annotations

import math

import pytest

from voicetrio.errors import ConfigError
from voicetrio.machines.histogram import Histogram


def test_values_are_counted_at_or_below_each_bound():
    histogram = Histogram([0.1, 1.0])
    for value in (0.05, 0.1, 0.5, 3.0):
        histogram.add(value)
    assert histogram.cumulative() == [(0.1, 2), (1.0, 3), (math.inf, 4)]
    assert histogram.count == 4
    assert histogram.sum == pytest.approx(3.65)


@pytest.mark.parametrize("bounds", [[], [1, 1], [2, 1]])
def test_bounds_that_do_not_rise_are_refused(bounds):
    with pytest.raises(ConfigError, match="must rise"):
        Histogram(bounds)
