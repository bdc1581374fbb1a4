"""Whole scenarios as values: a peer, a behaviour, and what is done to their session.

A ``SessionPlan`` can be drawn from a seed or by Hypothesis (``voicetrio.testing.strategies``), printed, and
run again from its text.  Running one checks what no session may do; what is expected of a faulty part (its
own failure) is not a finding.
"""

from __future__ import annotations

import random
import shlex
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, final

import attrs
import numpy as np

from voicetrio.errors import ServiceError, SessionEnded, SessionError
from voicetrio.events import Event, Interrupted, ToolEnded, ToolStarted
from voicetrio.runtime.ending import SessionEnd
from voicetrio.runtime.failures import failures_of
from voicetrio.runtime.hosts import open_host
from voicetrio.runtime.links import LinkStatistics
from voicetrio.runtime.session import Session
from voicetrio.runtime.transport import SendAudio, Traits, Transport
from voicetrio.testing.behaviours import Account, BehaviourPlan, Converse, Talk, draw_behaviour
from voicetrio.testing.faults import peers
from voicetrio.testing.faults.stages import StageFault
from voicetrio.testing.graphs import leaves
from voicetrio.testing.operations import (
    Cancel,
    Controls,
    Disconnect,
    End,
    FailService,
    Operation,
    StopReading,
    draw_operations,
    perform,
)
from voicetrio.testing.simulation import Scenario, Simulation, simulate
from voicetrio.testing.trace import Trace
from voicetrio.testing.watch import InvariantBroken
from voicetrio.transports.memory import FarEnd, memory_peer

__all__ = ["Outcome", "PeerPlan", "SessionPlan", "draw_plan", "run_plan"]

LIMIT_S = 120.0
RATE = 16000


@final
@attrs.frozen
class PeerPlan:
    """What the peer can do, and what it does wrong."""

    live: bool = True
    can_clear: bool = True
    confirms: bool = False
    lead_s: float = 0.06
    burst_s: float = 0.0
    goodbye_s: float = 0.0
    """How long its goodbye takes; infinite for never."""
    stalls_after: int | None = None
    """So many operations it takes, and no more; None: all."""
    vanishes_after_s: float | None = None
    breaks_after_s: float | None = None
    """When its transport raises an error of its own; None: never."""

    def make(self) -> tuple[Transport, FarEnd]:
        """Return a new peer, and its far end."""
        traits = Traits(
            input_rate=RATE,
            output_rate=RATE,
            lead_s=self.lead_s,
            burst_s=self.burst_s,
            can_clear=self.can_clear,
            confirms=self.confirms,
            live=self.live,
            echo="none",
        )
        memory, far_end = memory_peer(traits=traits)
        peer: Transport = memory
        if self.stalls_after is not None:
            peer = peers.StallingPeer(peer, self.stalls_after)
        if self.vanishes_after_s is not None:
            peer = peers.VanishingPeer(peer, self.vanishes_after_s)
        if self.breaks_after_s is not None:
            peer = peers.BrokenPeer(peer, self.breaks_after_s)
        if self.goodbye_s:
            peer = peers.SlowGoodbyePeer(peer, self.goodbye_s)
        return peer, far_end


@final
@attrs.frozen
class SessionPlan:
    """A session, and what is done to it.  Its text makes it again."""

    behaviour: BehaviourPlan = attrs.Factory(Talk)
    peer: PeerPlan = attrs.Factory(PeerPlan)
    operations: tuple[Operation, ...] = ()
    cancel_after_steps: int | None = None
    """Cancel from nowhere, so many task steps after the opening; None: not."""
    shares_clock: bool = False
    """Its playout's time is kept by a task outside of it, as in a server."""

    def scenario(self) -> Scenario:
        """Return it as a scenario for ``simulate`` and its kin."""

        async def scenario(sim: Simulation) -> None:
            async with open_host() if self.shares_clock else nullcontext():
                await run_session(sim, self)

        return scenario


@attrs.define(eq=False)
class Outcome:
    """How one session went."""

    plan: SessionPlan
    session: Session
    far_end: FarEnd
    account: Account
    result: SessionEnd
    events: list[Event]
    """What was told since its body began."""
    problems: list[str] = attrs.Factory(list)

    def check(self) -> None:
        """Raise InvariantBroken if something went as it must not."""
        if self.problems:
            raise InvariantBroken("; ".join(dict.fromkeys(self.problems)))

    @property
    def samples(self) -> Any:
        """Everything that reached the peer, one after the other: int16."""
        parts = [frame.samples for frame in self.far_end.audio]
        return np.concatenate(parts) if parts else np.empty(0, np.int16)


