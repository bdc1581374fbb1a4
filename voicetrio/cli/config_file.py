"""Options of a command from a TOML file: the same names as its flags, one a line, and errors that name the
line.

A command that has an option ``--config`` takes such a file.  What the command line says goes before it.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from cyclopts import App
from cyclopts.argument import ArgumentCollection
from cyclopts.config import Dict

from voicetrio.errors import ConfigError

__all__ = ["read_options", "take_from_file"]

OPTION = "--config"
MAX_BYTES = 1 << 20
_KEY = re.compile(r"^\s*[\"']?([A-Za-z0-9_-]+)[\"']?\s*=", re.MULTILINE)


def take_from_file(_app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Fill what the command line left open from the file of ``--config``, if the command has one.

    For ``App(config=...)``.  Raises ConfigError for a file that cannot be used, and what cyclopts raises for
    an unknown option or a wrong value, with file and line as its source.
    """
    try:
        option = arguments.match(OPTION)[0]
    except ValueError:
        return
    if not option.tokens:
        return
    path = Path(option.tokens[0].value)
    for name, (line, value) in read_options(path).items():
        if f"--{name.replace('_', '-')}" == OPTION:
            raise ConfigError(f"{path}:{line}: a file cannot name another one")
        source = Dict({name: value}, use_commands_as_keys=False, source=f"{path}:{line}")
        source(_app, commands, arguments)


def read_options(path: Path) -> dict[str, tuple[int, Any]]:
    """Return the values of a flat TOML file by key, each with its line.  Raises ConfigError with the line."""
    try:
        text = path.read_bytes()[: MAX_BYTES + 1].decode()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: it is not UTF-8 text") from error
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{path}: it is longer than {MAX_BYTES} bytes")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, place = str(error).rpartition(" (at ")
        found = re.search(r"line (\d+)", place)
        line = int(found[1]) if found else text.count("\n") + 1  # "at end of document"
        raise ConfigError(f"{path}:{line}: {what or error}") from error
    lines = _lines(text)
    for name, value in values.items():
        if isinstance(value, dict):
            line = lines.get(name) or _line_of(text, rf"^\s*\[+\s*[\"']?{re.escape(name)}\b")
            raise ConfigError(f"{path}:{line}: options stand at the top, not in a table ({name})")
    return {name: (lines.get(name, 1), value) for name, value in values.items()}


def _lines(text: str) -> dict[str, int]:
    """Return the line on which each key stands."""
    found: dict[str, int] = {}
    for match in _KEY.finditer(text):
        found.setdefault(match[1], text.count("\n", 0, match.start(1)) + 1)
    return found


def _line_of(text: str, pattern: str) -> int:
    match = re.search(pattern, text, re.MULTILINE)
    return 1 if match is None else text.count("\n", 0, match.end()) + 1
