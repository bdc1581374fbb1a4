"""Where and of what something was measured: figures without it are no figures."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.sides import CHECKOUT, cores

__all__ = ["describe_machine"]

LIBRARIES = ("trio", "numpy", "websockets", "trio-websocket", "av", "attrs")


def describe_machine() -> dict[str, Any]:
    """Return the processor, the system, the versions and the commit; no names of people or hosts."""
    measured, other = cores()
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "measured_core": measured,
        "other_core": other,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in LIBRARIES},
        "commit": _git("rev-parse", "--short=12", "HEAD") or "not a git checkout",
        "changed_files": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
