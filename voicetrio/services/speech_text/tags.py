"""Tags in a text: ``[pause:1.5s]``, ``[rate:1.2]``, ``[voice:name]``.

A voice and a rate hold until the next tag of their kind; a new voice begins at its own rate.
"""

from __future__ import annotations

import math
import re

from voicetrio.services.speech_text.script import Item, MarkupError, Say, clamp_rate, make_pause

__all__ = ["read_seconds", "read_tags"]

_TAG = re.compile(r"\[(pause|rate|voice):([^\[\]\n]{0,200})\]", re.IGNORECASE)
_SECONDS = re.compile(r"(\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})\s?(ms|s)?", re.IGNORECASE)


def read_tags(text: str) -> list[Item]:
    """Return the parts of ``text`` between its tags, and the pauses.

    Raises MarkupError, which quotes the tag, for a value that it cannot have.
    """
    items: list[Item] = []
    voice: str | None = None
    rate = 1.0
    end = 0
    for tag in _TAG.finditer(text):
        _add_text(items, text[end : tag.start()], voice, rate)
        end = tag.end()
        value = tag[2].strip()
        match tag[1].lower():
            case "pause":
                seconds = read_seconds(value)
                if seconds is None:
                    raise MarkupError(f"{tag[0]}: give seconds, such as [pause:1.5s] or [pause:300ms]")
                items.append(make_pause(seconds, tag[0]))
            case "rate":
                rate = _read_rate(value, tag[0])
            case _:
                if not value:
                    raise MarkupError(f"{tag[0]}: name a voice")
                voice, rate = value, 1.0
    _add_text(items, text[end:], voice, rate)
    return items


def read_seconds(text: str) -> float | None:
    """Return the seconds of a duration such as ``1.5s``, ``300ms`` or ``2``; None if it is none."""
    match = _SECONDS.fullmatch(text.strip())
    if match is None:
        return None
    return float(match[1]) / (1000.0 if (match[2] or "").lower() == "ms" else 1.0)


def _read_rate(value: str, tag: str) -> float:
    try:
        rate = float(value.removesuffix("x"))
    except ValueError:
        rate = math.nan
    if not (math.isfinite(rate) and rate > 0):
        raise MarkupError(f"{tag}: give a number above 0, such as [rate:1.2]")
    return clamp_rate(rate)


def _add_text(items: list[Item], text: str, voice: str | None, rate: float) -> None:
    if text.strip():
        items.append(Say(text, voice, rate))
