from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.soak
def test_ten_minutes_of_streams_over_all_formats():
    run = subprocess.run(
        [sys.executable, "benchmarks/encode_soak.py", "--minutes", "10", "--json"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout, run.stderr
    assert json.loads(run.stdout)["failures"] == []
    assert run.returncode == 0
