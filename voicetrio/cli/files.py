"""Files that are named on the command line: what is wrong with one is told in a line, and before any work."""

from __future__ import annotations

from pathlib import Path

from voicetrio.errors import ConfigError

__all__ = ["STANDARD", "check_output", "decode_text", "make_folder", "read_text"]

STANDARD = "-"
"""The name that stands for standard input, or standard output."""


def read_text(path: Path) -> str:
    """Return a text file's content.  Raises ConfigError."""
    try:
        return decode_text(path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error


def decode_text(data: bytes, name: str) -> str:
    """Return ``data`` of what is called ``name`` as text.  Raises ConfigError."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: it is not UTF-8 text") from error


def check_output(name: str) -> None:
    """Raise ConfigError if no file can have this name: better now than when there is something to write."""
    path = Path(name)
    if name == STANDARD:
        return
    if path.is_dir():
        raise ConfigError(f"{name}: it is a folder: name a file in it")
    if not path.parent.is_dir():
        raise ConfigError(f"{name}: there is no folder {path.parent}")


def make_folder(path: Path) -> None:
    """Make the folder, if it is not there.  Raises ConfigError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ConfigError(f"{path}: a file of that name is in the way: name a folder") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
