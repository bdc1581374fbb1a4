"""The harness's statistics: order statistics, and intervals that hold what they promise."""

import math
import random

import pytest
from harness.statistics import bootstrap_median, estimate, quantile
from hypothesis import given
from hypothesis import strategies as st

numbers = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


def test_quantile_lies_on_the_line_between_two_samples():
    assert quantile([10.0, 0.0], 0.25) == 2.5
    assert quantile([1, 2, 3], 0.5) == 2
    assert quantile([7], 0.99) == 7


@pytest.mark.parametrize(("samples", "part"), [([], 0.5), ([1.0], -0.1), ([1.0], 1.1)])
def test_quantile_refuses_what_has_none(samples, part):
    with pytest.raises(ValueError, match="quantile"):
        quantile(samples, part)


@given(numbers, st.floats(0, 1))
def test_quantile_stays_between_the_extremes(samples, part):
    value = quantile(samples, part)
    slack = 1e-9 * max(1.0, max(map(abs, samples)))
    assert min(samples) - slack <= value <= max(samples) + slack


def test_one_sample_has_no_interval():
    assert bootstrap_median([3.0]) == (-math.inf, math.inf)
    assert estimate([3.0]).uncertainty == math.inf


def test_equal_samples_leave_no_doubt():
    value = estimate([2.0] * 5)
    assert (value.low, value.high, value.uncertainty) == (2.0, 2.0, 0.0)
    assert estimate([0.0] * 5).uncertainty == 0.0


def test_a_sample_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="not a number"):
        estimate([1.0, math.nan])


def test_one_outlier_does_not_move_the_interval():
    quiet = [1.0, 1.01, 0.99, 1.02, 0.98, 1.0, 1.01, 0.99, 1.0]
    assert estimate([*quiet, 50.0]).high < 1.1


def test_the_interval_holds_the_true_median_about_as_often_as_it_says():
    draw = random.Random(7)
    held = 0
    for _ in range(100):
        low, high = bootstrap_median([draw.gauss(5, 1) for _ in range(25)], resamples=300)
        held += low <= 5 <= high
    assert held >= 88


def test_the_same_samples_give_the_same_interval():
    samples = [random.Random(3).random() for _ in range(20)]
    assert bootstrap_median(samples) == bootstrap_median(samples)
