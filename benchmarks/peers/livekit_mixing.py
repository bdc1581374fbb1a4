"""LiveKit's side of ``mixing.py``: its mixer adds two streams of frames that are there already.

Runs in LiveKit's own environment.  Neither stream has a gain, so it does less than ours, whose bed has one
and is ducked.
"""

from __future__ import annotations

import asyncio
import time

from livekit.rtc import AudioFrame, AudioMixer


class _Stream:
    """Gives the same frame for ever."""

    def __init__(self, frame: AudioFrame) -> None:
        self._frame = frame

    def __aiter__(self) -> _Stream:
        return self

    async def __anext__(self) -> AudioFrame:  # noqa: ASYNC124  # the mixer wants it so
        return self._frame  # noqa: ASYNC910  # asyncio has no such rule


async def _mix(rate: int, ticks: int) -> float:
    samples = rate // 50
    frame = AudioFrame(bytes(2 * samples), rate, 1, samples)
    mixer = AudioMixer(rate, 1, blocksize=samples)
    for stream in (_Stream(frame), _Stream(frame)):
        mixer.add_stream(stream)
    began = time.process_time()
    for _ in range(ticks):
        await mixer.__anext__()
    spent_s = time.process_time() - began
    await mixer.aclose()
    return spent_s


def measure(rate: int, ticks: int) -> dict[str, float]:
    """Return microseconds of CPU a tick."""
    return {"us": asyncio.run(_mix(rate, ticks)) / ticks * 1e6}
