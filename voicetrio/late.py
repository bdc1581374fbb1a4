"""Names of a package whose modules are loaded when the names are first used.

    __getattr__ = late_names(__name__, {"voicetrio.audio.wav": ("WavReader", "WavWriter")})

A package tells type checkers of them in its ``if TYPE_CHECKING`` block.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["late_names"]


def late_names(package: str, names_by_module: Mapping[str, Iterable[str]]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of ``package``; it raises AttributeError for any other name."""
    homes = {name: module for module, names in names_by_module.items() for name in names}

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)  # the next use finds it without this function
        return value

    return load
