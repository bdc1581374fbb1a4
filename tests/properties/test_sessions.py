"""I1 to I6 over drawn sessions: any peer, any behaviour, anything done to them, under any schedule.

What is checked of each is in ``voicetrio.testing.watch`` and ``voicetrio.testing.plans``; the other modules
of this folder look at one invariant or two, with scenarios made for them.
"""

from __future__ import annotations

import random
import secrets
import time

import pytest

from voicetrio.testing.plans import draw_plan, run_plan

FIXED_SEEDS = 2000
CHUNK = 100
FRESH_FOR_S = 5.0
SOAK_SEEDS = 100_000


def run_seed(seed: int) -> None:
    run_plan(draw_plan(random.Random(seed)), seed)


@pytest.mark.parametrize("first", range(0, FIXED_SEEDS, CHUNK))
def test_no_session_of_the_fixed_seeds_breaks_a_promise(first: int) -> None:
    for seed in range(first, first + CHUNK):
        run_seed(seed)


def test_no_session_of_fresh_seeds_breaks_a_promise() -> None:
    """New seeds in every run; a failure prints the plan and the command that shows it again."""
    until = time.monotonic() + FRESH_FOR_S
    while time.monotonic() < until:
        run_seed(secrets.randbelow(2**48))


@pytest.mark.soak
@pytest.mark.parametrize("first", range(FIXED_SEEDS, FIXED_SEEDS + SOAK_SEEDS, 1000))
def test_no_session_of_many_seeds_breaks_a_promise(first: int) -> None:
    for seed in range(first, first + 1000):
        run_seed(seed)
