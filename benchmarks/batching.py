"""Would it pay to put the model calls of several sessions together into one batch?

    python benchmarks/batching.py [--json]

On one thread.  What a call costs a piece, alone and with others in one batch:

* the embedded voice-activity model (it takes one window), beside Silero's in ONNX, which takes many, and
  beside the bare way to a worker and back, which any batch has to pay;
* the embedded recogniser, Whisper: encoding and decoding a segment, alone and with three others.

Batching makes a call wait until enough others are there, so it has to save more than it costs; and it makes
what a session gets depend on who else calls.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import wave
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any, Final

import numpy as np
import trio

REPEATS: Final = 9
WINDOW_S: Final = {"earshot": 0.016, "silero": 0.032}
BATCH: Final = 32
SEGMENTS: Final = 4
CALLS: Final = 500


def cost_us(call: Callable[[], object], calls: int = CALLS) -> float:
    """Return the median microseconds of a call."""
    found = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        for _ in range(calls):
            call()
        found.append((time.perf_counter() - began) / calls * 1e6)
    return median(found)


def voice_activity() -> dict[str, float]:
    """Return what a window costs, and what the way to a worker costs, in microseconds."""
    from faster_whisper.vad import get_vad_model

    from voicetrio.services.local.vad import EarshotVAD

    noise = np.random.default_rng(1).integers(-2000, 2000, 1 << 15).astype(np.int16)
    vad = EarshotVAD()
    silero = get_vad_model()
    rows = (noise[: 576 * BATCH] / 32768).astype(np.float32).reshape(BATCH, 576)
    state = np.zeros((1, 1, 128), np.float32)

    def run(count: int) -> None:
        silero.session.run(None, {"input": rows[:count], "h": state, "c": state})

    many_us = cost_us(partial(run, BATCH), 20) / BATCH
    return {
        "earshot_us": cost_us(lambda: vad.probability(noise[:256])),
        "silero_us": cost_us(partial(run, 1)),
        "silero_in_a_batch_us": many_us,
        "way_to_a_worker_us": trio.run(way_to_a_worker),
    }


async def way_to_a_worker() -> float:
    """Return the microseconds of a call of a pool that does nothing."""
    from voicetrio.runtime.workers import open_model_pool

    async with open_model_pool("nothing", object) as pool:
        found = []
        for _ in range(CALLS):
            began = time.perf_counter()
            await pool.run(lambda _model: None)
            found.append((time.perf_counter() - began) * 1e6)
    return median(found)


def recogniser() -> dict[str, float]:
    """Return what a segment costs, in milliseconds, alone and with others."""
    from faster_whisper.audio import pad_or_trim

    from voicetrio.data import speech_path
    from voicetrio.services.local import stt

    whisper: Any = stt.load_whisper()
    model = whisper._model
    features = []
    for name in ("go-forward.wav", "austen-0870.wav", "austen-0880.wav", "austen-0890.wav"):
        with wave.open(str(speech_path(name))) as recording:
            pcm = np.frombuffer(recording.readframes(recording.getnframes()), "<i2")
        whole = model.feature_extractor(pcm.astype(np.float32) / 32768)
        features.append(pad_or_trim(whole, round(stt.CONTEXT_S * stt.FRAMES_PER_S)))

    def decode(rows: list[Any]) -> None:
        encoded = model.encode(np.stack(rows))
        model.model.generate(encoded, [whisper._prompt] * len(rows), beam_size=stt.BEAM)

    def alone() -> None:
        for row in features:
            decode([row])

    return {
        "segment_ms": cost_us(alone, 1) / SEGMENTS / 1000,
        "segment_in_a_batch_ms": cost_us(partial(decode, features), 1) / SEGMENTS / 1000,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    found = {**voice_activity(), **recogniser()}
    if options.json:
        print(json.dumps(found))
        return
    for name in ("earshot", "silero", "silero_in_a_batch"):
        us = found[f"{name}_us"]
        share = us / 1e6 / WINDOW_S[name.partition("_")[0]]
        print(f"{name.replace('_', ' '):22} {us:7.0f} us a window, {share:.2%} of a core a session")
    print(f"{'the way to a worker':22} {found['way_to_a_worker_us']:7.0f} us")
    batched = f"{found['segment_in_a_batch_ms']:.0f} ms with three others"
    print(f"{'a segment':22} {found['segment_ms']:7.0f} ms alone, {batched}")


if __name__ == "__main__":
    main()
