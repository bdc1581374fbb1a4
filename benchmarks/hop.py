"""What does a hop between two stages cost, and what a fused transform?

    python benchmarks/hop.py [--frames N] [--repeats N] [--stages N] [--json]

CPU time of this process per frame, in microseconds: medians of interleaved repeats, so that a noisy machine
disturbs all sides alike.  *Live* is one frame at a time, as speech is; *saturated* is as fast as it goes.
The floor is ``trio.open_memory_channel(1)`` with the same stages in the same run.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Awaitable, Callable

import attrs
import trio

from voicetrio.frames import AudioFrame
from voicetrio.runtime.links import open_link
from voicetrio.runtime.pipeline import pipeline
from voicetrio.runtime.transforms import transform

FRAME = AudioFrame.silence(320, 16_000)
OpenChannel = Callable[[], tuple[trio.abc.SendChannel, trio.abc.ReceiveChannel]]
FUSED = 10


@attrs.frozen
class Options:
    """How much to measure."""

    frames: int
    repeats: int
    stages: int


async def pass_through(inlet, outlet) -> None:
    """The stage of every measurement."""
    async with inlet, outlet:
        async for frame in inlet:
            await outlet.send(frame)


async def send_all(outlet, frames: int) -> None:
    """The source of the saturated measurements."""
    async with outlet:
        for _ in range(frames):
            await outlet.send(FRAME)


async def live_hop(open_channel: OpenChannel, options: Options) -> float:
    """Return seconds of CPU per frame and hop, with one frame on its way at a time."""
    ends = [open_channel() for _ in range(options.stages + 1)]
    async with trio.open_nursery() as nursery:
        for (_, inlet), (outlet, _) in itertools.pairwise(ends):
            nursery.start_soon(pass_through, inlet, outlet)
        async with ends[0][0] as first, ends[-1][1] as last:
            began = time.process_time()
            for _ in range(options.frames):
                await first.send(FRAME)
                await last.receive()
            spent = time.process_time() - began
    return spent / options.frames / len(ends)


async def saturated_hop(open_channel: OpenChannel, options: Options) -> float:
    """Return seconds of CPU per frame and hop, with every link as full as it gets."""
    ends = [open_channel() for _ in range(options.stages + 1)]
    async with trio.open_nursery() as nursery:
        began = time.process_time()
        nursery.start_soon(send_all, ends[0][0], options.frames)
        for (_, inlet), (outlet, _) in itertools.pairwise(ends):
            nursery.start_soon(pass_through, inlet, outlet)
        async for _ in ends[-1][1]:
            pass
        spent = time.process_time() - began
    return spent / options.frames / len(ends)


async def fused(transforms: int, options: Options) -> float:
    """Return seconds of CPU per frame of a source and a sink with so many transforms between them."""

    async def source(outlet) -> None:  # noqa: ASYNC910  # there is at least one frame
        for _ in range(options.frames):
            await outlet.send(FRAME)

    async def sink(inlet) -> None:
        async for _ in inlet:
            pass

    row = pipeline(source, *(transform(same) for _ in range(transforms)), sink)
    began = time.process_time()
    await row.run()
    return (time.process_time() - began) / options.frames


def same(frame):
    """The cheapest transform there is."""
    return frame


def measure(options: Options) -> dict[str, float]:
    """Return the medians, in microseconds, and the ratios."""
    cases: dict[str, Callable[[], Awaitable[float]]] = {
        "trio_live_us": lambda: live_hop(lambda: trio.open_memory_channel(1), options),
        "link_live_us": lambda: live_hop(open_link, options),
        "link_seconds_live_us": lambda: live_hop(lambda: open_link(max_items=50, max_s=1.0), options),
        "trio_saturated_us": lambda: saturated_hop(lambda: trio.open_memory_channel(1), options),
        "link_saturated_us": lambda: saturated_hop(open_link, options),
        "no_transform_us": lambda: fused(0, options),
        "fused_us": lambda: fused(FUSED, options),
    }
    samples: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(options.repeats):
        for name, case in cases.items():
            samples[name].append(trio.run(case) * 1e6)
    medians = {name: statistics.median(values) for name, values in samples.items()}
    return {
        **medians,
        # Of pairs taken one after the other, so that a machine that slows down meanwhile does not matter.
        "live_ratio": _ratio(samples["link_live_us"], samples["trio_live_us"]),
        "saturated_ratio": _ratio(samples["link_saturated_us"], samples["trio_saturated_us"]),
        "fused_transform_us": (medians["fused_us"] - medians["no_transform_us"]) / FUSED,
    }


def _ratio(ours: list[float], floor: list[float]) -> float:
    return statistics.median(mine / theirs for mine, theirs in zip(ours, floor, strict=True))


def once(frames: int, stages: int) -> dict[str, float]:
    """Measure each kind once, for the harness, which repeats and compares."""
    return measure(Options(frames, 1, stages))


def question():
    """Return the question for the harness."""
    from harness.question import Figure, Question, Side

    kinds = {
        "live hop over a link": "link_live_us",
        "live hop over trio's channel": "trio_live_us",
        "live hop over a link bounded in seconds": "link_seconds_live_us",
        "saturated hop over a link": "link_saturated_us",
        "saturated hop over trio's channel": "trio_saturated_us",
    }
    return Question(
        name="hop",
        asks="what does a hop over a link cost, beside trio's memory channel?",
        sides=(Side("voicetrio", __file__, "once", arguments={"frames": 500, "stages": 10}),),
        figures=(
            *(Figure(name, "us", lambda r, k=key: r["voicetrio"][k]) for name, key in kinds.items()),
            Figure("live, link / trio", "x", lambda r: r["voicetrio"]["live_ratio"]),
            Figure("saturated, link / trio", "x", lambda r: r["voicetrio"]["saturated_ratio"]),
        ),
        does_not_say="what a stage costs in a pipeline: ``stages`` measures that.",
        rounds=9,
        round_s=0.8,
    )


def report(result: dict[str, float]) -> None:
    """Print ``result`` for a person."""
    for kind in ("live", "saturated"):
        ours, floor, ratio = result[f"link_{kind}_us"], result[f"trio_{kind}_us"], result[f"{kind}_ratio"]
        print(f"{kind:>9}: a hop {ours:5.2f} us, trio's memory channel {floor:5.2f} us, ratio {ratio:.2f}")
    print(f"{'live':>9}: a hop over a link bounded in seconds {result['link_seconds_live_us']:5.2f} us")
    print(f"{'fused':>9}: a transform {result['fused_transform_us']:.2f} us more")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=1000, help="frames a measurement (%(default)s)")
    parser.add_argument("--repeats", type=int, default=9, help="measurements of each kind (%(default)s)")
    parser.add_argument("--stages", type=int, default=10, help="stages in a row (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    result = measure(Options(arguments.frames, arguments.repeats, arguments.stages))
    if arguments.json:
        print(json.dumps({name: round(value, 4) for name, value in result.items()}))
    else:
        report(result)


if __name__ == "__main__":
    main()
