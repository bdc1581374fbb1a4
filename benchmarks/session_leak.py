"""Does a server remember the sessions that it had?

    python benchmarks/session_leak.py [--sessions N] [--trace] [--json]

Ten thousand short sessions in a row, a few at a time, against a server in a process of its own: talks,
echoes through a pipeline, handlers that raise, clients that come back after a lost connection; ended by a
goodbye, by a close frame, and by dropping the connection.  After every group of sessions the server is asked,
once it is empty and has collected its garbage, for its memory, objects, file descriptors, tasks and threads.

The slope is the mean growth a session after the first fifth of the sessions (the warm-up), its confidence
that of Student's t over the groups' growths.  The number of malloc's arenas and its thresholds are fixed,
because such as grow by themselves look like a leak.  ``--trace`` says which lines hold more memory at the end
than after the warm-up.

Ends with status 1 if the slope's upper bound is 1 KiB a session or more, or if anything else did not come
back to where it was.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import math
import os
import statistics
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np
import trio

from voicetrio.connection.websocket import MessageSocket, SocketClosed, open_websocket_client

LIMIT_BYTES: Final = 1024.0
WARM_UP: Final = 0.2
GROUPS: Final = 25
AT_ONCE: Final = 16
PAGE: Final = os.sysconf("SC_PAGE_SIZE")
FIXED: Final = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(128 << 10),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 10),
    "OMP_NUM_THREADS": "1",
}
COUNTED: Final = ("descriptors", "tasks", "threads")
OBJECTS_A_SESSION: Final = 0.1
"""Objects of Python: some come and go with caches; a session that stays is hundreds."""


# --- the server -----------------------------------------------------------------------------------


async def serve(trace: bool) -> None:
    """Serve, and answer each line of standard input with what the process holds."""
    from voicetrio import Agent, open_session, serve_sessions
    from voicetrio.runtime.pipeline import pipeline
    from voicetrio.runtime.transforms import transform
    from voicetrio.runtime.workers import open_model_pool
    from voicetrio.server.settings import ServerSettings
    from voicetrio.testing.scripted import ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD

    agent = Agent(
        vad=ScriptedVAD,
        stt=lambda: ScriptedSTT(["what is the time"]),
        llm=lambda: ScriptedLLM(lambda _messages: "It is late."),
        tts=ScriptedTTS,
        greeting="Hi.",
        bed="room",
    )
    settings = ServerSettings(resume_s=2.0, max_lag_s=60.0, max_pool_wait_s=60.0)
    async with open_model_pool("model", lambda: math.fsum) as pool, trio.open_nursery() as nursery:

        async def handler(peer: Any) -> None:
            await pool.run(lambda model: model([1.0]), session=peer.name)
            echoes = peer.request.path == "/echo"
            behaviour = pipeline(transform(lambda frame: frame)) if echoes else agent
            async with open_session(peer, behaviour) as session:
                if peer.request.path == "/raise":
                    raise ValueError("on purpose")
                await session.wait_ended()

        server = await nursery.start(partial(serve_sessions, handler, 0, settings=settings, pools=[pool]))
        print(server.port, flush=True)
        if trace:
            tracemalloc.start(8)
        async with trio.lowlevel.FdStream(os.dup(0)) as commands:
            async for _line in commands:
                while server.statistics().open_sockets or server.statistics().open_sessions:  # noqa: ASYNC110
                    await trio.sleep(0.01)
                gc.collect()
                held = {**holding(), "ends": dict(server.tally.ends), "failed": server.statistics().failed}
                print(json.dumps(held), flush=True)
        nursery.cancel_scope.cancel()


first_traced: list[tracemalloc.Snapshot] = []


def holding() -> dict[str, Any]:
    """Return what this process holds."""
    grown: list[str] = []
    if tracemalloc.is_tracing():
        snapshot = tracemalloc.take_snapshot().filter_traces(
            [tracemalloc.Filter(inclusive=False, filename_pattern=tracemalloc.__file__)]
        )
        first_traced.append(snapshot)
        since = first_traced[min(len(first_traced) - 1, round(GROUPS * WARM_UP))]
        grown = [str(found) for found in snapshot.compare_to(since, "lineno")[:12]]
        del first_traced[round(GROUPS * WARM_UP) + 1 :]
    return {
        "rss": int(Path("/proc/self/statm").read_text().split()[1]) * PAGE,
        "descriptors": len(os.listdir("/proc/self/fd")) - 1,
        "tasks": trio.lowlevel.current_statistics().tasks_living,
        "objects": len(gc.get_objects()),
        "threads": sum(not thread.name.startswith("Trio thread ") for thread in threading.enumerate()),
        "grown": grown,
    }


# --- the clients ----------------------------------------------------------------------------------


@asynccontextmanager
async def calling(port: int, target: str) -> AsyncIterator[tuple[MessageSocket, dict[str, Any]]]:
    """Connect, and give the socket with the server's hello."""
    async with open_websocket_client(f"ws://127.0.0.1:{port}{target}") as socket:
        yield socket, json.loads(await socket.receive())