def run_plan(plan: SessionPlan, seed: int = 0) -> Trace:
    """Run ``plan`` under ``seed`` and return the trace.

    Raises SimulationFailed when a promise was broken; the text holds the one command that shows it again.
    """
    at_steps = {}
    if plan.cancel_after_steps is not None:
        opened = simulate(plan.scenario(), seed, limit_s=LIMIT_S).target_step
        at_steps = {(opened or 0) + plan.cancel_after_steps: _cancel}
    replay = f"voicetrio simulate --plan {shlex.quote(repr(plan))} --seed {seed}"
    return simulate(plan.scenario(), seed, limit_s=LIMIT_S, replay=replay, at_steps=at_steps)


def _cancel(sim: Simulation) -> None:
    sim.target.cancel("from nowhere")


async def run_session(sim: Simulation, plan: SessionPlan) -> Outcome:
    """Run the session of ``plan`` inside a simulation, check it, and return how it went."""
    peer, far_end = plan.peer.make()
    account = Account()
    on = Controls(sim, far_end)
    behaviour = plan.behaviour.make(account, on)
    events: list[Event] = []
    error: SessionError | None = None
    session: Session | None = None
    try:
        async with sim.open_session(peer, behaviour) as session:
            on.session = session
            session.hub._callbacks.append(events.append)
            await perform(plan.operations, on)
    except SessionEnded as exc:
        sim.record("came too late", exc)
    except SessionError as exc:
        error = exc
    assert session is not None
    outcome = Outcome(plan, session, far_end, account, session.result, events)
    outcome.problems.extend(account.problems)
    outcome.problems.extend(_findings(outcome, error))
    outcome.check()
    return outcome  # noqa: ASYNC910  # opening a session is a checkpoint


# --- what must hold --------------------------------------------------------------------------------

_ON_PURPOSE = (StageFault, ServiceError, peers.PeerFault)


def _findings(outcome: Outcome, error: SessionError | None) -> Iterator[str]:
    yield from _about_failures(outcome, error)
    yield from _about_bounds(outcome)
    yield from _about_tools(outcome)
    if _is_healthy(outcome.plan) and outcome.result.late:
        yield f"I3: nothing was wrong, and {', '.join(outcome.result.late)} was late"
    if isinstance(outcome.plan.behaviour, Talk) and not outcome.plan.behaviour.bed:
        yield from _about_samples(outcome)


def _about_failures(outcome: Outcome, error: SessionError | None) -> Iterator[str]:
    """Yield a line for a failure that nobody made, and for one that was raised or told and not the other."""
    raised = [] if error is None else failures_of(error)
    for leaf in raised:
        if not isinstance(leaf, _ON_PURPOSE):
            yield f"I5: {type(leaf).__name__}: {leaf} is nobody's fault"
    if len(raised) != len(set(map(id, raised))):
        yield "I5: one failure was raised twice"
    if (outcome.result.error is None) != (error is None):
        yield f"I5: the block raised {error!r} and the result has {outcome.result.error!r}"
    if error is not None and outcome.result.reason != "failed":
        yield f"I5: it failed, and says {outcome.result.reason!r}"


def _about_bounds(outcome: Outcome) -> Iterator[str]:
    """Yield a line for each link that held more than its bound."""
    links = [outcome.session.statistics().inlet]
    if outcome.account.pipeline is not None:
        links.extend(_links(outcome.account.pipeline.statistics()))
    for link in links:
        if link.peak_items > link.max_items:
            yield f"I4: the link {link.name!r} held {link.peak_items} items of {link.max_items}"
        if link.max_s is not None and (link.peak_s or 0.0) > link.max_s + 1e-6:
            yield f"I4: the link {link.name!r} held {link.peak_s} s of {link.max_s}"
        if link.state == "open":
            yield f"I2: the link {link.name!r} is still open after the block"


def _links(statistics: Any) -> Iterator[LinkStatistics]:
    """Yield the links of a pipeline's statistics, and of what is nested in it."""
    yield from getattr(statistics, "links", ())
    for stage in (*getattr(statistics, "stages", ()), *getattr(statistics, "branches", ())):
        if stage.inner is not None:
            yield from _links(stage.inner)


