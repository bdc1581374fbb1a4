"""Ten thousand short sessions leave nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.soak
def test_ten_thousand_sessions_leave_nothing_behind():
    run = subprocess.run(
        [sys.executable, "benchmarks/session_leak.py", "--json"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout, run.stderr
    found = json.loads(run.stdout)
    assert found["sessions"] == 10_000
    assert found["problems"] == []
    assert set(found["ends"]) == {"source_ended", "peer_gone", "the body raised"}
    assert run.returncode == 0
