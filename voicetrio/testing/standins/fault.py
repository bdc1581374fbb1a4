"""What goes wrong on one connection to a stand-in.

A fault strikes instead of the message that the stand-in would send next, after it has sent ``after``
messages; or, where ``after_s`` is given, that many seconds after the connection was opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias, final

import attrs

from voicetrio.connection.websocket.socket import Message

__all__ = [
    "CloseWith",
    "Drop",
    "Fail",
    "Fault",
    "Garble",
    "IgnoreUpgrade",
    "Refuse",
    "Stall",
    "StopReading",
    "Tear",
]

PROXY_PAGE = "<html><head><title>502 Bad Gateway</title></head><body>proxy</body></html>"


@final
@attrs.frozen
class Refuse:
    """The opening handshake is answered with an HTTP status."""

    status: int
    text: str = ""
    headers: Mapping[str, str] = attrs.field(factory=dict)


@final
@attrs.frozen
class IgnoreUpgrade:
    """The opening handshake is never answered."""


@attrs.frozen(kw_only=True)
class _Timed:
    after: int = 0
    """How many messages the stand-in sends before."""
    after_s: float | None = None
    """Seconds after the opening, in place of ``after``."""


@final
@attrs.frozen(kw_only=True)
class CloseWith(_Timed):
    """The connection is closed with a code."""

    code: int
    reason: str = ""


@final
@attrs.frozen(kw_only=True)
class Drop(_Timed):
    """The connection is dropped without a goodbye."""


@final
@attrs.frozen(kw_only=True)
class Tear(_Timed):
    """Half of a frame is sent, and the connection is dropped."""


@final
@attrs.frozen(kw_only=True)
class Stall(_Timed):
    """Nothing is sent any more; what comes is still read, and pings are answered."""


@final
@attrs.frozen(kw_only=True)
class StopReading(_Timed):
    """Nothing is read and nothing sent any more; the connection stays."""


@final
@attrs.frozen(kw_only=True)
class Garble(_Timed):
    """Something that is not of the wire is sent instead of a message; it goes on after that."""

    message: Message = PROXY_PAGE


@final
@attrs.frozen(kw_only=True)
class Fail(_Timed):
    """The vendor's own error is sent, by its name; see the stand-in's ``errors``."""

    error: str


Fault: TypeAlias = Refuse | IgnoreUpgrade | CloseWith | Drop | Tear | Stall | StopReading | Garble | Fail
"""One of them."""
