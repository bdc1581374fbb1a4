"""``voicetrio doctor``: what is installed, what is missing, and how exact this machine's timers are."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

import attrs
import trio
from rich.text import Text

from voicetrio.cli.console import make_console, make_table, print_json
from voicetrio.cli.measures import percentile
from voicetrio.cli.running import StopRequest, run_command
from voicetrio.errors import ConfigError
from voicetrio.runtime.workers import usable_cpus
from voicetrio.version import __version__

__all__ = ["TimerAccuracy", "doctor", "measure_timers", "needed_packages"]

TICK_S = 0.020
TICKS = 50


@attrs.frozen
class TimerAccuracy:
    """How late ``trio.sleep_until`` woke, in milliseconds, over some ticks in a row."""

    median_ms: float
    p99_ms: float
    worst_ms: float
    ticks: int


async def measure_timers(ticks: int = TICKS, tick_s: float = TICK_S) -> TimerAccuracy:
    """Sleep until ``ticks`` deadlines, ``tick_s`` seconds apart, and measure how late each wake is."""
    await trio.lowlevel.checkpoint()
    start = trio.current_time()
    late_ms = []
    for tick in range(1, ticks + 1):
        due = start + tick * tick_s
        await trio.sleep_until(due)
        late_ms.append((trio.current_time() - due) * 1000)
    return TimerAccuracy(percentile(late_ms, 50), percentile(late_ms, 99), max(late_ms), ticks)


def doctor(*, models: bool = False, json: bool = False) -> int:
    """Show what is installed, what is missing, and how exact this machine's timers are.

    Example: `voicetrio doctor --models`

    Parameters
    ----------
    models
        Load the embedded models too, and say how long that takes.
    json
        Print one JSON object instead of tables.
    """

    try:
        requirements = metadata.requires("voicetrio") or []
    except metadata.PackageNotFoundError:
        raise ConfigError("voicetrio runs from its source, not installed: pip install -e . first") from None

    async def command(stop: StopRequest) -> int:
        report = await _examine(needed_packages(requirements), load_models=models)
        if json:
            print_json(report)
        else:
            _show(report)
        return 0

    return run_command(command)


async def _examine(needed: Mapping[str, list[str]], *, load_models: bool) -> dict[str, Any]:
    report: dict[str, Any] = {
        "voicetrio": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": {"count": os.cpu_count(), "usable": usable_cpus(), "load_1min": _load()},
        "packages": {name: _version(name) for name in needed[""]},
        "extras": {extra: _examine_extra(extra, names) for extra, names in needed.items() if extra},
        "timers": attrs.asdict(await measure_timers()),
    }
    if load_models:
        report["models"] = await _time_models()
    return report


def needed_packages(requirements: Iterable[str]) -> dict[str, list[str]]:
    """Return the names of the packages that each extra brings, and under ``""`` those always needed.

    ``requirements`` are as the package's metadata has them: ``pytest>=8; extra == 'test'``.
    """
    needed: dict[str, list[str]] = {"": []}
    for requirement in requirements:
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", requirement)
        # An extra may name other extras of ours, which have rows of their own.
        if name and name[0] != "voicetrio":
            needed.setdefault(extra[1] if extra else "", []).append(name[0])
    return needed


def _examine_extra(extra: str, names: Iterable[str]) -> dict[str, Any]:
    packages = {name: _version(name) for name in names}
    complete = None not in packages.values()
    mend = None if complete else f"pip install 'voicetrio[{extra}]'"
    return {"complete": complete, "packages": packages, "mend": mend}


def _version(package: str) -> str | None:
    """Return the installed version of ``package``, None when it is missing."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _load() -> float | None:
    return round(os.getloadavg()[0], 2) if sys.platform != "win32" else None


async def _time_models() -> dict[str, Any]:
    """Load the embedded models and say how long each took."""
    # Imported here: it takes a moment, which a `doctor` that was not asked for the models shall not take.
    from voicetrio.services import local

    async with local.open_models() as models:
        return {name: round(seconds, 3) for name, seconds in models.statistics().load_s.items()}


def _describe_models(report: Mapping[str, Any]) -> str:
    if "models" in report:
        return ", ".join(f"{name} loaded in {seconds:.1f} s" for name, seconds in report["models"].items())
    local = report["extras"]["local"]
    return "installed; --models loads them" if local["complete"] else f"missing: {local['mend']}"


def _show(report: Mapping[str, Any]) -> None:
    console = make_console()
    cpu, timers = report["cpu"], report["timers"]
    facts = make_table("", "")
    facts.show_header = False
    facts.add_row("voicetrio", report["voicetrio"])
    facts.add_row("Python", f"{report['python']} on {report['platform']}")
    facts.add_row("CPUs", f"{cpu['usable']} usable of {cpu['count']}, load {cpu['load_1min']}")
    facts.add_row(
        "timers",
        f"{timers['median_ms']:.2f} ms late (median), {timers['p99_ms']:.2f} (99th percentile), "
        f"{timers['worst_ms']:.2f} (worst of {timers['ticks']})",
    )
    facts.add_row("models", Text(_describe_models(report)))
    console.print(facts)
    packages = make_table("needed by", "package", "version")
    for name, version in report["packages"].items():
        packages.add_row("always", name, version or "[red]missing[/]")
    for extra, state in report["extras"].items():
        for name, version in state["packages"].items():
            packages.add_row(extra, name, version or "[yellow]missing[/]")
    console.print(packages)
    for extra, state in report["extras"].items():
        if not state["complete"]:
            console.print(f"The extra {extra!r} is not complete. To mend it: {state['mend']}", markup=False)
