"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import pytest

TESTS = """
import tempfile, threading
import trio

async def scenario(sim):
    await trio.sleep(1)
    assert sim.seed != 13, "unlucky"

def test_luck(simulate):
    assert simulate(scenario).duration_s == 1

def test_seed(voicetrio_seed):
    assert voicetrio_seed >= 0

def test_leak(no_leaks):
    tempfile.mkdtemp()
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> object:
    def run_with(*arguments: str) -> pytest.RunResult:
        pytester.makepyfile(test_it=TESTS)
        return pytester.runpytest_inprocess("-p", "voicetrio.testing.plugin", "-p", "no:trio", *arguments)

    return run_with


def test_a_test_runs_once_for_each_seed_and_a_failure_names_its_replay(run: object) -> None:
    result = run("-k", "luck or seed", "--voicetrio-seeds", "15")
    result.assert_outcomes(passed=29, failed=1)
    result.stdout.fnmatch_lines(["*AssertionError: unlucky*"])
    result.stdout.fnmatch_lines(["*replay: python -m pytest 'test_it.py::test_luck' --voicetrio-seed 13"])


def test_one_seed_is_run_again(run: object) -> None:
    run("-k", "luck", "--voicetrio-seed", "13").assert_outcomes(failed=1)
    run("-k", "luck", "--voicetrio-seed", "14").assert_outcomes(passed=1)


def test_what_a_test_leaves_behind_is_an_error_of_it(run: object) -> None:
    result = run("-k", "leak")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*LeakError: left behind:", "*files: *"])


def test_no_seed_at_all_is_a_wrong_usage(run: object) -> None:
    assert run("--voicetrio-seeds", "0").ret == pytest.ExitCode.INTERRUPTED
