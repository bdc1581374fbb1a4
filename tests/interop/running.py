"""Runs a program in the environment of the vendors' SDKs, against a stand-in that this process serves."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.interop.setup_environment import environment_python, is_ready

PROGRAMS = Path(__file__).parent / "sdk"

needs_sdks = pytest.mark.skipif(
    not is_ready(), reason="the vendors' SDKs are not there: run python tests/interop/setup_environment.py"
)


async def run_sdk(program: str, *arguments: str, within_s: float = 60.0) -> Any:
    """Run ``sdk/program.py`` with ``arguments``; return what it prints, parsed as JSON."""
    path = PROGRAMS / f"{program}.py"
    kept = {"PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT"}
    environment = {name: value for name, value in os.environ.items() if name in kept}
    with trio.fail_after(within_s):
        result = await trio.run_process(
            [str(environment_python()), "-W", "ignore", str(path), *arguments],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    assert result.returncode == 0, result.stderr.decode()[-3000:]
    return json.loads(result.stdout)
