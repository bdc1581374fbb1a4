"""How many sessions does one core carry?

    python benchmarks/sessions.py [--effort E] [--json]
    python benchmarks/sessions.py --search [SCENARIO ...] [--seconds S] [--peer-python PATH] [--json]

A server process on one core, callers in a process on another (``sessions_load.py``). Carried are so many
sessions as use at most 80 % of the server's core while no caller, who buffers 60 ms, runs dry. Each try
follows the CPU that was measured before; every answer was itself run.

The first form is the harness's question: all sides take turns, with a few tries each. The second searches one
scenario after the other, the rarer ones and RSS among them.

RSS is what a session adds: with callers connected and silent (*idle*), and while the agent talks to all of
them.

Another process's environment is only needed for Pipecat: an interpreter with ``pipecat-ai[websocket]``
1.14.0.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from harness.question import Question

HERE: Final = Path(__file__).resolve().parent
SPEECH: Final = HERE.parent / "voicetrio" / "data" / "speech"
CORE_SHARE: Final = 0.8
LOAD_SHARE: Final = 0.9
"""Beyond it the callers are what is measured."""
CLOSE: Final = 0.04
"""An answer so near to the limit is near enough."""
PROBES: Final = 7
SETTLE_S: Final = 2.0
TICK_HZ: Final = 50
NOISE: Final = ["0.5"]
"""What a caller says: files, and seconds of silence, in a loop."""
QUESTIONS: Final = [str(SPEECH / "go-forward.wav"), "9"]

SCENARIOS: Final[dict[str, dict[str, Any]]] = {
    "websockets": {"about": "bare echo, websockets' sans-I/O protocol on trio", "first": 160},
    "trio_websocket": {"about": "bare echo, trio-websocket", "first": 80},
    "asyncio": {"about": "bare echo, websockets on asyncio", "first": 150},
    "relay": {"about": "session, pipeline, unpaced", "first": 130},
    "echo": {"about": "session, pipeline, paced playout", "first": 60},
    "echo_vad": {"about": "the same with the embedded VAD", "first": 50},
    "agent": {"about": "the agent: VAD, scripted services", "first": 110, "speaks": True},
    "agent_bed": {"about": "the same over a bed", "first": 50, "speaks": True},
    "embedded": {"about": "the agent with the embedded models", "first": 1, "speaks": True},
    "pipecat": {"about": "Pipecat, FastAPI WebSocket, protobuf", "first": 40, "peer": True},
    "pipecat_vad": {"about": "the same with its Silero VAD", "first": 10, "peer": True},
}


def cores() -> tuple[int, int]:
    """Return the server's core and the callers'."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[-1], usable[0]


