"""``voicetrio bench``: finds the benchmarks of a checkout and runs them."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from voicetrio.errors import ConfigError

__all__ = ["bench", "find_benchmarks"]


def bench(
    *names: Annotated[str, Parameter(help="questions to ask; all of them for none")],
    list_questions: Annotated[bool, Parameter(name="--list", help="name the questions, one a line")] = False,
    setup_peers: Annotated[bool, Parameter(help="make the peers' environments")] = False,
    effort: Annotated[float, Parameter(help="scales the number of rounds")] = 1.0,
    minutes: Annotated[float, Parameter(help="measure noise again only within so much time")] = 18.0,
    json: Annotated[bool, Parameter(help="print one JSON object")] = False,
    write: Annotated[bool, Parameter(negative="--no-write", help="renew docs/benchmarks.md")] = True,
) -> int:
    """Measure, beside others and beside the floor, in one run on this machine.

    The benchmarks are a part of the source, not of the package: run it in a checkout.

    Example: `voicetrio bench stages mixing`
    """
    if not 0 < effort <= 100:
        raise ConfigError(f"--effort must be above 0 and at most 100, not {effort:g}")
    if not minutes > 0:
        raise ConfigError(f"--minutes must be above 0, not {minutes:g}")
    folder = find_benchmarks(Path.cwd())
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    harness: Any = import_module("harness.run")
    status: int = harness.bench(
        names,
        list_questions=list_questions,
        setup_peers=setup_peers,
        effort=effort,
        minutes=minutes,
        as_json=json,
        write=write,
    )
    return status


def find_benchmarks(start: Path) -> Path:
    """Return the folder ``benchmarks`` of the checkout around ``start``, or of this package.

    Raises ConfigError when there is none.
    """
    package = Path(__file__).parents[2]
    for folder in (start, *start.parents, package):
        if (folder / "benchmarks" / "harness" / "run.py").is_file():
            return folder / "benchmarks"
    raise ConfigError("there are no benchmarks here: run this in a checkout of voicetrio's source")
