"""Simulations: one scenario, one seed, one run of trio under virtual time, the same in every process.

What the seed decides: the order in which tasks run, and every draw from ``sim.random`` and from the global
``random``.  Time is a ``MockClock`` that jumps to the next deadline when every task waits, so a minute costs
what its task steps cost.

What a simulation cannot decide: threads (a mock clock does not wait for them; give worker pools an
``InlineRunner``), other processes, the network, and ``os.urandom``.
"""

from __future__ import annotations

import inspect
import random
import shlex
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias, final

import attrs
import trio
import trio.testing

from voicetrio.events import Event
from voicetrio.runtime._foreign import break_shields
from voicetrio.runtime.behaviour import AnyBehaviour
from voicetrio.runtime.emit import watching_hubs
from voicetrio.runtime.session import Session, open_session
from voicetrio.runtime.transport import Transport
from voicetrio.testing._scheduler import seeded_scheduler
from voicetrio.testing.leaks import assert_no_leaks
from voicetrio.testing.trace import Trace, TraceEntry, describe, describe_fields, plain_name
from voicetrio.testing.tree import format_task_tree, living_tasks
from voicetrio.testing.watch import SessionWatch

__all__ = [
    "Scenario",
    "Simulation",
    "SimulationFailed",
    "SimulationStuck",
    "StepAction",
    "find_command",
    "name_of_scenario",
    "simulate",
]

LIMIT_S: Final = 3600.0
LAST_STEPS_S: Final = 30.0
"""How long a scenario that was stopped at its limit may clean up, before its shields are broken."""


class SimulationStuck(AssertionError):
    """A scenario did not end within its limit of virtual time; the text holds the tree of its tasks."""


class SimulationFailed(AssertionError):
    """A scenario failed; ``__cause__`` is what it raised.

    Attributes:
        seed: the seed that shows it.
        trace: what happened until then.
        replay: what to run in order to see it again.
    """

    def __init__(self, seed: int, trace: Trace, replay: str, cause: BaseException) -> None:
        self.seed = seed
        self.trace = trace
        self.replay = replay
        text = plain_name(str(cause)) or type(cause).__name__
        super().__init__(
            f"seed {seed}: {type(cause).__name__}: {text}\n"
            f"replay: {replay}\nthe end of the trace:\n{trace.tail()}"
        )


@final
class Simulation:
    """What a scenario is given; made by ``simulate`` only."""

    def __init__(self, seed: int, clock: trio.testing.MockClock) -> None:
        self.seed = seed
        """What decides everything."""
        self.random = random.Random(f"faults {seed}")
        """For a scenario's own draws: delays, faults, choices."""
        self.clock = clock
        """The virtual clock."""
        self.watches: list[SessionWatch] = []
        """What ``open_session`` watched, in the order of their opening."""
        self._entries: list[TraceEntry] = []
        self._schedule = array("L")
        self._target: Any = None
        self._target_step: int | None = None

    @property
    def target(self) -> Any:
        """What ``cancel_at_every_step`` and its kin act on: a session, or what has ``cancel`` and ``end``.

        ``open_session`` sets it, if nothing has before.
        """
        return self._target

    @target.setter
    def target(self, target: Any) -> None:
        self._target = target
        if self._target_step is None:
            self._target_step = len(self._schedule)

    def record(self, event: str, detail: object = "") -> None:
        """Write ``event`` into the trace; ``detail`` may be any value, see ``trace.describe``."""
        text = detail if isinstance(detail, str) else describe(detail)
        self._write(event, text)

    @asynccontextmanager
    async def open_session(
        self, peer: Transport, behaviour: AnyBehaviour, **options: Any
    ) -> AsyncIterator[Session]:
        """Open a session as ``voicetrio.open_session`` does, and hold it to its promises.

        What is promised of every ending is checked while it runs and when the block is left; see
        ``SessionWatch``.  A broken promise fails the simulation.
        """
        watch: SessionWatch | None = None
        try:
            async with open_session(peer, behaviour, **options) as session:
                if self.target is None:
                    self.target = session
                watch = SessionWatch(session)
                self.watches.append(watch)
                yield session
        finally:
            if watch is not None:
                watch.block_left()

    def check(self) -> None:
        """Raise InvariantBroken if a watched session broke a promise."""
        for watch in self.watches:
            watch.check()

    def _trace(self) -> Trace:
        return Trace(self.seed, tuple(self._entries), self._schedule, self._target_step)

    def _write(self, event: str, detail: str) -> None:
        try:
            task = plain_name(trio.lowlevel.current_task().name)
        except RuntimeError:
            task = ""
        self._entries.append(TraceEntry(trio.current_time(), task, event, detail))

    def _told(self, event: Event) -> None:
        self._write(type(event).__name__, describe_fields(event))


Scenario: TypeAlias = Callable[[Simulation], Awaitable[object]]
"""``async def scenario(sim)``: raises, or fails an assert, when something is wrong."""
StepAction: TypeAlias = Callable[[Simulation], object]
"""What to do before a certain task step; see ``simulate``."""