async def until_closed(socket: MessageSocket) -> None:
    """Take what comes until the connection ends."""
    try:
        while True:
            await socket.receive()
    except SocketClosed:
        await trio.lowlevel.checkpoint()


async def until_audio(socket: MessageSocket) -> None:
    """Take what comes until something is to be heard."""
    try:
        while not isinstance(await socket.receive(), bytes):
            pass
    except SocketClosed:
        await trio.lowlevel.checkpoint()


async def speak(socket: MessageSocket, frames: int = 3) -> None:
    """Send a little audio."""
    voice = np.full(320, 900, "<i2").tobytes()
    for _ in range(frames):
        await socket.send(voice)


async def says_goodbye(port: int) -> None:
    """A conversation that the caller ends as a client should."""
    async with calling(port, "/talk") as (socket, _hello):
        await speak(socket)
        await until_audio(socket)
        await socket.send('{"type":"end"}')
        await until_closed(socket)


async def types(port: int) -> None:
    """A conversation in which the caller types, and closes."""
    async with calling(port, "/talk") as (socket, _hello):
        await socket.send('{"type":"text","text":"hello"}')
        await until_audio(socket)


async def echoes(port: int) -> None:
    """A pipeline that comes to its end."""
    async with calling(port, "/echo?output_rate=16000") as (socket, _hello):
        await speak(socket)
        await until_audio(socket)
        await socket.send('{"type":"end"}')
        await until_closed(socket)


async def drops(port: int) -> None:
    """A caller whose connection is gone, for good."""
    async with calling(port, "/talk") as (socket, _hello):
        await speak(socket)
        await until_audio(socket)
        socket.abort()


async def comes_back(port: int) -> None:
    """A caller whose connection is gone, and who comes back."""
    async with calling(port, "/echo?output_rate=16000") as (socket, hello):
        await speak(socket)
        await until_audio(socket)
        socket.abort()
    async with calling(port, f"/?resume={hello['resume']}") as (socket, _hello):
        await speak(socket)
        await until_audio(socket)


async def breaks_the_rules(port: int) -> None:
    """A caller whose frames are none."""
    async with calling(port, "/echo") as (socket, _hello):
        with suppress(trio.BrokenResourceError):  # it had enough before the last
            for _ in range(25):
                await socket.send(b"odd")
        await until_closed(socket)


async def raises(port: int) -> None:
    """A handler that raises."""
    async with open_websocket_client(f"ws://127.0.0.1:{port}/raise") as socket:
        await until_closed(socket)


CALLERS: Final[tuple[Callable[[int], Awaitable[None]], ...]] = (
    says_goodbye,
    types,
    echoes,
    drops,
    comes_back,
    breaks_the_rules,
    raises,
)


async def call_many(port: int, first: int, count: int) -> None:
    """Make ``count`` calls, a few at a time."""
    numbers = iter(range(first, first + count))

    async def work() -> None:
        for number in numbers:
            await CALLERS[number % len(CALLERS)](port)

    with trio.fail_after(60 + count):
        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(work)


