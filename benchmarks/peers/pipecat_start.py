"""Pipecat's side of ``start.py``: import, and the start of a pipeline of one processor, in a new process."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import time
began = time.perf_counter()
import asyncio, json
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.workers.runner import WorkerRunner
imported_s = time.perf_counter() - began

class PassOn(FrameProcessor):
    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)

async def main():
    worker = PipelineWorker(Pipeline([PassOn()]), cancel_on_idle_timeout=False)
    started = asyncio.Event()
    @worker.event_handler("on_pipeline_started")
    async def on_started(worker, frame):
        started.set()
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    await asyncio.wait_for(started.wait(), 10)
    started_s = time.perf_counter() - began
    tasks = len(asyncio.all_tasks())
    await worker.cancel()
    await running
    return started_s, tasks

started_s, tasks = asyncio.run(main())
session_ms = (started_s - imported_s) * 1e3
print(json.dumps({"import_ms": imported_s * 1e3, "session_ms": session_ms,
                  "whole_ms": started_s * 1e3, "tasks": tasks}))
"""


def measure() -> dict[str, float]:
    """Run the program; return what it prints."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-500:])
    numbers: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return numbers