class Server:
    """A server process, looked at from outside."""

    def __init__(self, scenario: str, python: str) -> None:
        is_peer = SCENARIOS.get(scenario, {}).get("peer", False)
        script = HERE / ("sessions_pipecat.py" if is_peer else "sessions_servers.py")
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
        if is_peer:
            environment.pop("PYTHONPATH", None)
        else:
            environment["PYTHONPATH"] = str(HERE.parent)
        self.process = subprocess.Popen(
            [python, str(script), scenario, str(cores()[0])],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server of {scenario} did not start")
        self.port = int(line)

    def cpu_s(self) -> float:
        """Return the CPU time that it has used, all threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        """Return its resident memory."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("the server is gone")

    def end(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


class Load:
    """The callers' process."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "sessions_load.py"), str(cores()[1])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Let it do something; return its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"what": what, **arguments}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the callers' process ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


@contextmanager
def running(scenario: str, python: str) -> Iterator[tuple[Server, Load]]:
    """Start a server and callers, and end them."""
    server = Server(scenario, python)
    load = Load()
    try:
        yield server, load
    finally:
        load.end()
        server.end()


def call(server: Server, load: Load, scenario: str, sessions: int, **changed: Any) -> None:
    """Open sessions with callers who do what the scenario says."""
    about = SCENARIOS[scenario]
    speaks = about.get("speaks", False)
    rate = 24000 if speaks else 16000
    arguments = {
        "port": server.port,
        "path": "/" if about.get("peer") else f"/?input_rate=16000&output_rate={rate}",
        "sessions": sessions,
        "wire": "protobuf" if about.get("peer") else "native",
        "rate": rate,
        "track": QUESTIONS if speaks else NOISE,
    }
    load.do("call", **{**arguments, **changed})


def probe(scenario: str, sessions: int, seconds: float, python: str) -> dict[str, Any]:
    """Run so many sessions; return what it cost and what the callers had."""
    with running(scenario, python) as (server, load):
        call(server, load, scenario, sessions)
        load.do("watch", seconds=SETTLE_S)
        cpu_s, began = server.cpu_s(), time.perf_counter()
        seen = load.do("watch", seconds=seconds)
        share = (server.cpu_s() - cpu_s) / (time.perf_counter() - began)
        return {"sessions": sessions, "cpu": share, **seen}


def carries(row: dict[str, Any]) -> bool:
    """Tell whether a probe shows that so many sessions are carried."""
    return row["cpu"] <= CORE_SHARE and not (row["underruns"] or row["lost"] or row["unsent"])


def search(scenario: str, seconds: float, python: str) -> dict[str, Any]:
    """Find how many sessions the core carries."""
    wanted = SCENARIOS[scenario]["first"]
    low: dict[str, Any] | None = None
    high: int | None = None
    rows = []
    for _ in range(PROBES):
        row = probe(scenario, wanted, seconds, python)
        rows.append(row)
        print(f"  {scenario}: {json.dumps(row)}", file=sys.stderr, flush=True)
        if carries(row):
            low = row if low is None or row["sessions"] > low["sessions"] else low
            if row["cpu"] >= CORE_SHARE - CLOSE or row["load_cpu"] > LOAD_SHARE:
                break
        else:
            high = wanted if high is None else min(high, wanted)
        fits = max(1, int(wanted * (CORE_SHARE - CLOSE / 2) / max(row["cpu"], 0.01)))
        wanted = min(fits, wanted * 4) if carries(row) else min(fits, int(wanted * 0.9))
        wanted = max(1, wanted)
        if high is not None:
            wanted = min(wanted, high - 1)
        if low is not None and wanted <= low["sessions"]:
            break
    best = low or {"sessions": 0, "cpu": rows[-1]["cpu"], "load_cpu": rows[-1]["load_cpu"]}
    used = low or rows[-1]
    return {
        "scenario": scenario,
        "about": SCENARIOS[scenario]["about"],
        "sessions": best["sessions"],
        "cpu": best["cpu"],
        "cpu_us_a_frame": used["cpu"] / max(1, used["sessions"]) / TICK_HZ * 1e6,
        "limited_by_the_load": best["load_cpu"] > LOAD_SHARE,
        "probes": rows,
    }


# --- the harness's question -----------------------------------------------------------------------

SHORT_S: Final = 2.5
TRIES: Final = 3
MOST_TRIES: Final = 6
"""As long as nothing was carried."""
MARGIN: Final = 0.02
"""So far below the limit, by the CPU of the try before, the next try stays."""
_aims: dict[str, int] = {}
"""How many sessions are tried next: the process of a side lives as long as its question."""


def carried(scenario: str, *, counts: bool = False) -> dict[str, float]:
    """Return how many sessions are carried, and what they cost; a try that misses is followed by another.

    ``fits`` is how many the share of the core would be enough for, by the CPU of the last try alone.  With
    ``counts`` it is the carried ones that are asked for: while there is room for more, more are tried.
    """
    best = tries = 0
    while tries < TRIES or (not best and tries < MOST_TRIES):
        tries += 1
        wanted = _aims.get(scenario, SCENARIOS[scenario]["first"])
        row = probe(scenario, wanted, SHORT_S, sys.executable)
        is_carried = carries(row)
        best = max(best, wanted if is_carried else 0)
        fits = wanted * CORE_SHARE / max(row["cpu"], 0.01)
        room = int(fits * (1 - MARGIN))
        # What ran dry on a core that was not full was held up by something else: one step down.
        _aims[scenario] = max(1, min(room, wanted * 4) if is_carried else min(room, int(wanted * 0.92)))
        if is_carried and (room <= wanted if counts else row["cpu"] >= CORE_SHARE * 0.85):
            break
    return {
        "sessions": float(best),
        "fits": fits,
        "cpu": row["cpu"],
        "load_cpu": row["load_cpu"],
        "us_a_frame": row["cpu"] / wanted / TICK_HZ * 1e6,
        "underruns": float(row["underruns"]),
        "late_callers": float(row["late_frames"]),
    }


def question() -> Question:
    """Return the question for the harness."""
    # Not above: this file is also loaded in a peer's environment, to measure there.
    from harness.question import Figure, Question, Side, Target

    names = {
        "websockets": "bare sans-I/O echo",
        "relay": "voicetrio, unpaced echo",
        "agent": "voicetrio, paced agent",
    }
    peers = {"pipecat": "Pipecat, echo"}
    sides = [
        Side(name, __file__, "carried", arguments={"scenario": key, "counts": key == "agent"}, core="any")
        for key, name in names.items()
    ]
    sides += [
        Side(name, __file__, "carried", arguments={"scenario": key}, core="any", peer="pipecat")
        for key, name in peers.items()
    ]
    floor, echo, agent = names["websockets"], names["relay"], names["agent"]
    figures = [
        Figure(f"sessions a core, {side.name}", "", lambda r, s=side.name: r[s]["fits"])
        for side in sides
        if side.name != agent
    ]
    figures += [
        Figure(
            "paced agent with VAD, carried without an underrun",
            "sessions",
            lambda r: r[agent]["sessions"],
            Target(at_least=120),
        ),
        Figure(
            "unpaced echo beside the bare sans-I/O echo",
            "x",
            lambda r: r[echo]["fits"] / r[floor]["fits"],
            Target(at_least=0.6),
        ),
        Figure(
            "unpaced echo beside Pipecat",
            "x",
            lambda r: r[echo]["fits"] / r[peers["pipecat"]]["fits"],
            Target(at_least=4),
        ),
        Figure("CPU of a session's frame, paced agent", "us", lambda r: r[agent]["us_a_frame"]),
    ]
    return Question(
        name="sessions",
        asks="how many sessions does one core carry?",
        sides=tuple(sides),
        figures=tuple(figures),
        does_not_say=(
            "what real models cost: they are scripted here, but for the voice activity.  Callers are on the "
            "same machine, so half of the network is another core's.  The echoes are counted by the CPU of a "
            "run near the limit, the agent by a run that nobody heard a gap in."
        ),
        rounds=3,
        warms_up=False,
        round_s=40.0,
        steady=0.15,
    )


# --- one scenario after the other -----------------------------------------------------------------


def memory(sessions: int = 100) -> dict[str, float]:
    """Return the megabytes that a session of the agent adds, idle and speaking."""
    found = {}
    for scenario, name in (("agent_quiet", "idle"), ("agent", "speaking")):
        with running(scenario, sys.executable) as (server, load):
            # The first sessions bring what all share: modules, caches, the allocator's reserves.
            call(server, load, "agent", 5)
            load.do("watch", seconds=1.0)
            before = server.rss_mb()
            call(server, load, "agent", sessions, track=["1"])
            load.do("watch", seconds=3.0)
            found[f"{name}_mb"] = (server.rss_mb() - before) / sessions
    return found


def report(rows: list[dict[str, Any]], used: dict[str, float] | None) -> None:
    """Print a table for a person."""
    floor = next((row["sessions"] for row in rows if row["scenario"] == "websockets"), None)
    peer = next((row["sessions"] for row in rows if row["scenario"] == "pipecat"), None)
    print(f"{'sessions':>9} {'CPU':>6} {'us/frame':>9} {'of floor':>9} {'of peer':>8}  what")
    for row in rows:
        of_floor = f"{row['sessions'] / floor:9.2f}" if floor else " " * 9
        of_peer = f"{row['sessions'] / peer:8.1f}" if peer else " " * 8
        mark = ">=" if row["limited_by_the_load"] else "  "
        print(
            f"{mark}{row['sessions']:7} {row['cpu']:6.0%} {row['cpu_us_a_frame']:9.0f} {of_floor} {of_peer}"
            f"  {row['about']}"
        )
    if used is not None:
        idle, speaking = used["idle_mb"], used["speaking_mb"]
        print(f"RSS a session of the agent: idle {idle:.2f} MB, speaking {speaking:.2f} MB")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--search", action="store_true", required=True, help=argparse.SUPPRESS)
    ours = [name for name, about in SCENARIOS.items() if not about.get("peer")]
    parser.add_argument("scenarios", nargs="*", default=[], help=f"of: {', '.join(SCENARIOS)}, memory")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of a probe (%(default)s)")
    parser.add_argument("--peer-python", help="an interpreter that has Pipecat")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    unknown = set(options.scenarios) - {*SCENARIOS, "memory"}
    if unknown:
        parser.error(f"no scenario {', '.join(sorted(unknown))}: there are {', '.join(SCENARIOS)}, memory")
    if len(os.sched_getaffinity(0)) < 2:
        parser.error("two cores are needed: one for the server, one for the callers")
    peers = ["pipecat", "pipecat_vad"] if options.peer_python else []
    wanted = options.scenarios or [*ours, "memory", *peers]
    rows = []
    for scenario in wanted:
        if scenario == "memory":
            continue
        python = options.peer_python if SCENARIOS[scenario].get("peer") else sys.executable
        if python is None:
            parser.error(f"{scenario} needs --peer-python")
        rows.append(search(scenario, options.seconds, python))
    used = memory() if "memory" in wanted else None
    if options.json:
        print(json.dumps({"carried": rows, "memory": used}))
    else:
        report(rows, used)


if __name__ == "__main__":
    if "--search" in sys.argv[1:]:
        main()
    else:
        from harness.run import run_alone

        sys.exit(run_alone(question()))
