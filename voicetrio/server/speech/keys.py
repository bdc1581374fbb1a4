"""API keys: who may use the server, and under which name limits know them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import final

from voicetrio.errors import ConfigError
from voicetrio.server.speech.errors import ApiError

__all__ = ["ApiKeys"]

SHORTEST_KEY = 16


@final
class ApiKeys:
    """Keys that are let in; with none, everybody is.

    A key may be written as ``name=key``: limits are counted by name, so keys of one name share them.  Keys
    are kept as hashes, and appear in no text.  Raises ConfigError for a key that could be guessed.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._digests: list[tuple[bytes, str]] = []
        for number, entry in enumerate(keys, 1):
            name, equals, key = entry.strip().partition("=")
            if not equals:
                name, key = f"key-{number}", name
            if len(key) < SHORTEST_KEY:
                raise ConfigError(f"API key {number} is too short: use at least {SHORTEST_KEY} characters")
            self._digests.append((_digest(key), name))

    def __bool__(self) -> bool:
        return bool(self._digests)

    def __repr__(self) -> str:
        return f"<ApiKeys: {len(self._digests)}>"

    def identify(self, authorization: str | None, peer: str) -> str:
        """Return the name of the client whose ``Authorization`` header this is.

        Without keys it is ``peer``, the client's address.  Raises ApiError 401.
        """
        if not self._digests:
            return peer
        scheme, _, key = (authorization or "").partition(" ")
        given = _digest(key.strip())
        # Every key is compared, so that the time tells nothing.
        names = [name for digest, name in self._digests if hmac.compare_digest(digest, given)]
        if scheme.lower() != "bearer" or not names:
            raise ApiError(
                401,
                "a valid API key is needed: send it as 'Authorization: Bearer KEY'",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return names[0]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
