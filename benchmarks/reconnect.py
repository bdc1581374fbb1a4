"""What do lost connections cost, and how soon are they back?

    python benchmarks/reconnect.py [--connections N] [--seconds S] [--peer-python PATH] [--json]

N connections, all in use, to a server of each of these kinds, one after the other:

* *closes*: says 1000 half a second after each opening;
* *drops*: accepts each opening and drops the socket;
* *outage*: drops everything at one moment, refuses with 503 for 3 s, and is well again;
* *silent*: two seconds after all are open, falls silent with its sockets open (its process is stopped).

CPU is the client's, in percent of one core over the whole time, the first openings included.  *Usable* is
counted from the moment that the server is ready, and *late* from the moment that the client's own waits
allowed the last try.  All N are lost in one moment and dial within a quarter of a second: the last of such a
wave waits for the CPU, so 95 of 100 are judged, and the worst is shown.  With the interpreter of another
environment as ``--peer-python``, Pipecat's WebSocket service does the same beside us, on the same machine in
the same run.

Asked as the harness's question, all runs are beside each other, and begin one after the other.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

OUTAGE_AT_S = 2.0
OUTAGE_S = 3.0
SILENT_AT_S = 2.0
ALONE_S = OUTAGE_AT_S + OUTAGE_S + 3.0
"""By then an outage is over, and all are back."""
APART_S = 2.5
"""Runs beside each other begin so long one after the other."""
KINDS = ("closes", "drops", "outage", "silent")
TARGET_CPU_PERCENT = 5.0
TARGET_LATE_S = 0.05


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


# --- the server: a process of its own, so that it can be stopped and its CPU is not ours ---


def serve(kind: str) -> None:
    """Print the port, serve until standard input ends, then print how many openings were asked for."""
    import trio

    from voicetrio.connection.websocket import (
        HandshakeFailed,
        Refusal,
        SocketClosed,
        SocketLimits,
        accept_websocket,
        open_stream_socket,
    )

    asked = 0
    started = time.monotonic()
    sockets = set()

    def refuse(_request) -> Refusal | None:
        since = time.monotonic() - started
        is_down = kind == "outage" and OUTAGE_AT_S <= since < OUTAGE_AT_S + OUTAGE_S
        return Refusal(503, "down for a moment") if is_down else None

    async def handle(stream: trio.SocketStream) -> None:
        nonlocal asked
        asked += 1
        try:
            driver, _request = await accept_websocket(stream, SocketLimits(), refuse=refuse)
            if kind == "drops":
                return
            async with open_stream_socket(stream, driver, SocketLimits()) as socket:
                sockets.add(socket)
                try:
                    if kind == "closes":
                        await trio.sleep(0.5)
                        await socket.close(1000)
                    while True:
                        await socket.receive()
                finally:
                    sockets.discard(socket)
        except (HandshakeFailed, SocketClosed, trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            await trio.aclose_forcefully(stream)

    async def fail() -> None:
        await trio.sleep(OUTAGE_AT_S - (time.monotonic() - started))
        for socket in list(sockets):
            socket.abort()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, handle, 0)
            print(json.dumps([listeners[0].socket.getsockname()[1], started]), flush=True)
            if kind == "outage":
                nursery.start_soon(fail)
            await trio.to_thread.run_sync(sys.stdin.read)
            nursery.cancel_scope.cancel()
        print(asked, flush=True)

    trio.run(main)


# --- the clients ---


def tell_begun(usable: list[float], connections: int) -> None:
    """Print that all are open, once they are: what was still being imported tells nothing of a loss."""
    if len(usable) == connections:
        print("begun", flush=True)


def run_ours(port: int, connections: int, seconds: float) -> dict[str, object]:
    """Keep ``connections`` in use for ``seconds``; return what was seen."""
    import trio

    from voicetrio.connection.connection import open_connection
    from voicetrio.connection.dialling import websocket_dialler
    from voicetrio.runtime.emit import EventHub, emitting_to

    lost: list[float] = []
    usable: list[float] = []
    late: list[float] = []
    failed = 0
    allowed: dict[str, float] = {}

    def note(event) -> None:
        nonlocal failed
        now = time.monotonic()
        if event.old == "open":
            lost.append(now)
        if event.new == "backoff":
            allowed[event.connection] = now + event.retry_in_s
        if event.new == "open":
            usable.append(now)
            tell_begun(usable, connections)
            if event.connection in allowed:
                late.append(now - allowed[event.connection])
        failed += event.new == "failed"

    async def one(number: int) -> None:
        dial = websocket_dialler(f"ws://127.0.0.1:{port}/", proxy=None)
        async with open_connection(dial, name=str(number)) as connection:
            with connection.using():
                await trio.sleep_forever()

    async def main() -> float:
        hub = EventHub()
        with trio.move_on_after(seconds), emitting_to(hub), hub.observed_by(note):
            async with trio.open_nursery() as nursery:
                for number in range(connections):
                    nursery.start_soon(one, number)
        return cpu_s()

    before, begun = cpu_s(), time.monotonic()
    after = trio.run(main)
    percent = 100 * (after - before) / (time.monotonic() - begun)
    return {"cpu_percent": percent, "lost": lost, "usable": usable, "late": late, "gave_up": failed}


def run_peer(port: int, connections: int, seconds: float) -> dict[str, object]:
    """Do the same with Pipecat's WebSocket service."""
    import asyncio

    from loguru import logger
    from pipecat.services.websocket_service import WebsocketService

    logger.remove()
    lost: list[float] = []
    usable: list[float] = []
    failed = 0

    class Service(WebsocketService):
        async def _connect_websocket(self) -> None:
            self._websocket = await self._websocket_connect(f"ws://127.0.0.1:{port}/")

        async def _disconnect_websocket(self) -> None:
            if self._websocket is not None:
                await self._websocket.close()

        async def _receive_messages(self) -> None:
            usable.append(time.monotonic())
            tell_begun(usable, connections)
            async for _message in self._websocket:
                pass

        async def _maybe_try_reconnect(self, *args: object) -> bool:
            lost.append(time.monotonic())
            return await super()._maybe_try_reconnect(*args)

        async def run(self) -> None:
            nonlocal failed
            await self._connect_websocket()
            await self._receive_task_handler(self.report)
            failed += 1

        async def report(self, error: object, force_treat_as_permanent: bool = False) -> None:
            pass

    async def main() -> None:
        tasks = [asyncio.create_task(Service().run()) for _ in range(connections)]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    before, begun = cpu_s(), time.monotonic()
    asyncio.run(main())
    percent = 100 * (cpu_s() - before) / (time.monotonic() - begun)
    return {"cpu_percent": percent, "lost": lost, "usable": usable, "late": [], "gave_up": failed}


