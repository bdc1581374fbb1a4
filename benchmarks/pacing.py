"""How late does the playout wake, beside bare trio sleepers?

    python benchmarks/pacing.py [--effort E] [--json]

1, 50, 100 and 200 sessions in one process and on one core, each with a looping bed, so that each makes 50
frames a second; their phases are spread evenly.  The floor is as many tasks that only sleep until such
deadlines.  Measured is when a tick or a task that slept goes on, before it does anything.  *Loaded* means
that another process wants the whole core, too.
"""

from __future__ import annotations

import gc
import math
import os
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import trio
from harness.question import Figure, Question, Side, Target
from harness.statistics import quantile

COUNTS = [1, 50, 100, 200]
LASTS_S = 0.9
WARM_S = 0.3
OPENING_S = 0.006
"""Time that each session is given to open, before anything is counted."""
TICK_S = 0.02


@contextmanager
def load(wanted: bool):
    """Keep the core that this process is pinned to busy, in another process."""
    if not wanted:
        yield
        return
    # Bounded: it ends by itself if this process does not live to end it.
    burn = "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass"
    busy = subprocess.Popen([sys.executable, "-c", burn])
    try:
        os.sched_setaffinity(busy.pid, os.sched_getaffinity(0))
        time.sleep(0.1)
        yield
    finally:
        busy.kill()
        busy.wait()


class Window:
    """When lateness counts: after everything has opened, and before anything closes."""

    def __init__(self, count: int) -> None:
        self.begins = trio.current_time() + WARM_S + OPENING_S * count
        self.ends = self.begins + LASTS_S
        self.late_s: list[float] = []

    def note(self, due: float, now: float) -> None:
        """What was due then goes on now."""
        if self.begins <= due < self.ends:
            self.late_s.append(now - due)


async def sleepers(count: int) -> list[float]:
    """Sleep as the sessions do, and do nothing else."""
    window = Window(count)

    async def tick(phase_s: float) -> None:  # noqa: ASYNC910  # the window is longer than a tick
        due = trio.current_time() + phase_s
        while due < window.ends:
            await trio.sleep_until(due)
            window.note(due, trio.current_time())
            due += TICK_S

    async with trio.open_nursery() as nursery:
        for index in range(count):
            nursery.start_soon(tick, TICK_S * index / count)
    return window.late_s


async def sessions(count: int) -> list[float]:
    """Run sessions that play a bed, as a server does: one clock for all."""
    from voicetrio.runtime.hosts import open_host
    from voicetrio.runtime.session import open_session
    from voicetrio.transports.memory import memory_peer

    bed = (np.random.default_rng(1).standard_normal(24_000) * 300).astype(np.int16)
    window = Window(count)

    async def listen(context) -> None:
        context.playout.start_bed(bed, fade_s=0.0)
        async for _ in context.inlet:
            pass

    async def one(begins_s: float) -> None:
        await trio.sleep(begins_s)
        transport, _far_end = memory_peer(max_recorded=10)
        async with open_session(transport, listen) as session:
            note_ticks(session.playout._pacer, window)
            await trio.sleep_until(window.ends)
            session.cancel()

    async with open_host(), trio.open_nursery() as nursery:
        for index in range(count):
            # One after the other: those that open at once delay each other, and their phases are chance.
            whole_ticks = math.ceil(OPENING_S * index / TICK_S)
            nursery.start_soon(one, TICK_S * (whole_ticks + index / count))
    return window.late_s


def note_ticks(pacer, window: Window) -> None:
    """Note when each tick begins: the pacer is asked before anything is done for it."""
    settle = pacer.settle

    def noting(now: float) -> float:
        window.note(pacer.due, now)
        return settle(now)

    pacer.settle = noting


def measure(what: str, loaded: bool) -> dict[str, float]:
    """Return how late they woke, in milliseconds, by how many there were."""
    run = {"sessions": sessions, "sleepers": sleepers}[what]
    numbers = {}
    with load(loaded):
        for count in COUNTS:
            gc.collect()
            late_s = trio.run(run, count)
            for name, part in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("most", 1.0)):
                numbers[f"{name}_{count}"] = max(0.0, quantile(late_s, part)) * 1e3
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


def question() -> Question:
    """Return the question for the harness."""
    sides, figures, ratios = [], [], []
    for loaded in (False, True):
        where = "loaded" if loaded else "idle"
        us, floor = f"sessions, {where}", f"sleepers, {where}"
        sides.append(Side(us, __file__, "measure", arguments={"what": "sessions", "loaded": loaded}))
        sides.append(Side(floor, __file__, "measure", arguments={"what": "sleepers", "loaded": loaded}))
        for count in COUNTS:
            target = Target(at_most=1.5) if count == 100 and not loaded else None
            for name, key in (("p50", "p50"), ("p99", "p99"), ("p99.9", "p999"), ("longest", "most")):
                if key == "p999" and count == 1:
                    continue  # too few ticks for it
                for side, who in ((us, "sessions"), (floor, "sleepers")):
                    label = f"{count} {where}: {name}, {who}"
                    figures.append(Figure(label, "ms", lambda r, s=side, k=f"{key}_{count}": r[s][k]))
            ratios.append(
                Figure(
                    f"p99 / sleepers: {count} {where}",
                    "x",
                    lambda r, u=us, f=floor, k=f"p99_{count}": r[u][k] / r[f][k],
                    target,
                )
            )
    return Question(
        name="pacing",
        asks="how late does the playout wake, beside bare trio sleepers?",
        sides=tuple(sides),
        figures=(*ratios, *figures),
        does_not_say=(
            "how late audio arrives: a peer has a lead's worth of it in its buffer.  Phases are spread "
            "evenly on both sides; sessions that began in one moment tick together.  The sessions do "
            "work in each tick and the sleepers none: of many that are due together the last waits for "
            "the rest.  Both wake by trio's timer, which counts whole milliseconds."
        ),
        rounds=5,
        warms_up=False,  # each part has its own
        round_s=28.0,
        steady=0.25,
    )


if __name__ == "__main__":
    from harness.run import run_alone

    sys.exit(run_alone(question()))
