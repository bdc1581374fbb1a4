"""What a service's answer means when it is not the one that was hoped for.

Every status, and every body that is not what it should be, becomes a ServiceError that says whose fault it
is.  Statuses mean what RFC 9110 section 15 says (429: RFC 6585); bodies are read for the places where the
speech and language services put their text.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from voicetrio.connection.faults import Fault, retry_after_s
from voicetrio.errors import ServiceError

__all__ = ["check_json_object", "error_of_status", "text_of_error"]

PASSING: Final = frozenset({408, 409, 425, 429})
LONGEST_TEXT: Final = 300
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_FAULTS: Final[dict[int, Fault]] = {401: "credentials", 402: "limit", 403: "credentials", 429: "limit"}
_ADVICE: Final[dict[Fault, str]] = {
    "credentials": ": check the key, and that it may use this",
    "limit": ": ask less often, or have the limit raised",
    "ours": ": check the address and the options",
    "theirs": "",
    "network": "",
}


def error_of_status(
    service: str, status: int, body: str, *, content_type: str = "", retry_after: str | None = None
) -> ServiceError:
    """Return the error of an answer with ``status`` (not 2xx) and ``body``."""
    fault = _FAULTS.get(status, "theirs" if status >= 500 or status in PASSING else "ours")
    transient = status >= 500 or status in PASSING
    text = text_of_error(body, content_type)
    if "insufficient_quota" in body or status == 402:
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


def text_of_error(body: str, content_type: str = "") -> str:
    """Return what ``body`` says to people, in one line; empty if it says nothing."""
    if "html" in content_type or body.lstrip()[:14].lower().startswith(("<!doctype html", "<html")):
        title = _TITLE.search(body)
        said = "" if title is None else f" ({_one_line(title.group(1))})"
        return f"a web page{said} instead of the service's answer: is it the right address, or a proxy?"
    try:
        value = json.loads(body)
    except ValueError:
        return _one_line(body)
    return _one_line(_find_text(value) or body)


def check_json_object(service: str, text: str | bytes) -> dict[str, Any]:
    """Return the JSON object that ``text`` holds.

    Raises ServiceError (theirs) when it is not JSON, or not an object.
    """
    try:
        value = json.loads(text)
    except ValueError:
        start = _one_line(text if isinstance(text, str) else text.decode(errors="replace"))
        raise ServiceError(f"sent what is not JSON: {start[:80]!r}", service=service) from None
    if not isinstance(value, dict):
        raise ServiceError(f"sent {type(value).__name__} where an object belongs", service=service)
    return value


def _find_text(value: Any) -> str:
    """Return the first text in the places where services put one."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return next((text for text in map(_find_text, value) if text), "")
    if isinstance(value, dict):
        for key in ("error", "message", "err_msg", "detail", "description", "reason", "title", "msg"):
            text = _find_text(value.get(key))
            if text:
                return text
    return ""


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 1] + "…"
