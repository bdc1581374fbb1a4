"""Pipecat's side of ``stages.py``: audio through a row of processors that pass it on.

Runs in Pipecat's own environment.  Microphone audio is the kind of frame that costs least there: a processor
handles it in the task that receives it.
"""

from __future__ import annotations

import asyncio
import time

from loguru import logger
from pipecat.frames.frames import Frame, InputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

logger.remove()

PCM = bytes(640)


class PassOn(FrameProcessor):
    """Passes every frame on, as the base class leaves it to each processor to do."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)


class Arrive(FrameProcessor):
    """Counts audio, and says when it came."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.awaited = 0
        self.arrived = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            self.count += 1
            if self.count >= self.awaited:
                self.arrived.set()
        await self.push_frame(frame, direction)


def _frame() -> InputAudioRawFrame:
    return InputAudioRawFrame(audio=PCM, sample_rate=16_000, num_channels=1)


async def _row(depth: int, frames: int, live: bool, observers: bool) -> tuple[float, list[float]]:
    first, last = PassOn(), Arrive()
    row = Pipeline([first, *(PassOn() for _ in range(depth)), last])
    worker = PipelineWorker(
        row,
        cancel_on_idle_timeout=False,
        enable_rtvi=None if observers else False,
        enable_turn_tracking=observers,
    )
    started = asyncio.Event()

    @worker.event_handler("on_pipeline_started")
    async def _started(_worker: object, _frame: object) -> None:
        started.set()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    await asyncio.wait_for(started.wait(), 10)
    latencies: list[float] = []
    began = time.process_time()
    if live:
        for count in range(frames):
            last.awaited = count + 1
            last.arrived.clear()
            sent = time.perf_counter()
            await first.queue_frame(_frame())
            await last.arrived.wait()
            latencies.append(time.perf_counter() - sent)
    else:
        last.awaited = frames
        for _ in range(frames):
            await first.queue_frame(_frame())
        await last.arrived.wait()
    spent = (time.process_time() - began) / frames
    await worker.cancel()
    await running
    return spent, latencies


def measure(depths: list[int], frames: int, observers: bool) -> dict[str, float]:
    """Return microseconds of CPU a frame by depth, live and saturated, and the live frames' latency."""
    numbers = {}
    for depth in depths:
        spent, latencies = asyncio.run(_row(depth, frames, True, observers))
        numbers[f"live_{depth}"] = spent * 1e6
        numbers[f"latency_{depth}"] = sorted(latencies)[len(latencies) // 2] * 1e6
        numbers[f"saturated_{depth}"] = asyncio.run(_row(depth, frames, False, observers))[0] * 1e6
    return numbers
