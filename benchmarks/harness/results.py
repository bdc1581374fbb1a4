"""The results as JSON: one file, in which a question that is asked again replaces its old answer."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from harness.asking import Asked
from harness.peers import PEERS
from harness.sides import CHECKOUT

__all__ = ["FILE", "as_json", "merge", "read", "write"]

FILE = CHECKOUT / "benchmarks" / "results.json"


def as_json(asked: Asked) -> dict[str, Any]:
    """Return one question's answer, with every sample, so that others can count again."""
    question = asked.question
    return {
        "asks": question.asks,
        "command": f"voicetrio bench {question.name}",
        "does_not_say": question.does_not_say,
        "machine": dict(asked.machine),
        "left_out": list(asked.left_out),
        "took_s": round(asked.took_s, 1),
        "least_of": question.least_of,
        "rounds": [{side: dict(numbers) for side, numbers in each.items()} for each in asked.rounds],
        "figures": [
            {
                "name": each.figure.name,
                "unit": each.figure.unit,
                "target": None if each.figure.target is None else str(each.figure.target),
                "verdict": each.verdict,
                "noisy": each.is_noisy,
                "median": each.estimate.median,
                "interval": [_finite(each.estimate.low), _finite(each.estimate.high)],
                "quartiles": list(each.estimate.quartiles),
                "samples": each.estimate.count,
            }
            for each in asked.answers
        ],
    }


def read(path: Path = FILE) -> dict[str, Any]:
    """Return what was measured before; nothing where there is no file."""
    if not path.exists():
        return {"peers": {}, "questions": {}}
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results


def merge(results: dict[str, Any], asked: Asked) -> None:
    """Put ``asked`` into ``results``."""
    results["peers"] = {peer: list(requirements) for peer, requirements in PEERS.items()}
    results["questions"][asked.question.name] = as_json(asked)


def write(results: dict[str, Any], path: Path = FILE) -> None:
    """Write the file."""
    ordered = {**results, "questions": dict(sorted(results["questions"].items()))}
    path.write_text(json.dumps(ordered, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
