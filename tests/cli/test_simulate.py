"""The command that runs a scenario over many seeds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from voicetrio.cli import main
from voicetrio.testing.plans import SessionPlan

FILE = """
import trio

async def good(sim):
    await trio.sleep(2)

async def unlucky(sim):
    await trio.sleep(1)
    sim.record("thrown", sim.seed)
    assert sim.seed != 7, "seven"

def plain(sim):
    pass
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "scenarios.py"
    path.write_text(FILE)
    return str(path)


def test_seeds_that_pass_are_counted(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", f"{file}:good", "--seeds", "5"]) == 0
    assert capsys.readouterr().out.startswith("5 seeds passed: 10.0 virtual seconds, ")


def test_a_failure_shows_the_trace_and_the_command_that_shows_it_again(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", f"{file}:unlucky"]) == 1
    out = capsys.readouterr().out
    assert "seed 7: AssertionError: seven" in out
    assert f"replay: voicetrio simulate {file}:unlucky --seed 7" in out
    assert "thrown            7" in out
    assert main(["simulate", f"{file}:unlucky", "--seed", "7"]) == 1
    assert main(["simulate", f"{file}:unlucky", "--seed", "8"]) == 0


def test_the_result_as_an_object(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", f"{file}:good", "--seeds", "2", "--json"]) == 0
    good = json.loads(capsys.readouterr().out)
    assert (good["runs"], good["virtual_s"], good["failure"]) == (2, 4.0, None)
    assert len(good["digest"]) == 64
    assert main(["simulate", f"{file}:unlucky", "--json"]) == 1
    failure = json.loads(capsys.readouterr().out)["failure"]
    assert (failure["seed"], failure["error"], failure["text"]) == (7, "AssertionError", "seven")
    assert any("thrown" in line for line in failure["trace"])


def test_a_plan_is_run_from_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--plan", repr(SessionPlan()), "--seed", "3"]) == 0
    out = capsys.readouterr().out
    assert "SessionStarted" in out
    assert "1 seed passed" in out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "give either FILE.py:SCENARIO or --plan"),
        (["nothing"], "write FILE.py:NAME"),
        (["missing.py:scenario"], "there is no file missing.py"),
        (["{file}:nothing"], "has no nothing"),
        (["{file}:plain"], "write async def plain(sim)"),
        (["{file}:good", "--seeds", "0"], "--seeds must be at least 1"),
        (["--plan", "nonsense"], "not the text of a plan"),
        (["{file}:good", "--end-at", "3"], "give its --seed"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    arguments: list[str], why: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", *(argument.format(file=file) for argument in arguments)]) == 1
    error = capsys.readouterr().err
    assert why in " ".join(error.split())
