"""What the body of a refusal says to people, in one line.

Services put their text in one of a few places of a JSON object; a proxy in between answers with a web page.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

__all__ = ["one_line", "text_of_error"]

LONGEST_TEXT: Final = 300
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


def text_of_error(body: str, content_type: str = "") -> str:
    """Return what ``body`` says to people, in one line; empty if it says nothing."""
    if "html" in content_type or body.lstrip()[:14].lower().startswith(("<!doctype html", "<html")):
        title = _TITLE.search(body)
        said = "" if title is None else f" ({one_line(title.group(1))})"
        return f"a web page{said} instead of the service's answer: is it the right address, or a proxy?"
    try:
        value = json.loads(body)
    except ValueError:
        return one_line(body)
    return one_line(_find_text(value) or body)


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


def one_line(text: str) -> str:
    """Return ``text`` without line breaks, cut where it is too long to be read."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 1] + "…"
