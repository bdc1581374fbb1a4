"""Where does the time of a turn go, from the caller's last voiced sample to the reply's first?

    python benchmarks/turn_latency.py [--effort E] [--json]

Runs ``voicetrio demo --json``: the embedded agent with its models, called over a real WebSocket with recorded
speech.  Needs the extra ``local``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile

from harness.question import Figure, Question, Side, Target
from harness.statistics import quantile

PARTS = {"endpoint_ms": "endpointing", "stt_ms": "recogniser", "first_audio_ms": "model and voice"}


def measure() -> dict[str, float]:
    """Run the demo once; return medians over its turns, in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "voicetrio", "demo", "--json"],
            capture_output=True,
            text=True,
            cwd=folder,
            check=False,
        )
    if not done.stdout.strip():
        raise RuntimeError(done.stderr[-500:])
    report = json.loads(done.stdout)
    turns = [turn for turn in report["turns"] if turn.get("response_ms") is not None]
    numbers = {}
    for key in ("response_ms", "runtime_ms", *PARTS):
        values = [turn[key] for turn in turns if turn.get(key) is not None]
        if values:
            numbers[key] = quantile(values, 0.5)
            numbers[f"{key}_p95"] = quantile(values, 0.95)
    return numbers


def question() -> Question:
    """Return the question for the harness."""
    us = "voicetrio"
    return Question(
        name="turn_latency",
        asks="where does the time of a turn go, from the caller's last voiced sample to the reply's first?",
        # On any core: the models' threads need both.
        sides=(Side(us, __file__, "measure", core="any"),),
        figures=(
            Figure("voice to voice, median", "ms", lambda r: r[us]["response_ms"], Target(at_most=1300)),
            Figure("voice to voice, p95", "ms", lambda r: r[us]["response_ms_p95"], Target(at_most=1800)),
            Figure("what the runtime adds, p95", "ms", lambda r: r[us]["runtime_ms_p95"], Target(at_most=30)),
            *(Figure(f"{name}, median", "ms", lambda r, k=key: r[us][k]) for key, name in PARTS.items()),
        ),
        does_not_say="what other voices, rooms and models give: it is one caller with a handful of turns.",
        rounds=2,
        warms_up=False,  # each round is a process of its own
        round_s=38.0,
        steady=0.25,
    )


if __name__ == "__main__":
    from harness.run import run_alone

    sys.exit(run_alone(question()))
