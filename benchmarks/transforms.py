"""What does a fused transform cost a frame?

    python benchmarks/transforms.py [--effort E] [--json]

A source, 0 to 100 transforms that return what they were given, and a sink; a transform's cost is the slope.
The floor is the same number of plain calls in the source itself.
"""

from __future__ import annotations

import statistics
import sys
import time

import trio
from harness.question import Figure, Question, Round, Side, Target

DEPTHS = [0, 10, 50, 100]
FRAMES = 2000


def same(frame):
    """The cheapest transform there is."""
    return frame


async def row(depth: int, fused: bool, live: bool) -> float:
    """Return seconds of CPU a frame."""
    from voicetrio.frames import AudioFrame
    from voicetrio.runtime.pipeline import pipeline
    from voicetrio.runtime.transforms import transform

    frame = AudioFrame.silence(320, 16_000)
    tell, told = trio.open_memory_channel[None](1)
    calls = () if fused else (same,) * depth

    async def source(outlet) -> None:
        for _ in range(FRAMES):
            value = frame
            for call in calls:
                value = call(value)
            await outlet.send(value)
            if live:
                await told.receive()

    async def sink(inlet) -> None:
        async for _ in inlet:
            if live:
                await tell.send(None)

    transforms = [transform(same) for _ in range(depth)] if fused else []
    whole = pipeline(source, *transforms, sink)
    began = time.process_time()
    await whole.run()
    return (time.process_time() - began) / FRAMES


def measure(fused: bool) -> dict[str, float]:
    """Return microseconds of CPU a frame by the number of transforms, live and saturated."""
    numbers = {}
    for depth in DEPTHS:
        numbers[f"live_{depth}"] = trio.run(row, depth, fused, True) * 1e6
        numbers[f"saturated_{depth}"] = trio.run(row, depth, fused, False) * 1e6
    return numbers


def one_more(each: Round, side: str, kind: str) -> float:
    """Return what one transform more costs, in microseconds."""
    return statistics.linear_regression(DEPTHS, [each[side][f"{kind}_{depth}"] for depth in DEPTHS]).slope


def question() -> Question:
    """Return the question for the harness."""
    return Question(
        name="transforms",
        asks="what does a fused transform cost a frame?",
        sides=(
            Side("voicetrio", __file__, "measure", arguments={"fused": True}),
            Side("plain calls", __file__, "measure", arguments={"fused": False}),
        ),
        figures=(
            Figure("live", "us", lambda r: one_more(r, "voicetrio", "live"), Target(at_most=0.5)),
            Figure("saturated", "us", lambda r: one_more(r, "voicetrio", "saturated")),
            Figure("a plain call", "us", lambda r: one_more(r, "plain calls", "saturated")),
        ),
        does_not_say="what a transform that works costs: these return what they were given.",
        rounds=7,
        round_s=0.6,
        steady=0.2,
    )


if __name__ == "__main__":
    from harness.run import run_alone

    sys.exit(run_alone(question()))
