"""Hypothesis strategies for sessions: pipelines, behaviours, peers, lists of operations, schedules.

What they draw are the small values of ``voicetrio.testing.plans``, so a failing example shrinks to a scenario
that can be read, and its text is what ``voicetrio simulate --plan`` runs again::

    @given(plans(), seeds())
    def test_no_session_breaks_a_promise(plan, seed):
        run_plan(plan, seed)

Simulations need no deadline of Hypothesis's: use ``@settings(deadline=None)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from voicetrio.errors import MissingExtra
from voicetrio.testing.behaviours import BehaviourPlan, Converse, Echo, Talk
from voicetrio.testing.faults.services import ServiceFault
from voicetrio.testing.graphs import VALUES, Beside, Failover, Graph, Leaf, LeafKind, Nested, Node
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
from voicetrio.testing.plans import PeerPlan, SessionPlan

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["behaviours", "graphs", "operation_lists", "peers", "plans", "seeds", "service_faults"]

# The first of each is what a failing example shrinks to.
_KINDS: Final[tuple[LeafKind, ...]] = (
    "pass", "gain", "slow", "burst", "halves", "thin", "hold", "cleanup", "silent", "impatient", "never_end",
    "swallow", "shield", "fail", "fail_cleanup",
)  # fmt: skip
_SECONDS: Final = (0.013, 0.117, 0.431, 1.003)


def _strategies() -> Any:
    try:
        from hypothesis import strategies
    except ImportError as exc:
        raise MissingExtra("test", "voicetrio.testing.strategies") from exc
    return strategies


def seeds() -> SearchStrategy[int]:
    """Return a strategy of seeds for ``simulate``: they decide the schedule."""
    made: SearchStrategy[int] = _strategies().integers(0, 2**32 - 1)
    return made


def graphs(*, max_nodes: int = 3) -> SearchStrategy[Graph]:
    """Return a strategy of graphs: rows of at most ``max_nodes`` nodes, nested two deep."""
    st = _strategies()
    leaf = st.sampled_from(_KINDS).flatmap(
        lambda kind: st.builds(Leaf, st.just(kind), st.sampled_from(VALUES.get(kind, (1,))))
    )

    def inner(node: SearchStrategy[Node]) -> Any:
        row = st.lists(node, max_size=max_nodes).map(tuple)
        branches = st.lists(row, min_size=1, max_size=3).map(tuple)
        return st.one_of(st.builds(Nested, row), st.builds(Beside, branches), st.builds(Failover, branches))

    nodes = st.recursive(leaf, inner, max_leaves=6)
    made: SearchStrategy[Graph] = st.lists(nodes, max_size=max_nodes).map(tuple)
    return made


def service_faults() -> SearchStrategy[ServiceFault]:
    """Return a strategy of faults for ``voicetrio.testing.faults.services``."""
    st = _strategies()
    made: SearchStrategy[ServiceFault] = st.builds(
        ServiceFault,
        st.sampled_from(("connect", "send", "receive", "close")),
        call=st.integers(0, 4),
        how=st.sampled_from(("fail", "hang")),
    )
    return made


def behaviours(*, agents: bool = True) -> SearchStrategy[BehaviourPlan]:
    """Return a strategy of behaviours; ``agents``: whole agents, which run longer, are among them."""
    st = _strategies()
    talk = st.builds(
        Talk,
        replies=st.integers(0, 3),
        reply_s=st.sampled_from((0.1, 0.5, 1.2)),
        gap_s=st.sampled_from((0.0, 0.1)),
        bed=st.booleans(),
        graph=graphs(),
    )
    fault = st.none() | service_faults()
    converse = st.builds(
        Converse,
        greeting=st.sampled_from((None, "hello there")),
        with_tool=st.booleans(),
        on_interrupt=st.sampled_from(("cancel", "finish", "detach")),
        stt=fault,
        llm=fault,
        tts=fault,
    )
    made: SearchStrategy[BehaviourPlan] = st.one_of(
        talk, st.builds(Echo, graphs()), *((converse,) if agents else ())
    )
    return made


def peers() -> SearchStrategy[PeerPlan]:
    """Return a strategy of peers."""
    st = _strategies()
    made: SearchStrategy[PeerPlan] = st.builds(
        PeerPlan,
        live=st.sampled_from((True, False)),
        can_clear=st.sampled_from((True, False)),
        confirms=st.booleans(),
        lead_s=st.sampled_from((0.06, 0.02, 0.2)),
        burst_s=st.sampled_from((0.0, 0.04, 0.1)),
        goodbye_s=st.sampled_from((0.0, 0.3, float("inf"))),
        stalls_after=st.sampled_from((None, 0, 5, 30)),
        vanishes_after_s=st.sampled_from((None, 0.0, 0.2, 1.1)),
        breaks_after_s=st.sampled_from((None, 0.0, 0.7)),
    )
    return made


def operation_lists(*, max_size: int = 6) -> SearchStrategy[tuple[Operation, ...]]:
    """Return a strategy of what is done to a session, in order."""
    st = _strategies()
    operation = st.one_of(
        st.builds(Wait, st.sampled_from(_SECONDS)),
        st.builds(Send, st.sampled_from((0.06, 0.3))),
        st.just(BargeIn()),
        st.just(Flush()),
        st.builds(End, st.sampled_from((None, 0.0, 0.3))),
        st.just(Cancel()),
        st.builds(Disconnect, st.sampled_from((None, 1000, 1008))),
        st.just(EndSource()),
        st.just(StopReading()),
        st.just(ResumeReading()),
        st.just(FailService()),
        st.just(Press()),
    )
    made: SearchStrategy[tuple[Operation, ...]] = st.lists(operation, max_size=max_size).map(tuple)
    return made


def plans(*, agents: bool = True) -> SearchStrategy[SessionPlan]:
    """Return a strategy of whole scenarios, for ``run_plan``."""
    st = _strategies()
    made: SearchStrategy[SessionPlan] = st.builds(
        SessionPlan,
        behaviour=behaviours(agents=agents),
        peer=peers(),
        operations=operation_lists(),
        cancel_after_steps=st.none() | st.integers(0, 300),
        shares_clock=st.booleans(),
    )
    return made
