"""What a service's answer means when it is not the one that was hoped for.

Every status, and every body that is not what it should be, becomes a ServiceError that says whose fault it
is.  Statuses mean what RFC 9110 section 15 says (429: RFC 6585).
"""

from __future__ import annotations

import json
from typing import Any, Final

from voicetrio.connection.error_text import one_line, text_of_error
from voicetrio.connection.faults import Fault, retry_after_s
from voicetrio.errors import ServiceError

__all__ = ["check_json_object", "error_of_status", "meaning_of_status"]

PASSING: Final = frozenset({408, 409, 425, 429})
"""Statuses below 500 after which the same request may succeed."""
_FAULTS: Final[dict[int, Fault]] = {
    401: "credentials",
    402: "limit",
    403: "credentials",
    407: "credentials",
    429: "limit",
}
_ADVICE: Final[dict[Fault, str]] = {
    "credentials": ": check the key, and that it may use this",
    "limit": ": ask less often, or have the limit raised",
    "ours": ": check the address and the options",
    "theirs": "",
    "network": "",
}


def meaning_of_status(status: int) -> tuple[Fault, bool]:
    """Return whose fault a refusal with ``status`` is, and whether it may pass."""
    may_pass = status >= 500 or status in PASSING
    return _FAULTS.get(status, "theirs" if may_pass else "ours"), may_pass


def error_of_status(
    service: str, status: int, body: str, *, content_type: str = "", retry_after: str | None = None
) -> ServiceError:
    """Return the error of an answer with ``status`` (not 2xx) and ``body``."""
    fault, transient = meaning_of_status(status)
    text = text_of_error(body, content_type)
    if "insufficient_quota" in body:
        # A quota that is used up does not come back by asking again.
        fault, transient = "limit", False
    if 300 <= status < 400:
        text = text or "the address has moved"
    named = f"HTTP {status}" if not text else f"HTTP {status}, {text}"
    return ServiceError(
        f"{named}{_ADVICE[fault]}",
        service=service,
        fault=fault,
        transient=transient,
        retry_after_s=retry_after_s(retry_after),
    )


def check_json_object(service: str, text: str | bytes) -> dict[str, Any]:
    """Return the JSON object that ``text`` holds.

    Raises ServiceError (theirs) when it is not JSON, or not an object.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        start = one_line(text if isinstance(text, str) else text.decode(errors="replace"))
        raise ServiceError(f"sent what is not JSON: {start[:80]!r}", service=service) from None
    if not isinstance(value, dict):
        raise ServiceError(f"sent {type(value).__name__} where an object belongs", service=service)
    return value
