"""Who is in notices nothing of those who are refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.soak
def test_three_times_the_capacity_is_offered():
    run = subprocess.run(
        [sys.executable, "benchmarks/overload.py", "--json"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout, run.stderr
    found = json.loads(run.stdout)
    assert found["refused"]["statuses"] == [503]
    assert found["refused"]["refusals"] >= found["offered"] - found["slots"]
    assert found["problems"] == []
    assert run.returncode == 0
