"""``--handler MODULE:NAME``: a handler of the user's own, found, judged and opened."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from voicetrio.errors import ConfigError
from voicetrio.server.serve import Handler

__all__ = ["open_handler"]


@asynccontextmanager
async def open_handler(spec: str) -> AsyncIterator[Handler]:
    """Give the handler that ``spec`` (``module:name``) names, for as long as the block lasts.

    The name is an async function that takes a peer; or a function without parameters that returns an async
    context manager which gives such a function: so a handler can load its models once.  Modules of the
    current directory are found.  Raises ConfigError that says what was missing.
    """
    module_name, colon, name = spec.partition(":")
    if not (colon and module_name and name):
        raise ConfigError(f"a handler is named MODULE:NAME, not {spec!r}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and one that it needs is not: that is its author's to see
        raise ConfigError(f"there is no module {module_name!r} here or among the installed ones") from error
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise ConfigError(f"{module_name} has no {name}")
    if _is_handler(found):
        yield found
        return
    manager: Any = found() if callable(found) and _takes_nothing(found) else None
    if not hasattr(manager, "__aenter__"):
        raise ConfigError(f"{spec} is neither an async function of a peer nor opens one")
    async with manager as handler:
        yield handler


def _takes_nothing(found: Any) -> bool:
    try:
        return not inspect.signature(found).parameters
    except ValueError:  # of something built in
        return False


def _is_handler(found: Any) -> bool:
    call = found if inspect.isfunction(found) or inspect.ismethod(found) else type(found).__call__
    return inspect.iscoroutinefunction(call)
