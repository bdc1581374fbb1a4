"""What does the mixer cost a tick?

    python benchmarks/mixing.py [--effort E] [--json]

Speech over a looping bed, 20 ms at 24 kHz.  The floor is the least that numpy can do for the same sum: two
multiplications, an addition, rounding, clipping and the conversion, in arrays that are there already.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from harness.question import Figure, Question, Side

RATE = 24_000
TICK = RATE // 50
TICKS = 4000
PEER = str(Path(__file__).parent / "peers" / "livekit_mixing.py")


def _speech() -> np.ndarray:
    return (np.random.default_rng(1).standard_normal(TICK) * 3000).astype(np.int16)


def mix(bed: bool, speech: bool) -> dict[str, float]:
    """Return microseconds of CPU a tick of our mixer."""
    from voicetrio.audio.mixer import Mixer

    mixer = Mixer(RATE)
    if bed:
        clip = (np.random.default_rng(2).standard_normal(RATE * 10) * 500).astype(np.int16)
        mixer.start_bed(clip, fade_s=0.0)
    given = _speech() if speech else None
    began = time.process_time()
    for _ in range(TICKS):
        mixer.mix(given, TICK)
    return {"us": (time.process_time() - began) / TICKS * 1e6}


def floor() -> dict[str, float]:
    """Return microseconds of CPU a tick of numpy's own work."""
    speech, bed = _speech(), _speech()
    total, scratch = np.empty(TICK, np.float32), np.empty(TICK, np.float32)
    began = time.process_time()
    for _ in range(TICKS):
        np.multiply(speech, 1.0, out=total, dtype=np.float32)
        np.multiply(bed, 0.25, out=scratch, dtype=np.float32)
        np.add(total, scratch, out=total)
        np.rint(total, out=total)
        np.clip(total, -32768, 32767, out=total)
        total.astype(np.int16)
    return {"us": (time.process_time() - began) / TICKS * 1e6}


def question() -> Question:
    """Return the question for the harness."""
    both, bed, peer = "voicetrio, speech and bed", "voicetrio, bed", "LiveKit"
    return Question(
        name="mixing",
        asks="what does the mixer cost a tick, beside the least that numpy can do?",
        sides=(
            Side(both, __file__, "mix", arguments={"bed": True, "speech": True}),
            Side("numpy", __file__, "floor"),
            Side(bed, __file__, "mix", arguments={"bed": True, "speech": False}),
            Side(peer, PEER, "measure", arguments={"rate": RATE, "ticks": TICKS}, peer="livekit"),
        ),
        figures=(
            Figure("speech and bed", "us", lambda r: r[both]["us"]),
            Figure("bed only", "us", lambda r: r[bed]["us"]),
            Figure("numpy's floor", "us", lambda r: r["numpy"]["us"]),
            Figure("speech and bed / floor", "x", lambda r: r[both]["us"] / r["numpy"]["us"]),
            Figure("LiveKit's mixer, two streams", "us", lambda r: r[peer]["us"]),
            Figure("LiveKit's mixer / speech and bed", "x", lambda r: r[peer]["us"] / r[both]["us"]),
        ),
        does_not_say=(
            "what a tick costs in a session: there the caches are cold, and pacing and sending come on top.  "
            "LiveKit's mixer reads streams that may be late and has no gains; ours is given arrays and ducks."
        ),
        rounds=9,
        round_s=0.6,
    )


if __name__ == "__main__":
    from harness.run import run_alone

    sys.exit(run_alone(question()))
