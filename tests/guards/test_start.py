"""What a program has to load before its first session: what it does not use, it does not wait for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
import attrs, numpy, trio
floor = set(sys.modules)
from voicetrio import Agent, open_session
from voicetrio.transports.memory import memory_peer

async def listen(context):
    async for frame in context.inlet:
        pass

async def main():
    transport, far_end = memory_peer()
    async with open_session(transport, listen) as session:
        session.cancel()

trio.run(main)
loaded = sorted(set(sys.modules) - floor)
import json
print(json.dumps(loaded))
"""
ALLOWED = {"json", "numpy", "trio", "outcome", "sniffio", "attr", "voicetrio"}
"""The floor, and more of it; the arguments of tools are JSON."""
NOT_OURS = {"cli", "connection", "server", "testing"}


def loaded_by_a_first_session() -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    return set(json.loads(done.stdout))


def test_an_agent_and_a_first_session_load_nothing_but_trio_numpy_attrs_and_json():
    loaded = loaded_by_a_first_session()
    assert "voicetrio.runtime.session" in loaded
    assert {name.split(".")[0].lstrip("_") for name in loaded} <= ALLOWED
    parts = {name.split(".")[1] for name in loaded if name.startswith("voicetrio.")}
    assert not parts & NOT_OURS
    assert not {"voicetrio.runtime.pipeline", "voicetrio.audio.wav"} & loaded
