"""The pytest plugin: simulations over many seeds, and the replay of one.

It is loaded where voicetrio is installed.  Fixtures:

* ``simulate``: ``simulate(scenario)`` as ``voicetrio.testing.simulation.simulate``, with this test's seed.
  The test runs once for each seed.
* ``voicetrio_seed``: the seed itself, for a test that needs nothing else.
* ``no_leaks``: the test fails if it leaves a thread, a file descriptor, a temporary file or a channel's end.

Options: ``--voicetrio-seeds N`` (how many seeds, from 0), ``--voicetrio-seed S`` (only this one).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

# What is loaded here is loaded for every test run on the machine: so nothing of voicetrio is.
if TYPE_CHECKING:
    from voicetrio.testing.simulation import Scenario
    from voicetrio.testing.trace import Trace

__all__ = ["no_leaks", "pytest_addoption", "pytest_generate_tests", "simulate", "voicetrio_seed"]

DEFAULT_SEEDS = 20


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("voicetrio", "simulations of voice agents")
    group.addoption(
        "--voicetrio-seeds",
        type=int,
        default=DEFAULT_SEEDS,
        metavar="N",
        help=f"run each simulated test with the seeds 0 to N-1 (default {DEFAULT_SEEDS})",
    )
    group.addoption(
        "--voicetrio-seed", type=int, default=None, metavar="S", help="run simulated tests with seed S only"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that simulates once for each seed."""
    if "voicetrio_seed" not in metafunc.fixturenames:
        return
    only = metafunc.config.getoption("--voicetrio-seed")
    count = metafunc.config.getoption("--voicetrio-seeds")
    if count < 1:
        raise pytest.UsageError(f"--voicetrio-seeds must be at least 1, not {count}")
    seeds = range(count) if only is None else [only]
    metafunc.parametrize("voicetrio_seed", seeds, ids=[f"seed{seed}" for seed in seeds], indirect=True)


@pytest.fixture
def voicetrio_seed(request: pytest.FixtureRequest) -> int:
    """Return the seed of this run of the test."""
    seed: int = request.param
    return seed


@pytest.fixture
def simulate(request: pytest.FixtureRequest, voicetrio_seed: int) -> Callable[..., Trace]:
    """Return ``simulate`` with this test's seed; a failure names the command that shows it again."""
    from voicetrio.testing.simulation import simulate as simulate_seed

    test = request.node.nodeid.split("[")[0]

    def run(scenario: Scenario, **options: Any) -> Trace:
        replay = f"python -m pytest '{test}' --voicetrio-seed {voicetrio_seed}"
        return simulate_seed(scenario, voicetrio_seed, **{"replay": replay, **options})

    return run


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Fail the test if something of it is left at its end."""
    from voicetrio.testing.leaks import assert_no_leaks

    with assert_no_leaks():
        yield
