"""The order in which trio runs its tasks, made to follow a seed: the one module with trio's private names.

In each round trio takes the tasks that can run and shuffles them.  For tests it can be told to sort them
first, so that the shuffle alone decides, and the shuffle draws from one ``random.Random``; both are private.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import trio

from voicetrio.errors import ConfigError

__all__ = ["CAN_SEED", "WHY_NOT", "seeded_scheduler"]

_run: Any = getattr(getattr(trio, "_core", None), "_run", None)

CAN_SEED = hasattr(_run, "_r") and hasattr(_run, "_ALLOW_DETERMINISTIC_SCHEDULING")
"""Whether this version of trio has what is needed."""
WHY_NOT = f"trio {trio.__version__} does not have the names by which its scheduler can be seeded"

# The names are one for the process: two runs in two threads must not seed them at once.
_in_use = threading.Lock()


@contextmanager
def seeded_scheduler(seed: int) -> Iterator[None]:
    """Let a ``trio.run`` inside this block schedule its tasks by ``seed``.

    What was there before is put back afterwards.

    Raises:
        ConfigError: this trio cannot be seeded, or another thread is inside such a block.
    """
    if not CAN_SEED:
        raise ConfigError(f"{WHY_NOT}: use another version of trio")
    if not _in_use.acquire(blocking=False):
        raise ConfigError("another simulation is running in this process: run them one after the other")
    before = _run._r, _run._ALLOW_DETERMINISTIC_SCHEDULING
    # A generator of our own, so that whoever else seeds trio's (Hypothesis does) sees no difference.
    _run._r, _run._ALLOW_DETERMINISTIC_SCHEDULING = random.Random(seed), True
    try:
        yield
    finally:
        _run._r, _run._ALLOW_DETERMINISTIC_SCHEDULING = before
        _in_use.release()
