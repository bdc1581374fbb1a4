"""The process of one side: loads a function, and calls it each time that it is told to.

    python worker.py CORE FILE FUNCTION ARGUMENTS

A line on standard input is one call, a line of JSON on standard output its answer.  Between calls it
sleeps, so that the sides of a question can take turns on one core.  It runs in peers' environments, too: it
needs the standard library only.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import sys
import time
import traceback

__all__ = []


def load(file: str, function: str):
    """Return the function; its file's folder is where it imports from."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(file)))
    name = "measured_" + os.path.basename(file).removesuffix(".py")
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return getattr(module, function)


def measured(function, arguments) -> dict:
    """Call ``function``; return its numbers, with the call's times and how often others took the core."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    numbers = function(**arguments)
    wall_s = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    whole = {"wall_s": wall_s, "cpu_s": cpu_s, "preempted": after.ru_nivcsw - before.ru_nivcsw}
    return {"numbers": {**whole, **numbers}}


def main() -> None:
    """Answer until standard input ends."""
    core, file, function_name, arguments = sys.argv[1:5]
    if core != "any":
        os.sched_setaffinity(0, {int(core)})
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a measured library prints is no answer
    function = None
    for _ in sys.stdin:
        try:
            function = function or load(file, function_name)
            reply = measured(function, json.loads(arguments))
        except Exception as exc:
            traceback.print_exc()
            reply = {"error": f"{type(exc).__name__}: {exc}"}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
