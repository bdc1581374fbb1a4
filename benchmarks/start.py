"""How long do import and the first session take?

    python benchmarks/start.py [--effort E] [--json]

A fresh process each time, with compiled files and a warm disk cache: it imports what an agent needs, opens a
session with scripted models over a memory transport, and has its first frame of audio out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from harness.question import Figure, Question, Side, Target

OURS = """
import time
began = time.perf_counter()
import trio
trio_s = time.perf_counter() - began
import voicetrio
from voicetrio import Agent, open_session
from voicetrio.transports.memory import memory_peer
imported_s = time.perf_counter() - began
# Stands in for a vendor's service; loading it is no part of the runtime's start.
from voicetrio.testing.scripted import ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD
began_session = time.perf_counter()

async def main():
    transport, far_end = memory_peer()
    agent = Agent(vad=ScriptedVAD, stt=ScriptedSTT, llm=ScriptedLLM, tts=ScriptedTTS, greeting="hello there")
    async with open_session(transport, agent) as session:
        while not far_end.audio:
            await far_end.wait_heard(len(far_end.heard) + 1)
        global first_s
        first_s = time.perf_counter() - began_session
        session.cancel()

trio.run(main)
import json
print(json.dumps({"trio_ms": trio_s * 1e3, "import_ms": imported_s * 1e3, "session_ms": first_s * 1e3,
                  "whole_ms": (imported_s + first_s) * 1e3, "cpu_ms": time.process_time() * 1e3}))
"""
FLOOR = """
import time
began = time.perf_counter()
import trio, numpy, attrs
print('{"whole_ms": %f}' % ((time.perf_counter() - began) * 1e3))
"""
PEERS = Path(__file__).parent / "peers"
UNCOMPILED = "PYTHONDONTWRITEBYTECODE"


def measure(program: str) -> dict[str, float]:
    """Run ``program`` in a fresh process; return what it prints, and how long the process took."""
    # An installed package is compiled; a checkout is by its first import, if that may write.
    environment = {name: value for name, value in os.environ.items() if name != UNCOMPILED}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-500:])
    whole_ms = (time.perf_counter() - began) * 1e3
    return {**json.loads(done.stdout.splitlines()[-1]), "process_ms": whole_ms}


def question() -> Question:
    """Return the question for the harness."""
    us, floor, pipecat, livekit = "voicetrio", "trio, numpy and attrs", "Pipecat", "LiveKit Agents"
    return Question(
        name="start",
        asks="how long do import and the first session take?",
        sides=(
            Side(us, __file__, "measure", arguments={"program": OURS}),
            Side(floor, __file__, "measure", arguments={"program": FLOOR}),
            Side(pipecat, str(PEERS / "pipecat_start.py"), "measure", peer="pipecat"),
            Side(livekit, str(PEERS / "livekit_start.py"), "measure", peer="livekit"),
        ),
        figures=(
            Figure("import and first audio", "ms", lambda r: r[us]["whole_ms"], Target(at_most=250)),
            Figure("import", "ms", lambda r: r[us]["import_ms"]),
            Figure("first session to its first audio", "ms", lambda r: r[us]["session_ms"]),
            Figure("CPU of the whole process until then", "ms", lambda r: r[us]["cpu_ms"]),
            Figure(f"import of {floor}", "ms", lambda r: r[floor]["whole_ms"]),
            Figure(
                "import and first audio, without the floor's import",
                "ms",
                lambda r: r[us]["whole_ms"] - r[floor]["whole_ms"],
            ),
            Figure(
                "import and first audio / the floor's import",
                "x",
                lambda r: r[us]["whole_ms"] / r[floor]["whole_ms"],
            ),
            *(
                Figure(f"{peer}: import and start of {what}", "ms", lambda r, p=peer: r[p]["whole_ms"])
                for peer, what in ((pipecat, "a pipeline"), (livekit, "a session"))
            ),
        ),
        does_not_say=(
            "what models take to load, or a first start after installing, when nothing is compiled.  "
            "Pipecat's side starts an empty pipeline and LiveKit's a session without a room: neither speaks "
            "a greeting."
        ),
        rounds=5,
        round_s=8.0,
        least_of=3,
        steady=0.15,
    )


if __name__ == "__main__":
    from harness.run import run_alone

    sys.exit(run_alone(question()))
