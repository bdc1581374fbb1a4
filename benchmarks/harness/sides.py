"""The processes of a question's sides: started once, asked in turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, final

from harness.peers import python_of
from harness.question import Question, Round, Side

__all__ = ["OpenSides", "SideFailed", "cores", "open_sides"]

WORKER = Path(__file__).parent / "worker.py"
CHECKOUT = WORKER.parents[2]
TAIL_BYTES = 2000
CORES = "VOICETRIO_BENCH_CORES"


@final
class SideFailed(Exception):
    """A side could not be measured."""


def cores() -> tuple[int, int]:
    """Return the core that is measured on and the other one; the same one where there is only one.

    A side is told, because it sees only the core that it is pinned to.
    """
    if CORES in os.environ:
        measured, other = os.environ[CORES].split()
        return int(measured), int(other)
    usable = sorted(os.sched_getaffinity(0))
    return usable[-1], usable[0]


@final
class _Worker:
    """One side's process."""

    def __init__(self, side: Side, python: str, log: IO[bytes]) -> None:
        self.side = side
        self._log = log
        measured, other = cores()
        core = {"measured": measured, "other": other, "any": "any"}[side.core]
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), CORES: f"{measured} {other}"}
        if side.peer is not None:
            del environment["PYTHONPATH"]
        self._process = subprocess.Popen(
            # -P: the harness's own folder is no place to import from.
            [
                python,
                "-P",
                str(WORKER),
                str(core),
                side.file,
                side.function,
                json.dumps(dict(side.arguments)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
        )

    def ask(self) -> dict[str, float]:
        """Let it measure once; raises SideFailed with what it said."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        reply = json.loads(line) if line else {"error": "its process ended"}
        if "error" in reply:
            raise SideFailed(f"{self.side.name}: {reply['error']}\n{self._tail()}".rstrip())
        numbers: dict[str, float] = reply["numbers"]
        return numbers

    def close(self) -> None:
        """End the process: it ends by itself when its standard input does."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _tail(self) -> str:
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - TAIL_BYTES))
        return self._log.read().decode(errors="replace")


@final
class OpenSides:
    """The sides that can be measured here."""

    def __init__(self, workers: list[_Worker], left_out: tuple[str, ...]) -> None:
        self._workers = workers
        self._first: dict[str, dict[str, float]] = {}  # of those that are measured once
        self.left_out = left_out
        """Peers without an environment."""

    def ask_all(self, before_each: Callable[[str], None], *, backwards: bool = False) -> Round:
        """Measure every side once, each second round in the other order; raises SideFailed."""
        numbers = {}
        for worker in reversed(self._workers) if backwards else self._workers:
            before_each(worker.side.name)
            numbers[worker.side.name] = self._first.get(worker.side.name) or worker.ask()
            if worker.side.once:
                self._first[worker.side.name] = numbers[worker.side.name]
        return numbers


@contextmanager
def open_sides(question: Question) -> Iterator[OpenSides]:
    """Start the processes of ``question``, and end them with the block."""
    with ExitStack() as stack:
        workers = []
        left_out = []
        for side in question.sides:
            python = sys.executable if side.peer is None else python_of(side.peer)
            if python is None:
                left_out.append(side.name)
                continue
            log = stack.enter_context(tempfile.TemporaryFile())
            worker = _Worker(side, python, log)
            stack.callback(worker.close)
            workers.append(worker)
        yield OpenSides(workers, tuple(left_out))
