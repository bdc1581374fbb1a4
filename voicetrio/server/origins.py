"""Which web pages may connect: a browser tells the page's origin, and sends its user's cookies along.

1. A client that tells no origin is not a browser's page, and passes.
2. An origin that the server's owner allowed passes; ``*`` allows every one.
3. A page of the server itself passes: its origin is the host that the request is for.  Unless the server
   listens on loopback only and that host is not loopback: then a foreign page had its own name resolved to
   this machine (DNS rebinding).
4. Every other one is refused with 403.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import final
from urllib.parse import urlsplit

from voicetrio.connection.websocket import Refusal, UpgradeRequest
from voicetrio.errors import ConfigError
from voicetrio.server.listening import is_loopback

__all__ = ["OriginRule"]


@final
class OriginRule:
    """The rule for one server.

    Args:
        allowed: origins such as ``https://example.com``, or ``*``.
        loopback_only: whether the server listens on loopback only.

    Raises ConfigError for an origin that no browser would send.
    """

    def __init__(self, allowed: Iterable[str] = (), *, loopback_only: bool = True) -> None:
        self._allowed = {origin if origin == "*" else _normal(origin) for origin in allowed}
        self._loopback_only = loopback_only

    def __call__(self, request: UpgradeRequest) -> Refusal | None:
        """Return why ``request`` may not connect, or None."""
        origin = request.headers.get("origin")
        if origin is None or "*" in self._allowed:
            return None
        try:
            found = _normal(origin)
        except ConfigError:
            found = ""
        if found and (found in self._allowed or self._is_own(found, request.headers.get("host", ""))):
            return None
        return Refusal(403, "Pages of this origin may not connect.\n")

    def _is_own(self, origin: str, host: str) -> bool:
        parts = urlsplit(origin)
        if parts.netloc != host.lower():
            return False
        return not self._loopback_only or is_loopback(parts.hostname or "")


def _normal(origin: str) -> str:
    mistake = f"{origin!r} is not an origin: write it like https://example.com"
    try:
        parts = urlsplit(origin.lower())
        port = parts.port
    except ValueError as error:
        raise ConfigError(mistake) from error
    rest = parts.path + parts.query + parts.fragment
    if parts.scheme not in ("http", "https") or not parts.hostname or rest:
        raise ConfigError(mistake)
    default = {"http": 80, "https": 443}[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" if port in (None, default) else f"{parts.scheme}://{host}:{port}"
