"""A process whose event loop is not held up by its own threads and its own garbage."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["low_latency"]

SWITCH_S: Final = 0.0005


@contextmanager
def low_latency() -> Iterator[None]:
    """Let the event loop run soon, in this block, while models work in threads beside it.

    1. A thread that runs Python code keeps the interpreter for Python's switch interval, 5 ms.  The loop asks
       for it after every system call, so a request of a dozen calls would wait for 60 ms; ours is half a
       millisecond.
    2. What is imported stays.  A full collection that looks at all of it would stop the loop for some 50 ms,
       so it is told not to.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        sys.setswitchinterval(before)
