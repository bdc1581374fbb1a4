"""What is drawn runs, shrinks to something small, and can be run again from its text."""

from __future__ import annotations

import random
import sys

import pytest
from hypothesis import HealthCheck, find, given, settings

from voicetrio.errors import ConfigError, MissingExtra
from voicetrio.testing import strategies
from voicetrio.testing.graphs import Beside, Failover, Leaf, Nested, build, leaves
from voicetrio.testing.operations import Cancel, Disconnect
from voicetrio.testing.plan_text import parse_plan
from voicetrio.testing.plans import PeerPlan, SessionPlan, draw_plan, run_plan

QUICK = settings(deadline=None, max_examples=60, derandomize=True, suppress_health_check=list(HealthCheck))


@QUICK
@given(strategies.plans(), strategies.seeds())
def test_no_drawn_session_breaks_a_promise(plan: SessionPlan, seed: int) -> None:
    run_plan(plan, seed)


@QUICK
@given(strategies.plans())
def test_a_plan_is_made_again_from_its_text(plan: SessionPlan) -> None:
    assert parse_plan(repr(plan)) == plan


@QUICK
@given(strategies.graphs())
def test_every_graph_can_be_built_more_than_once(
    graph: tuple[Leaf | Nested | Beside | Failover, ...],
) -> None:
    first, second = build(graph), build(graph)
    assert repr(first) == repr(second)
    assert all(isinstance(leaf, Leaf) for leaf in leaves(graph))


def test_a_failing_example_shrinks_to_what_matters() -> None:
    plan = find(
        strategies.plans(),
        lambda plan: (
            Cancel() in plan.operations and any(isinstance(op, Disconnect) for op in plan.operations)
        ),
        settings=QUICK,
    )
    assert sorted(map(repr, plan.operations)) == ["Cancel()", "Disconnect(code=None)"]
    assert plan.peer == PeerPlan()


def test_a_seed_draws_the_same_plan_again() -> None:
    assert draw_plan(random.Random(5)) == draw_plan(random.Random(5))
    assert len({repr(draw_plan(random.Random(seed))) for seed in range(50)}) > 45


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("SessionPlan(", "not the text of a plan"),
        ("__import__('os')", "has no place in it"),
        ("SessionPlan(behaviour=Talk(nonsense=1))", "unexpected keyword"),
        ("Wait(1)", "the text of a Wait"),
        ("SessionPlan(behaviour=Echo((Leaf('nonsense'),)))", "no kind of leaf"),
    ],
)
def test_a_wrong_text_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        parse_plan(text)


def test_without_hypothesis_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(MissingExtra, match=r"voicetrio\[test\]"):
        strategies.seeds()
