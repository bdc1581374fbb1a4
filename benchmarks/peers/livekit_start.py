"""LiveKit's side of ``start.py`` and ``footprint.py``: import, and the start of a session without a room.

Runs in LiveKit's own environment, in a new process each time.
"""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import time
began = time.perf_counter()
import asyncio, json
from livekit.agents import Agent, AgentSession
imported_s = time.perf_counter() - began

async def main():
    before = len(asyncio.all_tasks())
    session = AgentSession()
    await session.start(Agent(instructions="say hello"))
    started_s = time.perf_counter() - began
    tasks = len(asyncio.all_tasks()) - before
    await session.aclose()
    return started_s, tasks

started_s, tasks = asyncio.run(main())
session_ms = (started_s - imported_s) * 1e3
print(json.dumps({"import_ms": imported_s * 1e3, "session_ms": session_ms,
                  "whole_ms": started_s * 1e3, "tasks": tasks}))
"""


def measure() -> dict[str, float]:
    """Run the program; return what it prints."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-500:])
    numbers: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return numbers
