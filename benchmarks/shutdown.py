"""How long does a session take to stop, and what still runs after it?

    python benchmarks/shutdown.py [--effort E] [--json]

First a healthy session of ten stages, and one with each stuck behaviour, cancelled again and again.  As a
floor, ten tasks that pass items on through trio's own channels.  The time on the CPU tells how much of the
longest times was a wait for one.  Then the situations in which voice agents hang in the field, each beside
Pipecat in the same run:

* N1: a background sound plays, the peer is gone, and the end comes a second late.
* N2: the peer takes every write at once and says nothing of being gone.
* N3: every send to the peer fails.
* N4: the end is stuck in one stage; then the session is cancelled.
* N5: the peer stops reading; then the session is ended, or cancelled.
* N6: one stage object is put into two live pipelines.

A wait that was in vain counts as its limit, ``LIMIT_S``.
"""

from __future__ import annotations

import gc
import itertools
import math
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np
import trio
from harness.question import Figure, Question, Side, Target
from harness.statistics import quantile

from voicetrio.audio.mixer import Mixer
from voicetrio.errors import SessionError, StageInUse
from voicetrio.frames import AudioFrame
from voicetrio.runtime.ending import SessionSettings
from voicetrio.runtime.pipeline import pipeline
from voicetrio.runtime.session import open_session
from voicetrio.runtime.transport import SendAudio, Traits
from voicetrio.testing.faults import peers, stages
from voicetrio.transports.memory import memory_peer

CANCELS = 100
AFTER_S = 1.5
CLOSE_S = SessionSettings().close_s
LIMIT_S = 12.0
RATE = 16_000
TRAITS = Traits(input_rate=RATE, output_rate=RATE, echo="none")
BED = (np.random.default_rng(1).standard_normal(RATE) * 300).astype(np.int16)
PIPECAT = str(Path(__file__).parent / "peers" / "pipecat_shutdown.py")


class Watch:
    """Counts what is done after a moment: mixer calls, frames that reach the peer, CPU, memory."""

    def __init__(self, far_end) -> None:
        self._far_end = far_end
        self._mix = Mixer.mix
        self.mixes = 0

        def count(mixer, *arguments):
            self.mixes += 1
            return self._mix(mixer, *arguments)

        Mixer.mix = count

    def _now(self) -> tuple[int, int, float, float, float]:
        frames = sum(isinstance(item.operation, SendAudio) for item in self._far_end.heard)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return self.mixes, frames, usage.ru_utime + usage.ru_stime, time.perf_counter(), rss_mb()

    async def after(self) -> dict[str, float]:
        """Return what happened in the next moments."""
        gc.collect()
        before = self._now()
        await trio.sleep(AFTER_S)
        mixes, frames, cpu_s, wall_s, mb = (b - a for a, b in zip(before, self._now(), strict=True))
        return {
            "mixes_after": mixes,
            "frames_after": frames,
            "cpu_after": 100 * cpu_s / wall_s,
            "growth_mb": mb,
        }

    def close(self) -> None:
        """Count no more."""
        Mixer.mix = self._mix


