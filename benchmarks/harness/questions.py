"""Finding the questions: the files beside the harness that have a ``question()``."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

from harness.question import Question

__all__ = ["FOLDER", "UnknownQuestion", "find", "find_all"]

FOLDER = Path(__file__).parents[1]


class UnknownQuestion(LookupError):
    """There is no question of that name."""


def find_all() -> tuple[Question, ...]:
    """Return every question, by name."""
    found = [
        importlib.import_module(path.stem).question() for path in FOLDER.glob("*.py") if _has_question(path)
    ]
    return tuple(sorted(found, key=lambda question: question.name))


def find(names: tuple[str, ...]) -> tuple[Question, ...]:
    """Return the questions of these names, all of them for none; raises UnknownQuestion."""
    every = {question.name: question for question in find_all()}
    missing = [name for name in names if name not in every]
    if missing:
        raise UnknownQuestion(f"no question {', '.join(missing)}: there are {', '.join(every)}")
    return tuple(every[name] for name in names) if names else tuple(every.values())


def _has_question(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == "question" for node in tree.body)
