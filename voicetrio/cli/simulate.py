"""``voicetrio simulate``: one scenario over many seeds, and one seed again."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from typing import Annotated, Any, final

import attrs
from cyclopts import Parameter
from rich.progress import Progress, TaskID

from voicetrio.cli.console import make_console, make_progress, print_json
from voicetrio.errors import ConfigError
from voicetrio.testing.every_step import cut_short
from voicetrio.testing.plan_text import parse_plan
from voicetrio.testing.simulation import Scenario, SimulationFailed
from voicetrio.testing.simulation import simulate as simulate_seed
from voicetrio.testing.trace import Trace

__all__ = ["SimulationReport", "load_scenario", "simulate"]


@final
@attrs.frozen
class SimulationReport:
    """What a series of simulations gave."""

    runs: int
    task_steps: int
    virtual_s: float
    """Seconds of virtual time, of all of them together."""
    real_s: float
    failure: SimulationFailed | None = None
    trace: Trace | None = None
    """Of the last run."""


def simulate(
    scenario: Annotated[str | None, Parameter(help="`FILE.py:NAME` of an `async def NAME(sim)`")] = None,
    *,
    seeds: Annotated[int, Parameter(help="how many seeds, from 0")] = 100,
    seed: Annotated[int | None, Parameter(help="run this seed only, and print its trace")] = None,
    cancel_at: Annotated[int | None, Parameter(help="with --seed: cancel before this task step")] = None,
    end_at: Annotated[int | None, Parameter(help="with --seed: end before this task step")] = None,
    plan: Annotated[str | None, Parameter(help="run this plan, as a failing test printed it")] = None,
    json: Annotated[bool, Parameter(help="print one JSON object")] = False,
) -> int:
    """Run a scenario under virtual time with many seeds, until one fails.

    A seed decides the order of tasks and every fault, so the same seed shows the same thing again.  A failure
    prints the end of its trace, and the command that shows it again.

    Example: `voicetrio simulate hang_up.py:scenario --seeds 2000`
    """
    if (scenario is None) == (plan is None):
        raise ConfigError("give either FILE.py:SCENARIO or --plan")
    if seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, not {seeds}")
    if (cancel_at is not None or end_at is not None) and seed is None:
        raise ConfigError("--cancel-at and --end-at belong to one run: give its --seed")
    if plan is not None:
        from voicetrio.testing.plans import run_plan

        value = parse_plan(plan)
        report = _run_all(lambda each: run_plan(value, each), [seed or 0])
    else:
        assert scenario is not None
        loaded = load_scenario(scenario)

        def run(each: int) -> Trace:
            if cancel_at is not None or end_at is not None:
                return cut_short(loaded, each, cancel_at=cancel_at, end_at=end_at)
            return simulate_seed(loaded, each)

        report = _run_all(run, range(seeds) if seed is None else [seed])
    if json:
        _print_json(report)
    else:
        _print(report, with_trace=seed is not None or plan is not None)
    return 1 if report.failure is not None else 0


def load_scenario(where: str) -> Scenario:
    """Return the scenario that ``FILE.py:NAME`` names.

    Raises ConfigError when there is no such file, no such name, or when it is no scenario.
    """
    file, _, name = where.rpartition(":")
    path = Path(file)
    if not file or not name.isidentifier():
        raise ConfigError(f"{where!r} does not name a scenario: write FILE.py:NAME")
    if not path.is_file():
        raise ConfigError(f"there is no file {file}")
    sys.path.insert(0, str(path.parent.resolve()))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    scenario: Any = getattr(module, name, None)
    if scenario is None:
        raise ConfigError(f"{file} has no {name}")
    if not inspect.iscoroutinefunction(scenario):
        raise ConfigError(f"{where} is not a scenario: write async def {name}(sim)")
    made: Scenario = scenario
    return made


def _run_all(run: Any, seeds: Any) -> SimulationReport:
    """Run until a seed fails."""
    task_steps = 0
    virtual_s = 0.0
    failure: SimulationFailed | None = None
    trace: Trace | None = None
    runs = 0
    with make_progress() as progress:
        task = progress.add_task("simulating", total=len(seeds))
        for each in seeds:
            try:
                trace = run(each)
            except SimulationFailed as exc:
                failure, trace = exc, exc.trace
            runs += 1
            task_steps += trace.task_steps
            virtual_s += trace.duration_s
            _advance(progress, task, runs, len(seeds))
            if failure is not None:
                break
        real_s = progress.tasks[0].elapsed or 0.0
    return SimulationReport(runs, task_steps, virtual_s, real_s, failure, trace)


def _advance(progress: Progress, task: TaskID, runs: int, total: int) -> None:
    speed = runs / (progress.tasks[0].elapsed or 1.0)
    progress.update(task, advance=1, description=f"seed {runs} of {total}, {speed:.0f} a second")


def _print(report: SimulationReport, *, with_trace: bool) -> None:
    console = make_console()
    if with_trace and report.trace is not None:
        console.print(str(report.trace), markup=False, soft_wrap=True)
    if report.failure is not None:
        console.print(str(report.failure), markup=False, soft_wrap=True)
        return
    speed = report.runs / report.real_s if report.real_s else 0.0
    console.print(
        f"{report.runs} {'seed' if report.runs == 1 else 'seeds'} passed:"
        f" {report.virtual_s:.1f} virtual seconds, {report.task_steps} task steps,"
        f" {speed:.0f} seeds a second",
        soft_wrap=True,
    )


def _print_json(report: SimulationReport) -> None:
    failure = report.failure
    print_json(
        {
            "runs": report.runs,
            "task_steps": report.task_steps,
            "virtual_s": round(report.virtual_s, 6),
            "real_s": round(report.real_s, 3),
            "digest": None if report.trace is None else report.trace.digest(),
            "failure": None
            if failure is None
            else {
                "seed": failure.seed,
                "error": type(failure.__cause__).__name__,
                "text": str(failure.__cause__),
                "replay": failure.replay,
                "trace": [str(entry) for entry in failure.trace.entries],
            },
        }
    )
