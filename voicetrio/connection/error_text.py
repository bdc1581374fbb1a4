"""What the body of a refusal says to people, in one line.

Services put their text in one of a few places of a JSON object; a proxy in between answers with a web page.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

__all__ = ["one_line", "text_of_error"]

LONGEST_TEXT: Final = 300
PLACES: Final = ("error", "message", "err_msg", "detail", "description", "reason", "title", "msg")
DEEPEST: Final = 8
"""Objects and lists inside of each other; deeper down nobody puts a text."""
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


def text_of_error(body: str, content_type: str = "") -> str:
    """Return what ``body`` says to people, in one line; empty if it says nothing."""
    if "html" in content_type or body.lstrip()[:14].lower().startswith(("<!doctype html", "<html")):
        title = _TITLE.search(body)
        said = "" if title is None else f" ({one_line(title.group(1))})"
        return f"a web page{said} instead of the service's answer: is it the right address, or a proxy?"
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return one_line(body)
    return one_line(_find_text(value) or body)


def _find_text(value: Any, levels: int = DEEPEST) -> str:
    """Return the first text in the places where services put one."""
    if isinstance(value, str):
        return value
    inner: list[Any] = []
    if isinstance(value, list):
        inner = value
    elif isinstance(value, dict):
        inner = [value.get(key) for key in PLACES]
    texts = (_find_text(each, levels - 1) for each in inner if levels)
    return next((text for text in texts if text), "")


def one_line(text: str) -> str:
    """Return ``text`` without line breaks, cut where it is too long to be read."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 1] + "…"