# --- the run ---


def measure(python: str, role: str, kind: str, options: argparse.Namespace) -> dict[str, object]:
    """Run one client against one server; return the figures."""
    this = os.path.abspath(__file__)
    server = subprocess.Popen(
        [sys.executable, this, "--role", "server", "--kind", kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    port, server_start = json.loads(server.stdout.readline())
    counts = ["--connections", str(options.connections), "--seconds", str(options.seconds)]
    client = subprocess.Popen(
        [python, this, "--role", role, "--port", str(port), *counts],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdout is not None
    stopped_at = 0.0
    try:
        lines = [client.stdout.readline()]
        if kind == "silent":
            time.sleep(SILENT_AT_S)
            stopped_at = time.monotonic()
            server.send_signal(signal.SIGSTOP)
        seen = json.loads([*lines, *client.stdout.readlines()][-1])
    finally:
        server.send_signal(signal.SIGCONT)
        output, _ = server.communicate("")
    ready_at = server_start + OUTAGE_AT_S + OUTAGE_S
    back = sorted(each - ready_at for each in seen["usable"] if each >= ready_at)
    noticed = sorted(each - stopped_at for each in seen["lost"] if each >= stopped_at)
    figures = {
        "cpu_percent": seen["cpu_percent"],
        "attempts_per_s": int(output) / options.seconds,
        "ms_per_attempt": 10 * seen["cpu_percent"] * options.seconds / int(output),
        "gave_up": seen["gave_up"],
        "late_s": _spread(sorted(seen["late"])),
        "usable_s": _spread(back) if kind == "outage" else None,
        "noticed_s": _spread(noticed) if kind == "silent" else None,
        "count": len(back) if kind == "outage" else len(noticed) if kind == "silent" else None,
    }
    return {"side": role, "kind": kind, **figures}


def once(connections: int, seconds: float) -> dict[str, float]:
    """Measure each side with each kind of server once, for the harness; Pipecat if it is set up.

    They run beside each other, since most of what they do is wait; each begins when the storm of first tries
    before it is over, and our outage, whose lateness is judged, is over before any other begins.
    """
    from harness.peers import python_of

    options = argparse.Namespace(connections=connections, seconds=seconds)
    runs = [(sys.executable, "ours", kind) for kind in sorted(KINDS, key="outage".__ne__)]
    peer = python_of("pipecat")
    runs += [(peer, "pipecat", kind) for kind in KINDS if peer is not None]
    begins_s = [0.0, *(ALONE_S + APART_S * place for place in range(len(runs) - 1))]

    def run(which: tuple[str, str, str], begins_s: float) -> dict[str, object]:
        time.sleep(begins_s)
        return measure(*which, options)

    with ThreadPoolExecutor(len(runs)) as pool:
        rows = list(pool.map(run, runs, begins_s))
    numbers: dict[str, float] = {}
    for row in rows:
        name = f"{row['side']}_{row['kind']}"
        numbers[f"{name}_cpu"] = row["cpu_percent"]
        numbers[f"{name}_ms_a_try"] = row["ms_per_attempt"]
        numbers[f"{name}_gave_up"] = row["gave_up"]
        if row["late_s"] is not None:
            numbers[f"{name}_late_ms"] = row["late_s"][1] * 1e3  # the 95th percentile
    return numbers


def question():
    """Return the question for the harness."""
    from harness.question import Figure, Question, Side, Target

    us, roles = "voicetrio", {"ours": "voicetrio", "pipecat": "Pipecat"}
    cpu = [
        Figure(
            f"CPU, server {kind}: {name}",
            "% of a core",
            lambda r, k=f"{role}_{kind}_cpu": r[us][k],
            Target(at_most=TARGET_CPU_PERCENT) if role == "ours" else None,
        )
        for kind in KINDS
        for role, name in roles.items()
    ]
    tries = [
        Figure(f"CPU of a try, server {kind}: {name}", "ms", lambda r, k=f"{role}_{kind}_ms_a_try": r[us][k])
        for kind in ("closes", "drops")
        for role, name in roles.items()
    ]
    gave_up = [
        Figure(f"gave up, server {kind}: {name}", "of 100", lambda r, k=f"{role}_{kind}_gave_up": r[us][k])
        for kind in ("closes", "drops")
        for role, name in roles.items()
    ]
    late = Figure(
        "95 of 100 tries after an outage, late by",
        "ms",
        lambda r: r[us]["ours_outage_late_ms"],
        Target(at_most=1e3 * TARGET_LATE_S),
    )
    return Question(
        name="reconnect",
        asks="what do lost connections cost?",
        # The server, the client and their sockets take turns on one core otherwise.
        sides=(Side(us, __file__, "once", arguments={"connections": 100, "seconds": 30.0}, core="any"),),
        figures=(*cpu, late, *tries, *gave_up),
        does_not_say="what a vendor's server does under load, or what TLS adds to each opening; and its "
        "thirty seconds are mostly waits: who has used up its tries has given up by then.",
        rounds=2,
        warms_up=False,  # each round is processes of its own
        round_s=56.0,
        steady=0.25,
    )


def _spread(values: list[float]) -> list[float] | None:
    """Return the median, the 95th percentile and the worst of values in order."""
    if not values:
        return None
    return [statistics.median(values), values[math.ceil(0.95 * len(values)) - 1], values[-1]]


def _show(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return " / ".join(f"{each:.3f}" for each in value)
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def judge(rows: list[dict[str, object]]) -> list[str]:
    """Return which of our targets were missed."""
    missed = []
    for row in rows:
        if row["side"] != "ours":
            continue
        if row["cpu_percent"] > TARGET_CPU_PERCENT:
            missed.append(f"{row['kind']}: {row['cpu_percent']:.1f} % of a core")
        if row["late_s"] is not None and row["late_s"][1] > TARGET_LATE_S:
            missed.append(f"{row['kind']}: usable {row['late_s'][1]:.3f} s after the allowed try")
        if row["kind"] == "silent" and (
            row["noticed_s"] is None or row["noticed_s"][-1] > 6.0 + TARGET_LATE_S
        ):
            missed.append(f"silent: noticed after {_show(row['noticed_s'])} s")
    return missed


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--peer-python", help="an interpreter that has Pipecat")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--role", choices=("server", "ours", "pipecat"), help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role == "server":
        serve(options.kind)
        return
    if options.role is not None:
        run = run_ours if options.role == "ours" else run_peer
        print(json.dumps(run(options.port, options.connections, options.seconds)), flush=True)
        return
    sides = [(sys.executable, "ours")]
    if options.peer_python:
        sides.append((options.peer_python, "pipecat"))
    rows = [measure(python, role, kind, options) for kind in options.kinds for python, role in sides]
    if options.json:
        print(json.dumps(rows))
        return
    columns = (
        "side",
        "kind",
        "cpu_percent",
        "attempts_per_s",
        "ms_per_attempt",
        "gave_up",
        "late_s",
        "usable_s",
        "noticed_s",
        "count",
    )
    print(" | ".join(columns) + "   (three figures: median / 95th percentile / worst)")
    for row in rows:
        print(" | ".join(_show(row[column]) for column in columns))
    missed = judge(rows)
    print("targets: " + ("met" if not missed else "missed: " + "; ".join(missed)))


if __name__ == "__main__":
    main()
