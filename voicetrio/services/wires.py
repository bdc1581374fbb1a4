"""What the wires of vendors share: addresses, JSON that may be anything, and errors that say what to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from voicetrio.connection.answers import meaning_of_status
from voicetrio.connection.connection import Connect
from voicetrio.connection.dialling import Headers
from voicetrio.connection.faults import Fault
from voicetrio.connection.websocket.socket import Message
from voicetrio.errors import ConfigError, ServiceError

__all__ = [
    "MALFORMED",
    "Dial",
    "Fault",
    "address",
    "check_choice",
    "check_keyterms",
    "check_range",
    "error_of_status",
    "malformed",
    "numbers",
    "parse_object",
    "read_object",
]

T = TypeVar("T")
SHOWN_CHARS: Final = 80
MALFORMED: Final = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What is raised by taking apart a value that is not what it should be."""
LARGEST: Final = 1e12
"""Greater numbers are no times, and could not be counted in samples."""


class Dial(Protocol):
    """Makes what opens a socket; ``websocket_dialler`` is the usual one."""

    def __call__(self, url: str, *, headers: Headers) -> Connect:
        """Return what opens a socket to ``url``."""
        ...


# --- addresses and options -----------------------------------------------------------------------------


def address(base: str, path: str, query: Mapping[str, object]) -> str:
    """Return the address of ``path`` at ``base`` with ``query``.

    Values of None are left out, booleans are ``true`` and ``false``, and a list gives its name to each of its
    values.  Raises ConfigError when ``base`` is no WebSocket address.
    """
    parts = urlsplit(base)
    if parts.scheme not in ("ws", "wss") or not parts.netloc:
        raise ConfigError(f"{base!r} is not the address of a service: it begins with wss:// and a host")
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        pairs += [(name, _text(each)) for each in values if each is not None]
    text = urlencode(pairs, quote_via=quote)
    return f"{base.rstrip('/')}{path}" + (f"?{text}" if text else "")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def check_choice(service: str, name: str, value: object, choices: Iterable[object]) -> None:
    """Raise ConfigError unless ``value`` is one of ``choices``."""
    allowed = tuple(choices)
    if value not in allowed:
        listed = ", ".join(str(each) for each in allowed)
        raise ConfigError(f"{service} has no {name} {value!r}: choose one of {listed}")


def check_range(service: str, name: str, value: float | None, low: float, high: float) -> None:
    """Raise ConfigError unless ``value`` is None or lies from ``low`` to ``high``."""
    if value is not None and not low <= value <= high:
        raise ConfigError(f"{name} of {service} is from {low:g} to {high:g}, not {value!r}")


def check_keyterms(service: str, terms: Sequence[str], most: int | None = None) -> list[str]:
    """Return ``terms`` as a list.

    Raises ConfigError for one text in place of several, and for more than ``most``.
    """
    if isinstance(terms, str):
        raise ConfigError(f"keyterms of {service} are several texts: write [{terms!r}]")
    if most is not None and len(terms) > most:
        raise ConfigError(f"{service} takes at most {most} keyterms, not {len(terms)}")
    return list(terms)


# --- messages ------------------------------------------------------------------------------------------


def parse_object(service: str, message: Message) -> dict[str, Any]:
    """Return the JSON object that a text message holds.  Raises ServiceError when it holds none."""
    try:
        value = json.loads(message) if isinstance(message, str) else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise malformed(service, message)
    return value


def read_object(service: str, message: Message, read: Callable[[dict[str, Any]], T]) -> T:
    """Return what ``read`` makes of the JSON object in ``message``.

    Raises ServiceError when there is none, or when ``read`` does not find in it what it should hold.
    """
    fields = parse_object(service, message)
    try:
        return read(fields)
    except MALFORMED:
        raise malformed(service, message) from None


def malformed(service: str, message: object) -> ServiceError:
    """Return the error of a message that is not of the wire; another stream may be better."""
    if isinstance(message, bytes):
        shown = f"{len(message)} bytes"
    else:
        text = message if isinstance(message, str) else json.dumps(message, default=str)
        shown = repr(text[:SHOWN_CHARS])
        if text.lstrip()[:1] == "<":
            shown += " (a page: does a proxy stand between?)"
    return ServiceError(f"sent what it does not say: {shown}", service=service, transient=True)


def numbers(values: Sequence[Any]) -> list[float]:
    """Return ``values`` as numbers.  Raises one of MALFORMED if one is none, or beyond all bounds."""
    result = [float(value) for value in values]
    if not all(abs(value) <= LARGEST for value in result):
        raise ValueError("a time is not a number")
    return result


# --- errors --------------------------------------------------------------------------------------------

_ADVICE: Final[Mapping[Fault, str]] = {
    "credentials": "check the key, and that it may use this service",
    "ours": "check the voice, the model and the options",
    "limit": "use fewer at once, or a larger plan",
    "theirs": "it may pass",
    "network": "check what stands between",
}


def error_of_status(service: str, status: int, text: str) -> ServiceError:
    """Return the error of a status that means what HTTP's does, with whose fault it is and what to do."""
    fault, transient = meaning_of_status(status)
    if status == 402:
        text = f"{text} (the account has no credit left)"
    shown = f"{text} (status {status}): {_ADVICE[fault]}"
    return ServiceError(shown, service=service, fault=fault, transient=transient)
