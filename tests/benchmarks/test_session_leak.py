"""How the benchmark of leaks tells a slope from noise."""

from __future__ import annotations

import random

import pytest
from session_leak import growth


def test_a_steady_growth_is_its_own_interval():
    found = growth([1_000_000 + 4000 * look for look in range(21)], 10)
    assert (found.low, found.mean, found.high) == (400, 400, 400)


def test_noise_without_growth_has_nothing_in_its_interval():
    source = random.Random(2)
    found = growth([1_000_000 + source.randrange(100_000) for _ in range(21)], 400)
    assert found.low < 0 < found.high
    assert found.high < 1024


def test_a_growth_is_found_under_noise():
    source = random.Random(3)
    found = growth([2048 * 400 * look + source.randrange(100_000) for look in range(21)], 400)
    assert found.low > 1024


def test_too_few_looks_tell_nothing():
    with pytest.raises(ValueError, match="too few"):
        growth([1, 2, 3], 1)