@final
class _Recorder(trio.abc.Instrument):
    """Writes the schedule, and which tasks begin and end; acts before the steps that it was told."""

    def __init__(self, sim: Simulation, at_steps: Mapping[int, StepAction]) -> None:
        self.failure: Exception | None = None
        self._sim = sim
        self._schedule = sim._schedule
        self._numbers: dict[trio.lowlevel.Task, int] = {}
        self._spawned = 0
        self._at_steps = dict(at_steps)

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        self._numbers[task] = self._spawned
        self._spawned += 1
        self._note(task, "spawned")

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        del self._numbers[task]  # a task that is over keeps what its context holds
        self._note(task, "exited")

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._at_steps:
            action = self._at_steps.pop(len(self._schedule), None)
            if action is not None:
                self._act(action)
        self._schedule.append(self._numbers[task])

    def _act(self, action: StepAction) -> None:
        # trio drops an instrument that raises, and nobody would learn why.
        try:
            action(self._sim)
        except Exception as exc:
            self.failure = exc

    def _note(self, task: trio.lowlevel.Task, event: str) -> None:
        self._sim._entries.append(TraceEntry(self._sim.clock.current_time(), plain_name(task.name), event))


def simulate(
    scenario: Scenario,
    seed: int = 0,
    *,
    limit_s: float = LIMIT_S,
    leaks: bool = True,
    replay: str | None = None,
    at_steps: Mapping[int, StepAction] | None = None,
) -> Trace:
    """Run ``scenario`` under virtual time, scheduled by ``seed``, and return what happened.

    Args:
        scenario: called with a Simulation.
        seed: the same seed gives the same trace, event by event.
        limit_s: virtual seconds after which a scenario counts as stuck.
        leaks: check that no task, file descriptor or thread outlives the scenario.
        replay: the command that runs this again, for the error's text.
        at_steps: by number of the task step (from 0) what to do just before it.

    Raises:
        SimulationFailed: the scenario raised, broke a promise of a session, leaked or got stuck.
        ConfigError: this version of trio cannot be seeded; see ``CAN_SEED``.
    """
    clock = trio.testing.MockClock(autojump_threshold=0)
    sim = Simulation(seed, clock)
    recorder = _Recorder(sim, at_steps or {})
    before = random.getstate()
    with seeded_scheduler(seed):
        random.seed(seed)
        try:
            trio.run(_main, sim, scenario, limit_s, leaks, clock=clock, instruments=[recorder])
            if recorder.failure is not None:
                raise recorder.failure
        except Exception as exc:
            raise SimulationFailed(seed, sim._trace(), replay or find_command(scenario, seed), exc) from exc
        finally:
            random.setstate(before)
    return sim._trace()


def name_of_scenario(scenario: Scenario) -> str:
    """Return what to call ``scenario`` in a message."""
    return getattr(scenario, "__qualname__", type(scenario).__name__)


def find_command(scenario: Scenario, seed: int) -> str:
    """Return the command that runs ``scenario`` with ``seed``; a call, where no command could find it."""
    name = name_of_scenario(scenario)
    try:
        file = Path(inspect.getsourcefile(inspect.unwrap(scenario)) or "")
    except TypeError:
        file = Path()
    if file.suffix != ".py" or not name.isidentifier():
        return f"simulate({name}, seed={seed})"
    with suppress(ValueError):
        file = file.relative_to(Path.cwd())
    return f"voicetrio simulate {shlex.quote(f'{file}:{name}')} --seed {seed}"


async def _main(sim: Simulation, scenario: Scenario, limit_s: float, leaks: bool) -> None:
    failure: BaseException | None = None
    stuck = _Limit(limit_s)
    with assert_no_leaks(channels=False) if leaks else nullcontext():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stuck.watch, trio.lowlevel.current_task(), name="limit of the simulation")
            with stuck.scope:
                try:
                    with watching_hubs(sim._told):
                        await scenario(sim)
                except Exception as exc:
                    failure = exc  # kept aside: the nursery would wrap it into a group
            nursery.cancel_scope.cancel()
    if stuck.text and (failure is None or stuck.scope.cancelled_caught):
        raise SimulationStuck(stuck.text) from failure
    if failure is not None:
        raise failure
    sim.check()


@attrs.define
class _Limit:
    """Stops a scenario that does not end by itself."""

    limit_s: float
    scope: trio.CancelScope = attrs.Factory(trio.CancelScope)
    text: str = ""

    async def watch(self, main: trio.lowlevel.Task) -> None:
        await trio.sleep(self.limit_s)
        self.text = f"not over after {self.limit_s:g} virtual seconds:\n{format_task_tree(main)}"
        self.scope.cancel("the limit of the simulation")
        while True:
            await trio.sleep(LAST_STEPS_S)
            for task in tuple(living_tasks(main)):
                if task is not trio.lowlevel.current_task():
                    break_shields(task, self.scope)
