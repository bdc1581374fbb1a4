"""``docs/benchmarks.md``, written from the results and from nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.sides import CHECKOUT

__all__ = ["PAGE", "page"]

PAGE = CHECKOUT / "docs" / "benchmarks.md"

HEAD = """\
# Benchmarks

This page is written by `voicetrio bench`; do not edit it.
Every number is a median of rounds in which all sides took turns, pinned to one core, with its 95 % confidence interval.
Of fewer than six rounds that interval is their whole range.
Where a round is the least of several turns, it is because other work on the machine only ever makes a time longer.
A ratio is taken within a round, so both its sides saw the same minute of the same machine.
*Undecided* means that the interval straddles the target, and *noisy* that it is too wide for its middle to be a number.

    pip install -e '.[bench]'
    voicetrio bench --setup-peers
    voicetrio bench

The last command asks everything and renews this page; it says first how long that will take.
`voicetrio bench NAME` asks one question again, and `voicetrio bench --list` names them.
What decides nothing is measured again as long as `--minutes` allows it, and noise if time is left then.
A busy machine makes numbers larger and intervals wider, on both sides of a ratio: run it on a quiet one.
All samples are in [`benchmarks/results.json`](../benchmarks/results.json).
"""  # noqa: E501


def page(results: dict[str, Any], charts: frozenset[str] = frozenset()) -> str:
    """Return the page; ``charts`` names the questions that have a picture."""
    questions = results["questions"]
    parts = [HEAD, *_targets(questions)]
    for name, question in questions.items():
        parts.extend(_section(name, question, name in charts))
    return "\n".join(parts).rstrip() + "\n"


def _targets(questions: dict[str, Any]) -> Iterator[str]:
    rows = [
        f"| [{name}](#{name}) | {figure['name']} | {figure['target']} {figure['unit']}"
        f" | {_told(figure)} | **{figure['verdict']}** |"
        for name, question in questions.items()
        for figure in question["figures"]
        if figure["target"] is not None
    ]
    if rows:
        yield "## Targets\n"
        yield "| Question | Figure | Target | Measured | Verdict |\n|---|---|---|---|---|"
        yield "\n".join(rows) + "\n"


def _section(name: str, question: dict[str, Any], has_chart: bool) -> Iterator[str]:
    yield f"## {name}\n"
    yield f"{question['asks'][0].upper()}{question['asks'][1:]}\n"
    yield f"    {question['command']}\n"
    yield "| Figure | Measured | 95 % | Target | Verdict |\n|---|---|---|---|---|"
    for figure in question["figures"]:
        target = "" if figure["target"] is None else f"{figure['target']} {figure['unit']}"
        verdict = "" if figure["target"] is None else figure["verdict"]
        yield f"| {figure['name']} | {_value(figure)} | {_interval(figure)} | {target} | {verdict} |"
    yield ""
    if has_chart:
        yield f"![{question['asks']}](benchmarks/{name}.svg)\n"
    if question["left_out"]:
        yield f"Left out, because its environment was not set up: {', '.join(question['left_out'])}.\n"
    yield f"**What this does not say:** {question['does_not_say']}\n"
    yield f"{_effort(question)} {_machine(question['machine'])}\n"


def _machine(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    changed = " with changed files" if machine["changed_files"] else ""
    return (
        f"Measured on {machine['processor']}, {machine['cores']} cores, {machine['system']},"
        f" Python {machine['python']}, {versions}; commit {machine['commit']}{changed};"
        f" load before {machine['load_before']}."
    )


def _effort(question: dict[str, Any]) -> str:
    count = len(question["rounds"])
    least_of = question.get("least_of", 1)
    each = f", each the least of {least_of}," if least_of > 1 else ""
    return f"{count} {'round' if count == 1 else 'rounds'}{each} in {question['took_s']:.0f} s."


def _told(figure: dict[str, Any]) -> str:
    return f"{_interval(figure)} {figure['unit']}, noisy" if figure["noisy"] else _value(figure)


def _value(figure: dict[str, Any]) -> str:
    return "noisy" if figure["noisy"] else f"{_short(figure['median'])} {figure['unit']}"


def _interval(figure: dict[str, Any]) -> str:
    low, high = figure["interval"]
    return "one sample" if low is None or high is None else f"{_short(low)} to {_short(high)}"


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
