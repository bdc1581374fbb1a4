"""How late is the live path one second after the event loop stood still for half a second?

    python benchmarks/stalled_loop.py [--effort E] [--json]

A session echoes what it hears; frames of 20 ms go in by the clock, each marked by its samples, and the time
until each comes out is measured.  The loop is then blocked for 0.5 s; what came in meanwhile arrives at once.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import trio
from harness.question import Figure, Question, Side, Target
from harness.statistics import quantile

BEFORE_S = 1.5
STALL_S = 0.5
AFTER_S = 2.5
FRAME_S = 0.02
SAMPLES = 320
RATE = 16_000


async def echo() -> dict[str, float]:
    """Return the median latency before the stall, and one second after it, in milliseconds."""
    from voicetrio.runtime.pipeline import pipeline
    from voicetrio.runtime.session import open_session
    from voicetrio.runtime.transport import SendAudio, Traits
    from voicetrio.transports.memory import memory_peer

    async def pass_on(inlet, outlet) -> None:
        async for frame in inlet:
            await outlet.send(frame)

    transport, far_end = memory_peer(traits=Traits(input_rate=RATE, output_rate=RATE, echo="none"))
    sent: dict[int, float] = {}
    async with open_session(transport, pipeline(pass_on)) as session:
        begun = trio.current_time()
        stalled_at = begun + BEFORE_S
        stalled = False
        for number in range(1, round((BEFORE_S + STALL_S + AFTER_S) / FRAME_S)):
            due = begun + number * FRAME_S
            if not stalled and due >= stalled_at:
                time.sleep(STALL_S)  # noqa: ASYNC251  # the stall is what is measured
                stalled = True
            await trio.sleep_until(due)
            sent[number] = due
            await far_end.send_audio(np.full(SAMPLES, number, np.int16))
        await trio.sleep(0.2)
        session.cancel()
    heard: dict[int, float] = {}
    for each in far_end.heard:
        if isinstance(each.operation, SendAudio):
            for number in np.unique(each.operation.frame.samples):
                heard.setdefault(int(number), each.time)
    late = {number: heard[number] - due for number, due in sent.items() if number in heard}
    settled_at = stalled_at + STALL_S + 1.0
    before = [late_s for number, late_s in late.items() if begun + 0.5 <= sent[number] < stalled_at]
    after = [late_s for number, late_s in late.items() if sent[number] >= settled_at]
    return {"before_ms": quantile(before, 0.5) * 1e3, "after_ms": quantile(after, 0.5) * 1e3}


def measure() -> dict[str, float]:
    """Run one session."""
    return trio.run(echo)


def question() -> Question:
    """Return the question for the harness."""
    return Question(
        name="stalled_loop",
        asks="how late is the live path one second after the event loop stood still for half a second?",
        sides=(Side("voicetrio", __file__, "measure"),),
        figures=(
            Figure("median before the stall", "ms", lambda r: r["voicetrio"]["before_ms"]),
            Figure("median one second after it", "ms", lambda r: r["voicetrio"]["after_ms"]),
            Figure(
                "later than before",
                "frames of 20 ms",
                lambda r: (r["voicetrio"]["after_ms"] - r["voicetrio"]["before_ms"]) / (FRAME_S * 1e3),
                Target(at_most=0.5),
            ),
        ),
        does_not_say="what was lost: a live path drops what came in during the stall, and counts it.",
        rounds=5,
        round_s=5.0,
        steady=0.25,
    )


if __name__ == "__main__":
    from harness.run import run_alone

    sys.exit(run_alone(question()))
