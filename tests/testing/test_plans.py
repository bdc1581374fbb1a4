"""Plans: what is done to a session happens, and a broken promise is found and told with its replay."""

from __future__ import annotations

import shlex

import numpy as np
import pytest

from voicetrio.runtime.speech import Speech
from voicetrio.testing.behaviours import Converse, Echo, Talk
from voicetrio.testing.faults.services import ServiceFault
from voicetrio.testing.graphs import Beside, Leaf, Nested
from voicetrio.testing.operations import (
    BargeIn,
    Cancel,
    Disconnect,
    End,
    EndSource,
    FailService,
    Flush,
    Operation,
    Press,
    ResumeReading,
    Send,
    StopReading,
    Wait,
)
from voicetrio.testing.plan_text import parse_plan
from voicetrio.testing.plans import Outcome, PeerPlan, SessionPlan, run_plan, run_session
from voicetrio.testing.simulation import Simulation, SimulationFailed, simulate


def outcome_of(plan: SessionPlan, seed: int = 0) -> Outcome:
    outcomes: list[Outcome] = []

    async def scenario(sim: Simulation) -> None:
        outcomes.append(await run_session(sim, plan))

    simulate(scenario, seed)
    return outcomes[0]


@pytest.mark.parametrize(
    ("operations", "reason"),
    [
        ((), "ended"),
        ((Wait(0.2), End(0.0), Wait(0.2)), "ended"),
        ((Wait(0.2), Cancel()), "cancelled"),
        ((Wait(0.2), Disconnect(1001), Wait(1.0)), "peer_gone"),
        ((Send(0.1), EndSource(), Wait(0.1)), "source_ended"),
        ((Wait(0.1), FailService(), Wait(0.1)), "failed"),
        ((StopReading(), Wait(10.0)), "peer_gone"),
        ((StopReading(), Wait(3.0), ResumeReading(), Press(), BargeIn()), "ended"),
    ],
    ids=repr,
)
def test_each_operation_does_what_it_says(operations: tuple[Operation, ...], reason: str) -> None:
    outcome = outcome_of(SessionPlan(Talk(replies=3, reply_s=1.2), operations=operations))
    assert outcome.result.reason == reason


def test_a_talk_is_heard_to_its_end() -> None:
    outcome = outcome_of(SessionPlan(Talk(replies=2, reply_s=0.5), operations=(Wait(2.0),)))
    for level in (1000, 2000):
        assert np.count_nonzero(outcome.samples == level) == 8000


def test_a_flush_stops_what_is_said() -> None:
    outcome = outcome_of(
        SessionPlan(Talk(replies=1, reply_s=1.2), operations=(Wait(0.431), Flush(), Wait(1.0)))
    )
    assert outcome.account.replies[0].speech.flushed
    assert 0 < np.count_nonzero(outcome.samples == 1000) < 0.6 * 16000


def test_an_echo_comes_back_through_its_graph() -> None:
    graph = (Leaf("gain"), Nested((Leaf("halves"), Leaf("pass"))))
    outcome = outcome_of(SessionPlan(Echo(graph), operations=(BargeIn(0.5), Wait(0.5))))
    assert np.count_nonzero(outcome.samples == 4000) == 0.5 * 16000


def test_an_agent_answers_and_uses_its_tool() -> None:
    plan = SessionPlan(Converse(with_tool=True, greeting=None), operations=(BargeIn(0.6, 2.0), Wait(4.0)))
    outcome = outcome_of(plan)
    assert outcome.account.tool_runs == ["started", "finished"]
    assert outcome.samples.size > 16000


def test_a_faulty_service_fails_nothing_but_its_reply() -> None:
    plan = SessionPlan(Converse(llm=ServiceFault("connect")), operations=(BargeIn(0.6, 2.0), Wait(2.0)))
    assert outcome_of(plan).result.reason in ("ended", "failed")


def test_a_peer_plan_is_a_peer() -> None:
    for peer in (PeerPlan(vanishes_after_s=0.3), PeerPlan(stalls_after=3)):
        assert outcome_of(SessionPlan(peer=peer, operations=(Wait(20.0),))).result.reason == "peer_gone"
    broken = outcome_of(SessionPlan(peer=PeerPlan(breaks_after_s=0.3), operations=(Wait(1.0),)))
    assert broken.result.reason == "failed"
    slow = outcome_of(SessionPlan(peer=PeerPlan(goodbye_s=0.3), operations=(Cancel(),)))
    assert slow.result.reason == "cancelled"


def test_a_cancel_from_nowhere_is_tried_at_its_step() -> None:
    plan = SessionPlan(Talk(graph=(Beside(((Leaf("pass"),), (Leaf("silent"),))),)), cancel_after_steps=40)
    assert any("from nowhere" in entry.detail for entry in run_plan(plan, 1).entries)


def test_lost_audio_is_found_and_the_replay_is_the_same_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    take = Speech._take

    def lose_some(self: Speech, count: int, at: int) -> object:
        taken = take(self, count, at)
        return None if taken is None else np.zeros_like(taken)

    monkeypatch.setattr(Speech, "_take", lose_some)
    plan = SessionPlan(Talk(replies=1), operations=(Wait(0.117),))
    with pytest.raises(
        SimulationFailed, match="I3: of 8000 samples of reply-0 0 were written and 0 cut"
    ) as caught:
        run_plan(plan, 4)
    words = shlex.split(caught.value.replay)
    assert words[:3] == ["voicetrio", "simulate", "--plan"]
    assert words[4:] == ["--seed", "4"]
    assert parse_plan(words[3]) == plan