def rss_mb() -> float:
    """Return the memory that this process has, in megabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def microphone(far_end) -> None:
    """Send silence at the pace of a clock, until nobody takes it."""
    due = trio.current_time()
    for _ in itertools.count():
        try:
            far_end.send_audio_nowait(np.zeros(320, np.int16))
        except (trio.BrokenResourceError, trio.WouldBlock):
            return
        due += 0.02
        await trio.sleep_until(due)


# --- cancelling ------------------------------------------------------------------------------------

STUCK = {
    "swallows one cancellation": lambda: stages.SwallowingStage(),
    "shield without a deadline": lambda: stages.ShieldingStage(),
    "slow cleanup": lambda: stages.SlowCleanupStage(60.0, 60.0),
    "never returns": lambda: stages.NeverEndingStage(),
    "goodbye never answered": lambda: stages.PassingStage(),
}


def cancels(stuck: str | None, count: int) -> dict[str, float]:
    """Return how long the block of a session took to be left after ``cancel()``, in milliseconds."""

    async def run() -> list[tuple[float, float]]:
        took: list[tuple[float, float]] = []
        for _ in range(count + 1):
            row = [stages.PassingStage() for _ in range(10)]
            if stuck is not None:
                row[5] = STUCK[stuck]()
            peer, far_end = memory_peer(traits=TRAITS)
            if stuck == "goodbye never answered":
                peer = peers.SlowGoodbyePeer(peer)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(microphone, far_end)
                async with open_session(peer, pipeline(*row)) as session:
                    session.playout.start_bed(BED, fade_s=0.0)
                    await trio.sleep(0.1)
                    began = time.perf_counter(), time.thread_time()
                    session.cancel()
                took.append(milliseconds_since(*began))
                nursery.cancel_scope.cancel()
        return took

    gc.collect()
    gc.freeze()  # as the commands that serve do: what was imported is not looked through under a call
    took = trio.run(run)[1:]  # the first one warms up
    gc.unfreeze()
    return summary(took)


def bare_cancels(count: int) -> dict[str, float]:
    """Return the same for ten tasks that pass items on through memory channels, and nothing else."""

    async def stage(inlet, outlet) -> None:
        async with inlet, outlet:
            async for item in inlet:
                await outlet.send(item)

    async def run() -> list[tuple[float, float]]:
        took: list[tuple[float, float]] = []
        for _ in range(count + 1):
            first, inlet = trio.open_memory_channel(1)
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    outlet, next_inlet = trio.open_memory_channel(1)
                    nursery.start_soon(stage, inlet, outlet)
                    inlet = next_inlet
                await trio.sleep(0.01)
                began = time.perf_counter(), time.thread_time()
                nursery.cancel_scope.cancel()
            took.append(milliseconds_since(*began))
            first.close()
        return took

    return summary(trio.run(run)[1:])


def milliseconds_since(wall: float, cpu: float) -> tuple[float, float]:
    """Return how long ago that was, by the clock and on the CPU."""
    return (time.perf_counter() - wall) * 1e3, (time.thread_time() - cpu) * 1e3


def summary(took: list[tuple[float, float]]) -> dict[str, float]:
    """Return the quantiles of the times."""
    walls, cpus = zip(*took, strict=True)
    return {
        "p50": quantile(walls, 0.5),
        "p99": quantile(walls, 0.99),
        "most": max(walls),
        "cpu_p50": quantile(cpus, 0.5),
        "cpu_p99": quantile(cpus, 0.99),
    }


# --- the situations ----------------------------------------------------------------------------------


async def speak(context) -> None:
    """Say one long reply over a bed, and listen."""
    context.playout.start_bed(BED, fade_s=0.0)
    speech = context.playout.open_speech("reply")
    speech.release()
    await speech.send(AudioFrame.from_samples(np.full(3 * RATE, 1000, np.int16), RATE))
    async for _ in context.inlet:
        pass


async def n1() -> dict[str, float]:
    """The peer is gone while a bed plays; the application ends the session a second later."""
    peer, far_end = memory_peer(traits=TRAITS)
    watch = Watch(far_end)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(microphone, far_end)
        async with open_session(peer, speak) as session:
            await trio.sleep(0.5)
            began = time.perf_counter()
            far_end.hang_up()
            await session.wait_ended()
            left_s = time.perf_counter() - began
            after = await watch.after()
            session.end()
        nursery.cancel_scope.cancel()
    watch.close()
    return {"left_s": left_s, **after}


class AcceptingPeer:
    """Takes every write at once and throws it away."""

    name = "accepting"
    traits = TRAITS

    async def run(self, inbound, outbox) -> None:
        while True:
            outbox.written(await outbox.next())


async def n2() -> dict[str, float]:
    """The writes return at once, and nobody says that the peer is gone."""
    _, far_end = memory_peer(traits=TRAITS)
    watch = Watch(far_end)
    async with open_session(AcceptingPeer(), speak) as session:
        await trio.sleep(0.5)
        during = await watch.after()
        began = time.perf_counter()
        session.cancel()
    left_s = time.perf_counter() - began
    watch.close()
    return {
        "left_s": left_s,
        "mixes_per_s": during["mixes_after"] / AFTER_S,
        "cpu_during": during["cpu_after"],
    }


class FailingPeer:
    """Every write of it fails."""

    name = "failing"
    traits = TRAITS

    def __init__(self) -> None:
        self.tried = 0

    async def run(self, inbound, outbox) -> None:
        await outbox.next()
        self.tried += 1
        raise OSError("the call is over")


async def n3() -> dict[str, float]:
    """Every send fails, and a message is sent."""
    peer = FailingPeer()
    began = time.perf_counter()
    try:
        async with open_session(peer, speak) as session:
            session.send_message({"hello": 1})
            await trio.sleep(LIMIT_S)
    except SessionError:
        pass
    left_s = time.perf_counter() - began
    _, far_end = memory_peer(traits=TRAITS)
    watch = Watch(far_end)
    after = await watch.after()
    watch.close()
    return {"left_s": left_s, "failed_sends": peer.tried, **after}


async def n4() -> dict[str, float]:
    """The end is stuck in a stage; then cancel."""
    peer, far_end = memory_peer(traits=TRAITS)
    watch = Watch(far_end)
    async with open_session(peer, pipeline(stages.NeverEndingStage(), stages.SilentStage())) as session:
        session.playout.start_bed(BED)
        await trio.sleep(0.2)
        session.end(grace=LIMIT_S)
        await trio.sleep(0.3)
        began = time.perf_counter()
        session.cancel()
    left_s = time.perf_counter() - began
    after = await watch.after()
    watch.close()
    return {"left_s": left_s, **after}


async def n5() -> dict[str, float]:
    """The peer stops reading; then the session is ended with a grace of a second, or cancelled."""
    numbers = {}
    for how in ("end", "cancel"):
        peer, far_end = memory_peer(traits=TRAITS)
        watch = Watch(far_end)
        async with open_session(peer, speak) as session:
            await trio.sleep(0.3)
            far_end.stop_reading()
            await trio.sleep(0.5)
            began = time.perf_counter()
            session.end(grace=1.0) if how == "end" else session.cancel()
        numbers[f"{how}_left_s"] = time.perf_counter() - began
        numbers.update(await watch.after())
        watch.close()
    return numbers


async def n6() -> dict[str, float]:
    """One stage object in two live pipelines."""
    stage = stages.BurstStage(1)
    first, far_end = memory_peer(traits=TRAITS)
    refused = 0.0
    async with open_session(first, pipeline(stage)) as session:
        try:
            pipeline(stage)
        except StageInUse:
            refused = 1.0
        far_end.send_audio_nowait(np.full(1600, 7, np.int16))
        await trio.sleep(0.2)
        began = time.perf_counter()
        session.cancel()
    left_s = time.perf_counter() - began
    own = sum(int(np.count_nonzero(frame.samples)) for frame in far_end.audio)
    return {"left_s": left_s, "refused": refused, "stolen_frames": 0.0 if own else 1.0}


SITUATIONS = {"N1": n1, "N2": n2, "N3": n3, "N4": n4, "N5": n5, "N6": n6}


def situation(name: str) -> dict[str, float]:
    """Run one situation."""
    return {key: float(value) for key, value in trio.run(SITUATIONS[name]).items()}


# --- the question ------------------------------------------------------------------------------------

MEASURES = {
    "N1": (
        ("left_s", "s"),
        ("mixes_after", ""),
        ("frames_after", ""),
        ("cpu_after", "%"),
        ("growth_mb", "MB"),
    ),
    "N2": (("left_s", "s"), ("mixes_per_s", "/s"), ("cpu_during", "%")),
    "N3": (("left_s", "s"), ("failed_sends", ""), ("cpu_after", "%"), ("growth_mb", "MB")),
    "N4": (("left_s", "s"), ("mixes_after", ""), ("frames_after", ""), ("growth_mb", "MB")),
    "N5": (("end_left_s", "s"), ("cancel_left_s", "s"), ("mixes_after", ""), ("frames_after", "")),
    "N6": (("left_s", "s"), ("refused", ""), ("stolen_frames", "")),
}
TARGETS = {
    ("N1", "mixes_after"): Target(at_most=0),
    ("N1", "frames_after"): Target(at_most=0),
    ("N1", "cpu_after"): Target(at_most=2),
    ("N1", "growth_mb"): Target(at_most=0.5),
    ("N3", "cpu_after"): Target(at_most=2),
    ("N4", "left_s"): Target(at_most=CLOSE_S + 0.02),
    ("N4", "mixes_after"): Target(at_most=0),
    ("N4", "frames_after"): Target(at_most=0),
    ("N5", "cancel_left_s"): Target(at_most=CLOSE_S + 0.02),
    ("N5", "end_left_s"): Target(at_most=1.0 + CLOSE_S + 0.02),
    ("N5", "mixes_after"): Target(at_most=0),
    ("N5", "frames_after"): Target(at_most=0),
    ("N6", "refused"): Target(at_least=1),
}


def question() -> Question:
    """Return the question for the harness."""
    sides = [
        Side("healthy", __file__, "cancels", arguments={"stuck": None, "count": CANCELS}),
        Side("bare trio", __file__, "bare_cancels", arguments={"count": CANCELS}),
    ]
    figures = [
        Figure("cancel, healthy: p50", "ms", lambda r: r["healthy"]["p50"]),
        Figure("cancel, healthy: p99", "ms", lambda r: r["healthy"]["p99"], Target(at_most=5)),
        Figure("cancel, healthy: p50 on the CPU", "ms", lambda r: r["healthy"]["cpu_p50"]),
        Figure("cancel, healthy: p99 on the CPU", "ms", lambda r: r["healthy"]["cpu_p99"], Target(at_most=5)),
        Figure("cancel, bare trio: p50", "ms", lambda r: r["bare trio"]["p50"]),
        Figure("cancel, bare trio: p99", "ms", lambda r: r["bare trio"]["p99"]),
    ]
    for stuck in STUCK:
        sides.append(Side(stuck, __file__, "cancels", arguments={"stuck": stuck, "count": 3}))
        limit = Target(at_most=CLOSE_S * 1e3 + 20)
        figures.append(Figure(f"cancel, {stuck}: longest", "ms", lambda r, s=stuck: r[s]["most"], limit))
    for name, measures in MEASURES.items():
        sides.append(Side(name, __file__, "situation", arguments={"name": name}))
        theirs = f"{name} pipecat"
        # Once: most of these end at a limit, and that takes most of a round.
        sides.append(Side(theirs, PIPECAT, "situation", arguments={"name": name}, peer="pipecat", once=True))
        for key, unit in measures:
            label = f"{name}: {key.replace('_', ' ')}"
            figures.append(Figure(label, unit, lambda r, s=name, k=key: r[s][k], TARGETS.get((name, key))))
            figures.append(Figure(f"{label}, pipecat", unit, lambda r, s=theirs, k=key: r[s][k]))
    return Question(
        name="shutdown",
        asks="how long does a session take to stop, and what still runs after it?",
        sides=tuple(sides),
        figures=tuple(figures),
        does_not_say=(
            "how an application behaves that blocks the event loop, or that shields itself in a raw thread.  "
            "Pipecat has its own defaults; a time at the limit of the wait means that it was not over then."
        ),
        rounds=2,
        warms_up=False,  # nothing here is a matter of microseconds
        round_s=70.0,
        steady=math.inf,  # counts, and waits that end at a limit: their scatter is part of the answer
    )


if __name__ == "__main__":
    from harness.run import run_alone

    sys.exit(run_alone(question()))
