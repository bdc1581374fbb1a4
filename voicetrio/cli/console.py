"""What the subcommands share to write on a terminal.

Results go to standard output, so that a pipe holds nothing else; progress and errors go to standard error.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import rich.box
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

__all__ = ["make_console", "make_progress", "make_table", "print_error", "print_json"]


def make_console(*, stderr: bool = False) -> Console:
    """Return a console on standard output (or standard error), made now so that redirections count."""
    return Console(stderr=stderr, highlight=False)


def make_progress() -> Progress:
    """Return a progress display on standard error, which vanishes when it is done."""
    console = make_console(stderr=True)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def make_table(*columns: str, title: str | None = None, numbers: tuple[str, ...] = ()) -> Table:
    """Return an empty table in the command's style.

    Args:
        columns: the headings.
        title: what stands above it.
        numbers: the columns whose cells are numbers, set flush right.
    """
    table = Table(title=title, title_justify="left", box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return table


def print_error(text: str) -> None:
    """Write one line on standard error."""
    make_console(stderr=True).print(Text.assemble(("voicetrio: ", "bold red"), text), soft_wrap=True)


def print_json(value: Any) -> None:
    """Write ``value`` as one JSON object on standard output.

    Raises ValueError for a number that JSON cannot carry (nan, infinity).
    """
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
