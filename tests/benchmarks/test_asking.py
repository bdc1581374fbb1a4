"""Asking: the sides' processes, rounds in turn, noise that repeats them, and what is written down."""

import json
from pathlib import Path

import attrs
import pytest
from harness import asking, page, results
from harness.budget import Budget
from harness.question import Figure, Question, Side, Target
from harness.sides import SideFailed

FILE = str(Path(__file__).parent / "measured.py")


def a_question(*sides, figures=None, **changes):
    figures = figures or (Figure("calls", "", lambda r: r["counts"]["calls"]),)
    return Question(name="q", asks="how many?", sides=sides, figures=figures, does_not_say="much", **changes)


def test_a_side_keeps_its_process_over_the_rounds_and_warms_up_once():
    asked = asking.ask(a_question(Side("counts", FILE, "count"), rounds=3, steady=10.0))
    assert [each["counts"]["calls"] for each in asked.rounds] == [2, 3, 4]
    assert all(each["counts"]["cpu_s"] >= 0 for each in asked.rounds)


def test_noise_repeats_the_rounds_up_to_a_limit():
    asked = asking.ask(a_question(Side("counts", FILE, "count"), rounds=3, steady=0.0))
    assert len(asked.rounds) == 3 * asking.MOST
    assert asked.is_noisy


def test_a_side_that_fails_says_what_happened():
    with pytest.raises(SideFailed, match=r"(?s)bad: ValueError: no such thing.*Traceback"):
        asking.ask(a_question(Side("bad", FILE, "broken")))


def test_sides_take_turns():
    told = []
    sides = (Side("counts", FILE, "count"), Side("other", FILE, "constant", arguments={"value": 1.0}))
    asking.ask(a_question(*sides, rounds=3, steady=10.0), say=told.append)
    order = [text.split(",")[0] for text in told if "warming" not in text]
    assert order == ["counts", "other", "other", "counts", "counts", "other"]


def test_a_round_can_be_the_least_of_several_turns_in_alternating_order(tmp_path):
    told = []
    sides = (Side("counts", FILE, "count"), Side("other", FILE, "constant", arguments={"value": 1.0}))
    asked = asking.ask(a_question(*sides, rounds=2, least_of=2, steady=10.0), say=told.append)
    assert [each["counts"]["calls"] for each in asked.rounds] == [2, 4]
    order = [text.split(",")[0] for text in told if "warming" not in text]
    assert order == ["counts", "other", "other", "counts", "other", "counts", "counts", "other"]
    kept = results.read(tmp_path / "none.json")
    results.merge(kept, asked)
    assert "\n2 rounds, each the least of 2, in " in page.page(kept)


def test_a_peer_without_an_environment_is_left_out_and_named(monkeypatch):
    monkeypatch.setattr("harness.sides.python_of", lambda peer: None)
    sides = (Side("counts", FILE, "count"), Side("peer", FILE, "count", peer="pipecat"))
    figures = (
        Figure("calls", "", lambda r: r["counts"]["calls"]),
        Figure("theirs", "", lambda r: r["peer"]["calls"]),
    )
    asked = asking.ask(a_question(*sides, figures=figures, rounds=3, steady=10.0))
    assert asked.left_out == ("peer",)
    assert [each.figure.name for each in asked.answers] == ["calls"]


def test_the_results_and_the_page_hold_what_was_measured(tmp_path):
    figures = (Figure("value", "ms", lambda r: r["fixed"]["value"], Target(at_most=5)),)
    side = Side("fixed", FILE, "constant", arguments={"value": 4.0})
    asked = asking.ask(a_question(side, figures=figures, rounds=3))
    kept = results.read(tmp_path / "none.json")
    results.merge(kept, asked)
    results.write(kept, tmp_path / "results.json")
    read = results.read(tmp_path / "results.json")
    (figure,) = read["questions"]["q"]["figures"]
    assert (figure["median"], figure["verdict"], figure["samples"]) == (4.0, "pass", 3)
    assert len(read["questions"]["q"]["rounds"]) == 3
    assert {"processor", "python", "versions", "commit"} <= read["questions"]["q"]["machine"].keys()
    text = page.page(read)
    assert "| [q](#q) | value | <= 5 ms | 4 ms | **pass** |" in text
    assert "**What this does not say:** much" in text
    assert "\n3 rounds in " in text
    json.dumps(read, allow_nan=False)


def test_noise_is_not_measured_again_when_no_time_is_left_for_it():
    asked_for = []
    asked = asking.ask(
        a_question(Side("counts", FILE, "count"), rounds=3, steady=0.0),
        may_last=lambda more_s: bool(asked_for.append(more_s)),
    )
    assert len(asked.rounds) == 3
    assert asked.is_noisy
    assert len(asked_for) == 1
    assert asking.KEPT_S < asked_for[0] <= asking.KEPT_S + asked.took_s


def test_what_decides_nothing_gets_as_many_rounds_as_there_is_time_for():
    # Counts go up: a target in their middle is straddled by ever more of them.
    figures = (Figure("calls", "", lambda r: r["counts"]["calls"], Target(at_most=3)),)
    question = a_question(
        Side("counts", FILE, "count"), figures=figures, rounds=4, steady=10.0, warms_up=False
    )
    answers = iter([False, False, True, False])
    asked = asking.ask(question, may_last=lambda more_s: next(answers, False))
    assert len(asked.rounds) == 6
    assert [each.verdict for each in asked.answers] == ["undecided"]
    assert len(asking.ask(question).rounds) == 4 * asking.MOST


def test_a_question_that_needs_no_warming_up_keeps_its_first_round():
    question = a_question(Side("counts", FILE, "count"), rounds=3, steady=10.0, warms_up=False)
    assert [each["counts"]["calls"] for each in asking.ask(question).rounds] == [1, 2, 3]


def test_a_side_that_is_measured_once_keeps_its_number():
    sides = (Side("counts", FILE, "count"), Side("once", FILE, "count", once=True))
    asked = asking.ask(a_question(*sides, rounds=3, steady=10.0, warms_up=False))
    assert [each["counts"]["calls"] for each in asked.rounds] == [1, 2, 3]
    assert [each["once"]["calls"] for each in asked.rounds] == [1, 1, 1]


def test_less_effort_keeps_a_few_rounds():
    question = a_question(Side("counts", FILE, "count"), rounds=8, round_s=10.0)
    assert question.planned_rounds(0.01) == 3
    assert question.planned_s(0.5) == 50.0
    assert a_question(Side("counts", FILE, "count"), rounds=2).planned_rounds(0.01) == 2


def test_a_budget_keeps_the_time_of_the_questions_to_come():
    first = a_question(Side("counts", FILE, "count"), rounds=3, round_s=10.0)
    second = attrs.evolve(first, name="later")
    budget = Budget([first, second], 1.0, limit_s=1000.0)
    assert budget.planned_s == 80.0
    budget.begin(first)
    assert budget.allows(900.0)
    assert not budget.allows(970.0)
    budget.begin(second)
    assert budget.allows(970.0)
    assert Budget([first], 1.0, limit_s=10.0).longest_s == 40.0
