"""What ``voicetrio bench`` does, and what a question's own file does when it is run."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from harness import charts, page, peers, results
from harness.asking import Asked, ask
from harness.budget import Budget
from harness.question import Question
from harness.questions import UnknownQuestion, find, find_all
from harness.sides import SideFailed

__all__ = ["bench", "run_alone"]

FAILED = 1
INTERRUPTED = 130
"""128 + SIGINT, as a shell has it."""
WRONG_USAGE = 2
MINUTES = 18.0
"""A run of everything is over by then, about, and setting up the peers takes less than what is left of 20."""


def bench(
    names: Sequence[str] = (),
    *,
    list_questions: bool = False,
    setup_peers: bool = False,
    effort: float = 1.0,
    minutes: float = MINUTES,
    as_json: bool = False,
    write: bool = True,
) -> int:
    """Ask the questions of these names (all, for none); return the exit status.

    Args:
        names: of questions.
        list_questions: only list them.
        setup_peers: only make the peers' environments.
        effort: scales the number of rounds.
        minutes: noise is not measured again when that would make the run longer than this.
        as_json: print the answers as one JSON object and no table.
        write: bring results, page and charts up to date.
    """
    console, errors = Console(highlight=False), Console(stderr=True, highlight=False)
    if list_questions:
        for question in find_all():
            console.print(f"{question.name:<18} {question.asks}", soft_wrap=True, markup=False)
        return 0
    if setup_peers:
        return _set_up(errors)
    try:
        questions = find(tuple(names))
    except UnknownQuestion as error:
        errors.print(str(error), soft_wrap=True, markup=False)
        return WRONG_USAGE
    budget = Budget(questions, effort, minutes * 60)
    asked, failures, status = _ask_all(questions, effort, budget, errors)
    if as_json:
        print(json.dumps({each.question.name: results.as_json(each) for each in asked}, indent=1))
    else:
        for each in asked:
            _print(console, each)
    if write and asked:
        _write(asked, errors)
    for failure in failures:
        errors.print(failure, markup=False, soft_wrap=True)
    return status


def run_alone(question: Question, arguments: Sequence[str] | None = None) -> int:
    """Run one question's file: measure, print, write nothing."""
    parser = argparse.ArgumentParser(description=question.asks)
    parser.add_argument("--effort", type=float, default=1.0, help="scales the number of rounds")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    return bench([question.name], effort=options.effort, as_json=options.json, write=False)


def _set_up(errors: Console) -> int:
    try:
        peers.set_up(lambda text: errors.print(text, markup=False))
    except subprocess.CalledProcessError as error:
        errors.print(f"a peer's environment was not made: {error}", markup=False)
        return FAILED
    return 0


def _ask_all(
    questions: Sequence[Question], effort: float, budget: Budget, errors: Console
) -> tuple[list[Asked], list[str], int]:
    """Ask one after the other; a question that fails does not keep the others from being asked.

    Returns what was answered, what failed, and the exit status.
    """
    asked: list[Asked] = []
    failures: list[str] = []
    status = 0
    errors.print(_estimate(len(questions), budget), markup=False, soft_wrap=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        bar = progress.add_task("benchmarks", total=budget.planned_s)
        done_s = 0.0
        for question in questions:
            name, lasts_s = question.name, question.planned_s(effort)
            budget.begin(question)

            def say(what: str, name: str = name) -> None:
                progress.update(bar, description=f"{name}: {what}")

            def advance(part: float, before_s: float = done_s, lasts_s: float = lasts_s) -> None:
                progress.update(bar, completed=before_s + lasts_s * part)

            try:
                asked.append(ask(question, effort=effort, say=say, advance=advance, may_last=budget.allows))
            except SideFailed as error:
                failures.append(f"{name}: {error}")
                status = FAILED
            except KeyboardInterrupt:
                failures.append(f"{name}: interrupted; it and those after it were not asked")
                status = INTERRUPTED
                break
            done_s += lasts_s
            progress.update(bar, completed=done_s)
    return asked, failures, status


def _estimate(count: int, budget: Budget) -> str:
    named = "1 question" if count == 1 else f"{count} questions"
    if budget.planned_s < 60:
        return f"{named}: about {budget.planned_s:.0f} s, more if it is noisy"
    planned, longest = budget.planned_s / 60, budget.longest_s / 60
    return f"{named}: about {planned:.0f} minutes, at most {longest:.0f} if it is noisy"


def _print(console: Console, asked: Asked) -> None:
    title = f"\n{asked.question.name}: {asked.question.asks}"
    console.print(title, style="bold", markup=False, soft_wrap=True)
    width = max((len(each.figure.name) for each in asked.answers), default=0)
    for each in asked.answers:
        target = each.figure.target
        judged = "" if target is None else f"  target {target}: {each.verdict}"
        console.print(f"  {each.figure.name:<{width}}  {each}{judged}", markup=False, soft_wrap=True)
    if asked.left_out:
        console.print(
            f"  left out: {', '.join(asked.left_out)} (voicetrio bench --setup-peers)",
            markup=False,
            soft_wrap=True,
        )


def _write(asked: Sequence[Asked], errors: Console) -> None:
    kept = results.read()
    for each in asked:
        results.merge(kept, each)
    results.write(kept)
    try:
        drawn = charts.draw(kept)
    except charts.ChartsMissing as error:
        errors.print(str(error), markup=False, soft_wrap=True)
        drawn = frozenset()
    page.PAGE.write_text(page.page(kept, drawn), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(bench(sys.argv[1:]))
