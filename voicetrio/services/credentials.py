"""Keys of services: from an argument or the environment, and never in a text.

A key is given to a connection as a header, which hides it from its errors.  Here it is kept where no ``repr``
shows it.
"""

from __future__ import annotations

import os
from typing import Final, final

from voicetrio.errors import ConfigError

__all__ = ["Secret", "find_key"]

_HIDDEN: Final = "…"


@final
class Secret:
    """A text that neither ``repr``, ``str`` nor a format shows; ``reveal`` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __repr__(self) -> str:
        return f"<secret {_HIDDEN}>"

    def __str__(self) -> str:
        return _HIDDEN

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written to disk or sent elsewhere")


def find_key(service: str, given: str | Secret | None, variable: str) -> Secret:
    """Return the key of ``service``: the one that is ``given``, or that of the environment ``variable``.

    Raises ConfigError when there is none, or when it cannot stand in a header.
    """
    key = given.reveal() if isinstance(given, Secret) else given
    key = (os.environ.get(variable, "") if key is None else key).strip()
    if not key:
        raise ConfigError(f"{service} needs a key: give it api_key=…, or set {variable}")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(f"the key of {service} holds characters that no key has: was it copied whole?")
    return Secret(key)
