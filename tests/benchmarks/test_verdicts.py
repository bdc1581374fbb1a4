"""Judging a figure, and knowing when to stop."""

import pytest
from harness.question import Figure, Question, Side, Target
from harness.statistics import Estimate
from harness.verdicts import answer, is_settled, is_undecided, judge


def an_estimate(low, high):
    return Estimate((low + high) / 2, low, high, (low, high), 9)


def ratio(each):
    return each["ours"]["us"] / each["theirs"]["us"]


def a_question(**changes):
    given = {
        "name": "q",
        "asks": "how long?",
        "sides": (Side("ours", "q.py", "f"), Side("theirs", "q.py", "g")),
        "figures": (Figure("ratio", "x", ratio, Target(at_most=1.0)),),
        "does_not_say": "anything",
    }
    return Question(**{**given, **changes})


@pytest.mark.parametrize(
    ("low", "high", "target", "verdict"),
    [
        (1, 2, Target(at_most=2), "pass"),
        (1, 2, Target(at_most=1.5), "undecided"),
        (1, 2, Target(at_most=0.5), "fail"),
        (1, 2, Target(at_least=1), "pass"),
        (1, 2, Target(at_least=1.5), "undecided"),
        (1, 2, Target(at_least=2.5), "fail"),
        (1, 2, None, "no target"),
    ],
)
def test_a_verdict_needs_the_whole_interval_on_one_side(low, high, target, verdict):
    assert judge(an_estimate(low, high), target) == verdict


@pytest.mark.parametrize("bounds", [{}, {"at_most": 1, "at_least": 0}])
def test_a_target_is_one_bound(bounds):
    with pytest.raises(ValueError, match="either"):
        Target(**bounds)


def test_a_ratio_is_taken_within_a_round():
    # The machine becomes ten times slower: both sides do, and the ratio stays.
    rounds = [{"ours": {"us": 2.0 * slow}, "theirs": {"us": 4.0 * slow}} for slow in (1, 1, 10, 10, 10)]
    (only,) = answer(a_question(), rounds)
    assert only.estimate.median == 0.5
    assert (only.verdict, only.is_noisy) == ("pass", False)


def test_a_side_that_was_left_out_takes_its_figures_with_it():
    assert answer(a_question(), [{"ours": {"us": 2.0}}] * 3) == ()


def test_a_noisy_figure_shows_its_interval_and_no_number():
    rounds = [{"ours": {"us": us}, "theirs": {"us": 1.0}} for us in (0.5, 2.0, 0.6, 1.9, 1.0)]
    (only,) = answer(a_question(), rounds)
    assert only.is_noisy
    assert str(only).startswith("noisy: ")
    assert not is_settled([only])


def test_a_clear_verdict_settles_a_noisy_figure():
    rounds = [{"ours": {"us": us}, "theirs": {"us": 10.0}} for us in (0.5, 2.0, 0.6, 1.9, 1.0)]
    (only,) = answer(a_question(), rounds)
    assert only.is_noisy
    assert is_settled([only])


def test_a_figure_at_its_target_is_not_settled_by_a_narrow_interval():
    rounds = [{"ours": {"us": us}, "theirs": {"us": 1.0}} for us in (0.99, 1.01, 0.99, 1.01, 1.0)]
    (only,) = answer(a_question(), rounds)
    assert (only.verdict, only.is_noisy) == ("undecided", False)
    assert is_undecided([only])
    assert not is_settled([only])


def test_a_question_needs_sides_with_names_of_their_own():
    with pytest.raises(ValueError, match="one name"):
        a_question(sides=(Side("ours", "q.py", "f"), Side("ours", "q.py", "g")))
