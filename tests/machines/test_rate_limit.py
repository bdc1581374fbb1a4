from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.errors import ConfigError
from voicetrio.machines.rate_limit import TokenBucket


def test_a_burst_is_taken_at_once_and_no_more():
    bucket = TokenBucket(10, 30, now=5.0)
    assert bucket.take(30, 5.0)
    assert not bucket.take(1, 5.0)


def test_it_fills_at_its_rate_up_to_the_burst():
    bucket = TokenBucket(10, 30, now=0.0)
    assert bucket.take(30, 0.0)
    assert not bucket.take(11, 1.0)
    assert bucket.take(10, 1.0)
    assert not bucket.take(31, 1000.0)
    assert bucket.take(30, 1000.0)


def test_an_infinite_rate_limits_nothing():
    bucket = TokenBucket(math.inf, 1, now=0.0)
    assert all(bucket.take(1e12, 0.0) for _ in range(3))


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (1, 0), (-1, 1), (math.nan, 1)])
def test_impossible_limits_are_refused(rate, burst):
    with pytest.raises(ConfigError, match="above 0"):
        TokenBucket(rate, burst, now=0.0)


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 50)), max_size=60))
def test_no_stretch_of_time_ever_lets_more_through_than_burst_and_rate(steps):
    bucket = TokenBucket(10, 30, now=0.0)
    now, passed = 0.0, []
    for wait_s, amount in steps:
        now += wait_s
        if bucket.take(amount, now):
            passed.append((now, amount))
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            total = sum(amount for _, amount in passed[first : last + 1])
            assert total <= 30 + 10 * (passed[last][0] - passed[first][0]) + 1e-6
