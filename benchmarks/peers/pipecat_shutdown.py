"""Pipecat's side of ``shutdown.py``: the same situations, with its own transport base class and defaults.

Runs in Pipecat's own environment.  Some of these never end, so each runs in a process of its own, which is
given up after a while.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import time

AFTER_S = 1.5
LIMIT_S = 12.0
RATE = 16_000


def situation(name: str) -> dict[str, float]:
    """Run one situation in a process of its own and return its numbers."""
    done = subprocess.run(
        [sys.executable, __file__, name], capture_output=True, text=True, check=False, timeout=10 * LIMIT_S
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def main(name: str) -> None:
    """Run one situation, print its numbers, and leave without waiting for what hangs."""
    numbers = asyncio.run(_run(name))
    print(json.dumps(numbers), flush=True)
    os._exit(0)


async def _run(name: str) -> dict[str, float]:
    from loguru import logger

    logger.remove()
    numbers = await {"N1": _n1, "N2": _n2, "N3": _n3, "N4": _n4, "N5": _n5, "N6": _n6}[name]()
    print(json.dumps(numbers), flush=True)
    os._exit(0)  # asyncio.run would wait for the tasks that hang


# --- what the situations share ------------------------------------------------------------------------


def _make(**modes):
    """Return an output transport whose writes do as ``modes`` says, and its mixer."""
    from pipecat.audio.mixers.base_audio_mixer import BaseAudioMixer
    from pipecat.transports.base_output import BaseOutputTransport
    from pipecat.transports.base_transport import TransportParams

    class Bed(BaseAudioMixer):
        calls = 0

        async def start(self, sample_rate):
            pass

        async def stop(self):
            pass

        async def process_frame(self, frame):
            pass

        async def mix(self, audio):
            self.calls += 1
            return audio

    class Out(BaseOutputTransport):
        audio = modes.get("audio", "paced")
        message = modes.get("message", "ok")
        frames = 0
        failed = 0

        async def start(self, frame):
            await super().start(frame)
            await self.set_transport_ready(frame)

        async def write_audio_frame(self, frame):
            if self.audio == "blocked":
                await asyncio.Event().wait()
            if self.audio == "paced":
                await asyncio.sleep(len(frame.audio) / 2 / RATE)
                self.frames += 1
            return self.audio == "paced"

        async def send_message(self, frame):
            if self.message == "fails":
                self.failed += 1
                raise OSError("the call is over")

    bed = Bed()
    out = Out(
        TransportParams(
            audio_out_enabled=True,
            audio_out_sample_rate=RATE,
            audio_out_mixer=bed if modes.get("bed", True) else None,
        )
    )
    return out, bed


def _processors():
    from pipecat.frames.frames import EndFrame
    from pipecat.processors.frame_processor import FrameProcessor

    class PassOn(FrameProcessor):
        async def process_frame(self, frame, direction):
            await super().process_frame(frame, direction)
            await self.push_frame(frame, direction)

    class StuckAtTheEnd(FrameProcessor):
        async def process_frame(self, frame, direction):
            await super().process_frame(frame, direction)
            if isinstance(frame, EndFrame):
                await asyncio.Event().wait()
            await self.push_frame(frame, direction)

    class Late(FrameProcessor):
        async def process_frame(self, frame, direction):
            await super().process_frame(frame, direction)
            if isinstance(frame, EndFrame):
                await asyncio.sleep(1.0)
            await self.push_frame(frame, direction)

    return PassOn, StuckAtTheEnd, Late


async def _start(*row, **options):
    """Start a pipeline; return its worker and the task that runs it."""
    from pipecat.pipeline.pipeline import Pipeline
    from pipecat.pipeline.worker import PipelineWorker
    from pipecat.workers.runner import WorkerRunner

    worker = PipelineWorker(Pipeline(list(row)), cancel_on_idle_timeout=False, **options)
    started = asyncio.Event()

    @worker.event_handler("on_pipeline_started")
    async def _started(_worker, _frame):
        started.set()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    await asyncio.wait_for(started.wait(), 10)
    return worker, running


async def _left(running, began: float) -> float:
    """Return how long it took until the pipeline was over; the limit if it was not."""
    await asyncio.wait([running], timeout=LIMIT_S)
    return time.perf_counter() - began


def _rss_mb() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def _for_a_while(out, bed) -> dict[str, float]:
    """Return what is done in the next moments."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu, wall, mb = usage.ru_utime + usage.ru_stime, time.perf_counter(), _rss_mb()
    mixes, frames = bed.calls, out.frames
    await asyncio.sleep(AFTER_S)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "mixes_after": bed.calls - mixes,
        "frames_after": out.frames - frames,
        "cpu_after": 100 * (usage.ru_utime + usage.ru_stime - cpu) / (time.perf_counter() - wall),
        "growth_mb": _rss_mb() - mb,
    }