# --- the measurement -------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Growth:
    """How much a session leaves behind, in bytes."""

    mean: float
    low: float
    high: float


# Student's t, two-sided at 95 %, for 10 to 30 degrees of freedom in steps of 5: the table of any textbook.
T_95: Final = {10: 2.228, 15: 2.131, 20: 2.086, 25: 2.060, 30: 2.042}


def growth(rss: list[int], sessions_a_group: int) -> Growth:
    """Return the mean growth a session between looks at ``rss``, and its interval at 95 %."""
    steps = [(later - earlier) / sessions_a_group for earlier, later in pairwise(rss)]
    freedom = len(steps) - 1
    usable = [table for table in T_95 if table <= freedom]
    if not usable:
        raise ValueError(f"{len(steps)} groups are too few for an interval")
    half = T_95[max(usable)] * statistics.stdev(steps) / math.sqrt(len(steps))
    mean = statistics.fmean(steps)
    return Growth(mean=mean, low=mean - half, high=mean + half)


def measure(sessions: int, trace: bool) -> dict[str, Any]:
    """Run so many sessions; return what was left behind."""
    command = [sys.executable, __file__, "--server", *(["--trace"] if trace else [])]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **FIXED, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        port = int(server.stdout.readline())
        looks: list[dict[str, Any]] = []
        a_group = max(1, sessions // GROUPS)
        for group in range(GROUPS):
            trio.run(call_many, port, group * a_group, a_group)
            server.stdin.write("look\n")
            server.stdin.flush()
            looks.append(json.loads(server.stdout.readline()))
            print(f"  {(group + 1) * a_group} sessions: {shown(looks[-1])}", file=sys.stderr, flush=True)
        server.stdin.close()
    warm = round(GROUPS * WARM_UP) - 1
    kept = looks[warm:]
    slope = growth([look["rss"] for look in kept], a_group)
    problems = [
        f"{name}: {kept[0][name]}, then {kept[-1][name]}"
        for name in COUNTED
        if kept[-1][name] > kept[0][name]
    ]
    grown = (kept[-1]["objects"] - kept[0]["objects"]) / (a_group * (len(kept) - 1))
    if grown > OBJECTS_A_SESSION:
        problems.append(f"objects: {grown:.2f} a session")
    if slope.high >= LIMIT_BYTES:
        problems.append(f"memory: up to {slope.high:.0f} bytes a session")
    return {
        "sessions": a_group * GROUPS,
        "slope_bytes": attrs.asdict(slope),
        "rss_mb": [round(look["rss"] / (1 << 20), 2) for look in looks],
        **{name: [kept[0][name], kept[-1][name]] for name in COUNTED},
        "objects_a_session": grown,
        "ends": looks[-1]["ends"],
        "failed": looks[-1]["failed"],
        "grown": looks[-1]["grown"],
        "problems": problems,
    }


def shown(look: dict[str, Any]) -> str:
    """Return a look as one line."""
    return f"{look['rss'] / (1 << 20):.1f} MB, " + ", ".join(f"{look[name]} {name}" for name in COUNTED)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=10_000, help="how many (%(default)s)")
    parser.add_argument("--trace", action="store_true", help="say which lines hold more memory")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--server", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.server:
        logging.disable()  # handlers that raise on purpose
        trio.run(serve, options.trace)
        return 0
    found = measure(options.sessions, options.trace)
    if options.json:
        print(json.dumps(found))
    else:
        slope = found["slope_bytes"]
        print(
            f"{found['sessions']} sessions: {slope['mean']:.0f} bytes a session"
            f" ({slope['low']:.0f} to {slope['high']:.0f} at 95 %)"
        )
        print("; ".join(f"{name}: {found[name][0]}, then {found[name][1]}" for name in COUNTED))
        print(f"{found['objects_a_session']:.3f} objects of Python a session")
        print("ended:", ", ".join(f"{why} {count}" for why, count in sorted(found["ends"].items())))
        print(*found["grown"], sep="\n", end="\n" if found["grown"] else "")
        print("\n".join(found["problems"]) or "nothing is left behind")
    return 1 if found["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
