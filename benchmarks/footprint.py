"""What does a session hold: how much memory, and how many tasks?

    python benchmarks/footprint.py [--effort E] [--json]

Sessions of the default agent with scripted models over memory transports, in a fresh process; memory is what
the process grows by, divided by the sessions, after a first session has loaded everything that all share.
*Idle* hears silence and says nothing; *speaking* plays a reply over a bed.  Tasks and memory are also taken
over a WebSocket, memory with the embedded voice activity and a voice that is far ahead (see ``sessions.py``).
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import trio
from harness.question import Figure, Question, Side, Target

SESSIONS = 40
SETTLED_S = 1.0
MB = 1 << 20
PEERS = Path(__file__).parent / "peers"
TEXT = "one two three four five six seven eight nine ten eleven twelve and then some more of it all"


def rss_bytes() -> int:
    """Return what this process holds of real memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def patient_server():
    """Return a server's settings that let everybody in, however busy the machine is."""
    from voicetrio.server.settings import ServerSettings

    return ServerSettings(max_lag_s=60.0, resume_s=0.0)


def scripted_agent(*, speaks: bool):
    """Return an agent as an application has it, with models that cost nothing."""
    from voicetrio import Agent
    from voicetrio.testing.scripted import ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD

    greeting = TEXT if speaks else None
    bed = "room" if speaks else None
    return Agent(
        vad=ScriptedVAD, stt=ScriptedSTT, llm=ScriptedLLM, tts=ScriptedTTS, greeting=greeting, bed=bed
    )


async def memory(speaks: bool) -> dict[str, float]:
    """Return megabytes and tasks a session."""
    from voicetrio import AudioFrame, open_session
    from voicetrio.transports.memory import memory_peer

    agent = scripted_agent(speaks=speaks)
    silence = AudioFrame.silence(320, 16_000).samples

    async def one() -> None:
        transport, far_end = memory_peer(max_recorded=1)
        async with open_session(transport, agent):
            while True:
                await far_end.send_audio(silence)
                await trio.sleep(0.02)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one)
        await trio.sleep(SETTLED_S)
        gc.collect()
        before, tasks_before = rss_bytes(), trio.lowlevel.current_statistics().tasks_living
        for _ in range(SESSIONS):
            nursery.start_soon(one)
        await trio.sleep(SETTLED_S)
        gc.collect()
        grown, tasks = rss_bytes() - before, trio.lowlevel.current_statistics().tasks_living - tasks_before
        nursery.cancel_scope.cancel()
    # Of each session one task is ours here: the one that opened it.
    return {"mb": grown / SESSIONS / MB, "tasks": tasks / SESSIONS - 1, "process_mb": before / MB}


async def websocket() -> dict[str, float]:
    """Return the tasks that a server has for a client: of the session, its socket and its handler."""
    from voicetrio import open_session, serve_sessions
    from voicetrio.connection.websocket import open_websocket_client

    agent = scripted_agent(speaks=False)

    async def answer(peer) -> None:
        async with open_session(peer, agent) as session:
            await session.wait_ended()

    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve_sessions, settings=patient_server()), answer, 0)
        await trio.sleep(SETTLED_S)
        alone = tasks_below(nursery)
        async with open_websocket_client(server.url):
            await trio.sleep(SETTLED_S)
            tasks = tasks_below(nursery) - alone
        nursery.cancel_scope.cancel()
    return {"tasks": tasks}


def tasks_below(nursery: trio.Nursery) -> int:
    """Count the tasks of ``nursery``, and of every nursery inside."""
    return sum(1 + sum(map(tasks_below, task.child_nurseries)) for task in nursery.child_tasks)


CASES = {
    "idle": lambda: memory(False),
    "speaking": lambda: memory(True),
    "websocket": websocket,
}


def measure(what: str) -> dict[str, float]:
    """Measure in a fresh process: memory that was let go of is not always given back."""
    command = [sys.executable, __file__, "--case", what]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-500:])
    numbers: dict[str, float] = json.loads(done.stdout)
    return numbers


def question() -> Question:
    """Return the question for the harness."""
    pipecat, livekit = "Pipecat, one processor", "LiveKit Agents, no room"
    return Question(
        name="footprint",
        asks="what does a session hold: how much memory, and how many tasks?",
        sides=(
            *(Side(what, __file__, "measure", arguments={"what": what}) for what in CASES),
            Side("clients", str(Path(__file__).with_name("sessions.py")), "memory", core="any"),
            Side(pipecat, str(PEERS / "pipecat_start.py"), "measure", peer="pipecat"),
            Side(livekit, str(PEERS / "livekit_start.py"), "measure", peer="livekit"),
        ),
        figures=(
            Figure("memory of a session: idle", "MB", lambda r: r["idle"]["mb"], Target(at_most=0.2)),
            Figure("memory of a session: speaking", "MB", lambda r: r["speaking"]["mb"], Target(at_most=0.4)),
            Figure(
                "memory of one over a WebSocket: idle",
                "MB",
                lambda r: r["clients"]["idle_mb"],
                Target(at_most=0.2),
            ),
            Figure(
                "memory of one over a WebSocket: speaking",
                "MB",
                lambda r: r["clients"]["speaking_mb"],
                Target(at_most=0.4),
            ),
            Figure("memory of the process with one session", "MB", lambda r: r["idle"]["process_mb"]),
            Figure("tasks of an idle session", "tasks", lambda r: r["idle"]["tasks"], Target(at_most=8)),
            Figure("tasks of one over a WebSocket", "tasks", lambda r: r["websocket"]["tasks"]),
            *(
                Figure(f"tasks of {peer}", "tasks", lambda r, p=peer: r[p]["tasks"])
                for peer in (pipecat, livekit)
            ),
        ),
        does_not_say=(
            "what models hold: they are shared, and scripted here.  Over a WebSocket four tasks are the "
            "server's: the connection, its keepalive, its limits and the handler.  LiveKit's session has "
            "neither room nor models: it hears and says nothing."
        ),
        rounds=3,
        warms_up=False,  # each round is processes of its own
        round_s=22.0,
        steady=0.15,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--case"]:
        print(json.dumps(trio.run(CASES[sys.argv[2]])))
    else:
        from harness.run import run_alone

        sys.exit(run_alone(question()))
