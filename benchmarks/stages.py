"""What does a stage cost a frame, and how long does a frame take through a row of them?

    python benchmarks/stages.py [--effort E] [--json]

Stages that pass frames on, 1, 5, 10 and 20 in a row.  *Live* is one frame at a time, as speech is;
*saturated* is as fast as it goes.  A stage's cost is the slope over the number of stages, so source, sink and
measuring are not in it.  The floor is the same row over ``trio.open_memory_channel(1)``; the peer is a row of
Pipecat's processors.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from functools import partial
from pathlib import Path

import trio
from harness.question import Figure, Question, Round, Side, Target

DEPTHS = [1, 5, 10, 20]
FRAMES = 300
PEER = str(Path(__file__).parent / "peers" / "pipecat_stages.py")


async def pass_on(inlet, outlet) -> None:
    """The stage of every measurement."""
    async with inlet, outlet:
        async for frame in inlet:
            await outlet.send(frame)


class Ends:
    """A source and a sink; live, the source waits for each frame's arrival."""

    def __init__(self, frames: int, live: bool) -> None:
        from voicetrio.frames import AudioFrame

        self._frame = AudioFrame.silence(320, 16_000)
        self._frames = frames
        self._live = live
        self._tell, self._told = trio.open_memory_channel[None](1)
        self.latencies: list[float] = []
        self.cpu_s = 0.0

    async def source(self, outlet) -> None:
        """Send every frame."""
        began = time.process_time()
        async with outlet:
            for _ in range(self._frames):
                sent = time.perf_counter()
                await outlet.send(self._frame)
                if self._live:
                    await self._told.receive()
                    self.latencies.append(time.perf_counter() - sent)
            if not self._live:
                await self._told.receive()
        self.cpu_s = (time.process_time() - began) / self._frames

    async def sink(self, inlet) -> None:
        """Take every frame."""
        count = 0
        async for _ in inlet:
            count += 1
            if self._live or count == self._frames:
                await self._tell.send(None)


async def ours(ends: Ends, depth: int) -> None:
    """Run a pipeline of so many stages."""
    from voicetrio.runtime.pipeline import pipeline

    await pipeline(ends.source, *([pass_on] * depth), ends.sink).run()


async def bare(ends: Ends, depth: int) -> None:
    """Run the same row over trio's memory channels."""
    channels = [trio.open_memory_channel(1) for _ in range(depth + 1)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends.source, channels[0][0])
        for (_, inlet), (outlet, _) in itertools.pairwise(channels):
            nursery.start_soon(pass_on, inlet, outlet)
        nursery.start_soon(ends.sink, channels[-1][1])


def measure(row: str, depths: list[int], frames: int) -> dict[str, float]:
    """Return microseconds of CPU a frame by depth, live and saturated, and the live frames' latency."""
    run = {"ours": ours, "bare": bare}[row]
    numbers = {}
    for depth in depths:
        live, saturated = Ends(frames, True), Ends(frames, False)
        trio.run(run, live, depth)
        trio.run(run, saturated, depth)
        numbers[f"live_{depth}"] = live.cpu_s * 1e6
        numbers[f"latency_{depth}"] = statistics.median(live.latencies) * 1e6
        numbers[f"saturated_{depth}"] = saturated.cpu_s * 1e6
    return numbers


def a_stage(each: Round, side: str, kind: str) -> float:
    """Return what one stage more costs, in microseconds."""
    return statistics.linear_regression(DEPTHS, [each[side][f"{kind}_{depth}"] for depth in DEPTHS]).slope


def times(each: Round, kind: str, other: str) -> float:
    """Return how many times as much a stage costs with us."""
    return a_stage(each, "voicetrio", kind) / a_stage(each, other, kind)


def latency(each: Round, side: str, depth: int) -> float:
    """Return a live frame's median time through the row, in microseconds."""
    return each[side][f"latency_{depth}"]


def question() -> Question:
    """Return the question for the harness."""
    common = {"depths": DEPTHS, "frames": FRAMES}
    us, floor, peer, lean = "voicetrio", "trio channels", "Pipecat", "Pipecat, observers off"
    figures = []
    for kind in ("live", "saturated"):
        target = Target(at_most=7) if kind == "live" else None
        figures += [
            Figure(f"{kind}, a stage: {side}", "us", partial(a_stage, side=side, kind=kind), wanted)
            for side, wanted in ((us, target), (floor, None), (peer, None), (lean, None))
        ]
        figures += [
            Figure(f"{kind}, a stage with us: / {other}", "x", partial(times, kind=kind, other=other))
            for other in (floor, peer, lean)
        ]
    figures += [
        Figure(
            f"latency, {depth} {'stage' if depth == 1 else 'stages'}: {side}",
            "us",
            partial(latency, side=side, depth=depth),
        )
        for depth in DEPTHS
        for side in (us, floor, peer)
    ]
    return Question(
        name="stages",
        asks="what does a stage cost a frame, and how long does a frame take through a row of them?",
        sides=(
            Side(us, __file__, "measure", arguments={"row": "ours", **common}),
            Side(floor, __file__, "measure", arguments={"row": "bare", **common}),
            Side(peer, PEER, "measure", arguments={**common, "observers": True}, peer="pipecat"),
            Side(lean, PEER, "measure", arguments={**common, "observers": False}, peer="pipecat"),
        ),
        figures=tuple(figures),
        does_not_say=(
            "what a stage that works costs: these only pass frames on.  Pipecat's processors can do more "
            "than pass on, its queues have no bound, and in a saturated row they hold everything at once."
        ),
        rounds=5,
        round_s=6.5,
        least_of=3,
    )


if __name__ == "__main__":
    from harness.run import run_alone

    sys.exit(run_alone(question()))