# --- the situations ----------------------------------------------------------------------------------


async def _n1():
    out, bed = _make()
    worker, running = await _start(_processors()[2](), out)
    await asyncio.sleep(0.5)
    began = time.perf_counter()
    out.audio = "gone"
    await worker.stop_when_done()
    after = await _for_a_while(out, bed)
    return {"left_s": await _left(running, began), **after}


async def _n2():
    out, bed = _make(audio="gone")
    worker, running = await _start(out)
    await asyncio.sleep(0.3)
    during = await _for_a_while(out, bed)
    began = time.perf_counter()
    await worker.cancel()
    return {
        "left_s": await _left(running, began),
        "mixes_per_s": during["mixes_after"] / AFTER_S,
        "cpu_during": during["cpu_after"],
    }


async def _n3():
    from pipecat.frames.frames import OutputTransportMessageUrgentFrame

    out, bed = _make(message="fails", bed=False)
    worker, running = await _start(out)
    began = time.perf_counter()
    await worker.queue_frame(OutputTransportMessageUrgentFrame(message={"hello": 1}))
    await asyncio.sleep(0.2)
    after = await _for_a_while(out, bed)
    failed = out.failed
    await asyncio.wait([running], timeout=3.0)
    return {"left_s": time.perf_counter() - began, "failed_sends": failed, **after}


async def _n4():
    out, bed = _make()
    worker, running = await _start(_processors()[1](), out)
    await worker.stop_when_done()
    await asyncio.sleep(0.3)
    began = time.perf_counter()
    await worker.cancel()
    left_s = await _left(running, began)
    return {"left_s": left_s, **await _for_a_while(out, bed)}


async def _n5():
    from pipecat.frames.frames import TTSAudioRawFrame

    numbers = {}
    for how in ("end", "cancel"):
        out, bed = _make(bed=False)
        worker, running = await _start(out)
        for _ in range(100):
            await worker.queue_frame(TTSAudioRawFrame(audio=bytes(640), sample_rate=RATE, num_channels=1))
        await asyncio.sleep(0.3)
        out.audio = "blocked"
        await asyncio.sleep(0.5)
        began = time.perf_counter()
        await (worker.stop_when_done() if how == "end" else worker.cancel())
        numbers[f"{how}_left_s"] = await _left(running, began)
        numbers.update(await _for_a_while(out, bed))
    return numbers


async def _n6():
    from pipecat.frames.frames import TextFrame
    from pipecat.processors.frame_processor import FrameProcessor

    class Sink(FrameProcessor):
        def __init__(self):
            super().__init__()
            self.texts = []

        async def process_frame(self, frame, direction):
            await super().process_frame(frame, direction)
            if isinstance(frame, TextFrame):
                self.texts.append(frame.text)
            await self.push_frame(frame, direction)

    shared, first, second = _processors()[0](), Sink(), Sink()
    worker, running = await _start(shared, first)
    refused = 0.0
    try:
        await _start(shared, second)
    except Exception:
        refused = 1.0
    for number in range(20):
        await worker.queue_frame(TextFrame(f"A{number}"))
    await asyncio.sleep(0.5)
    began = time.perf_counter()
    await worker.stop_when_done()
    return {"left_s": await _left(running, began), "refused": refused, "stolen_frames": len(second.texts)}


if __name__ == "__main__":
    main(sys.argv[1])