def _about_tools(outcome: Outcome) -> Iterator[str]:
    """Yield a line for each call of a tool that had no end, or that outlived the reply that it was for."""
    behaviour = outcome.plan.behaviour
    under_way: dict[tuple[str, str], bool] = {}
    for event in outcome.events:
        match event:
            case ToolStarted(reply=reply, call_id=call):
                under_way[reply, call] = False
            case Interrupted(reply=interrupted):
                for reply, call in under_way:
                    under_way[reply, call] |= reply == interrupted
            case ToolEnded(reply=reply, call_id=call, how=how):
                is_stale = under_way.pop((reply, call), False) and how != "cancelled"
                if is_stale and isinstance(behaviour, Converse) and behaviour.on_interrupt == "cancel":
                    yield f"I6: a tool of {reply} was {how} after {reply} was interrupted"
            case _:
                pass
    for reply, _ in under_way:
        yield f"I2: a tool of {reply} had no end"


_DISTURBING = (Cancel, Disconnect, FailService, StopReading)
_PROMPT = ("pass", "burst", "gain", "halves", "thin", "hold", "silent")


def _is_healthy(plan: SessionPlan) -> bool:
    """Tell whether nothing in ``plan`` could make a graceful end late."""
    if isinstance(plan.behaviour, Converse) or plan.cancel_after_steps is not None:
        return False
    return (
        all(leaf.kind in _PROMPT for leaf in leaves(plan.behaviour.graph))
        and attrs.evolve(plan.peer, live=True, can_clear=True, confirms=False, lead_s=0.06, burst_s=0.0)
        == PeerPlan()
        and not any(isinstance(each, _DISTURBING) for each in plan.operations)
        and not any(isinstance(each, End) and each.grace is not None for each in plan.operations)
    )


def _about_samples(outcome: Outcome) -> Iterator[str]:
    """Yield a line for each sample of a reply that was lost, doubled, out of order, or stale."""
    heard = outcome.samples
    cut = outcome.result.counters.cut_samples
    complete = outcome.result.reason in ("ended", "completed", "source_ended")
    fade = round(outcome.session.playout._settings.speech.fade_s * RATE)
    levels: list[int] = []
    # The fade that ends a flushed reply is mixed into the first samples of the next one.
    mixed = fade * sum(reply.speech.flushed for reply in outcome.account.replies)
    for reply in outcome.account.replies:
        name = reply.speech.name
        written = int(np.count_nonzero(heard == reply.level))
        generated = reply.speech.statistics().generated
        levels.append(reply.level)
        if reply.heard_before_flush is not None:
            stale = _stale(outcome, reply.heard_before_flush, reply.level)
            if stale > fade + reply.in_hand:
                yield f"I6: {stale} samples of {name} reached the peer after its flush"
        elif written > generated + mixed:
            yield f"I3: {written} samples of {name} were written, of {generated}"
        elif complete and abs(written + cut.get(name, 0) - generated) > mixed:
            yield f"I3: of {generated} samples of {name} {written} were written and {cut.get(name, 0)} cut"
    if not any(reply.speech.flushed for reply in outcome.account.replies):
        order = heard[np.isin(heard, levels)]
        if np.any(np.diff(order) < 0):
            yield "I3: replies were written out of order"


def _stale(outcome: Outcome, before: int, level: int) -> int:
    """Return how many samples of the reply, whole or fading, came after its flush and before the next one."""
    count = 0
    for item in list(outcome.far_end.heard)[before:]:
        if isinstance(item.operation, SendAudio):
            samples = item.operation.frame.samples
            count += int(np.count_nonzero((samples != 0) & (samples <= level)))
            if np.any(samples > level):
                break
    return count


# --- drawing ---------------------------------------------------------------------------------------


def draw_plan(draws: random.Random) -> SessionPlan:
    """Return a plan; the same state of ``draws`` gives the same plan."""
    return SessionPlan(
        behaviour=draw_behaviour(draws),
        peer=_draw_peer(draws),
        operations=draw_operations(draws),
        cancel_after_steps=draws.randint(0, 300) if draws.random() < 0.25 else None,
        shares_clock=draws.random() < 0.3,
    )


def _draw_peer(draws: random.Random) -> PeerPlan:
    def sometimes(chance: float, *values: Any) -> Any:
        return draws.choice(values) if draws.random() < chance else None

    return PeerPlan(
        live=draws.random() < 0.7,
        can_clear=draws.random() < 0.7,
        confirms=draws.random() < 0.3,
        lead_s=draws.choice((0.02, 0.06, 0.2)),
        burst_s=draws.choice((0.0, 0.04, 0.1)),
        goodbye_s=sometimes(0.2, 0.3, float("inf")) or 0.0,
        stalls_after=sometimes(0.1, 0, 5, 30),
        vanishes_after_s=sometimes(0.1, 0.0, 0.2, 1.1),
        breaks_after_s=sometimes(0.1, 0.0, 0.7),
    )
