"""What happened in a simulation, event by event, written so that equal runs have equal traces."""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, final

import attrs

__all__ = ["Trace", "TraceEntry", "describe", "plain_name"]

LONGEST_TEXT = 200
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


@attrs.frozen
class TraceEntry:
    """One thing that happened."""

    time: float
    """Virtual seconds since the simulation began."""
    task: str
    """The task in which it happened."""
    event: str
    """``spawned``, ``exited``, an event's class, or what the scenario recorded."""
    detail: str = ""

    def __str__(self) -> str:
        """Return it as one line."""
        return f"{self.time:9.3f}  {self.task:<28}  {self.event:<16}  {self.detail}".rstrip()


@final
class Trace:
    """What happened in one simulation."""

    def __init__(
        self,
        seed: int,
        entries: tuple[TraceEntry, ...],
        schedule: array[int],
        target_step: int | None = None,
    ) -> None:
        self.seed = seed
        """What the simulation was given."""
        self.entries = entries
        """What happened, in order."""
        self.target_step = target_step
        """The number of the task step in which ``sim.target`` was set; None if it never was."""
        self._schedule = schedule

    @property
    def task_steps(self) -> int:
        """How many steps trio made, of all tasks together."""
        return len(self._schedule)

    @property
    def duration_s(self) -> float:
        """The virtual time of the last entry, in seconds."""
        return self.entries[-1].time if self.entries else 0.0

    def digest(self) -> str:
        """Return a hash of every entry and of the order of all task steps: 64 hexadecimal digits.

        Two runs with the same digest did the same things at the same times in the same order.
        """
        sha = hashlib.sha256(self._schedule.tobytes())
        for entry in self.entries:
            sha.update(repr((entry.time, entry.task, entry.event, entry.detail)).encode())
        return sha.hexdigest()

    def tail(self, count: int = 20) -> str:
        """Return the last ``count`` entries, a line each."""
        shown = self.entries[-count:]
        left_out = len(self.entries) - len(shown)
        head = [f"({left_out} entries before)"] if left_out else []
        return "\n".join([*head, *map(str, shown)])

    def __len__(self) -> int:
        return len(self.entries)

    def __str__(self) -> str:
        return self.tail(len(self.entries))

    def __repr__(self) -> str:
        return f"<trace of seed {self.seed}: {len(self.entries)} entries, {self.task_steps} task steps>"


def plain_name(name: str) -> str:
    """Return ``name`` without memory addresses, which differ between two runs."""
    return _ADDRESS.sub("", name) if "0x" in name else name


def describe(value: Any) -> str:
    """Return a short text of ``value`` that is the same in every process.

    Sets are sorted, long texts and bytes are cut, and memory addresses are left out.
    """
    match value:
        case str():
            return repr(value if len(value) <= LONGEST_TEXT else value[:LONGEST_TEXT] + "…")
        case bytes() | bytearray() | memoryview():
            return f"<{len(value)} bytes {hashlib.sha256(value).hexdigest()[:8]}>"
        case BaseException():
            return f"{type(value).__name__}({plain_name(str(value))!r})"
        case Mapping():
            return "{" + ", ".join(f"{describe(key)}: {describe(each)}" for key, each in value.items()) + "}"
        case AbstractSet():
            return "{" + ", ".join(sorted(map(describe, value))) + "}"
        case tuple() | list():
            return "[" + ", ".join(map(describe, value)) + "]"
        case _ if attrs.has(type(value)):
            return f"{type(value).__name__}({describe_fields(value)})"
        case _:
            return plain_name(repr(value))


def describe_fields(value: Any) -> str:
    """Return the fields of an attrs value that say something, as ``name=value``."""
    shown = []
    for field in attrs.fields(type(value)):
        content = getattr(value, field.name)
        if field.name != "time" and content is not None and field.repr:
            shown.append(f"{field.name}={describe(content)}")
    return ", ".join(shown)
