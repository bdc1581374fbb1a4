"""How long to wait after the last voiced sample before the user's turn is over.

The rules, each of which can only lengthen the wait:

1. At least ``min_wait_s``; with a turn model's word that the turn is complete, ``min_wait_with_model_s``.
2. A turn model's doubt lengthens the wait evenly, up to ``max_wait_s`` at probability 0.
3. A text that ends in the middle of digits waits ``digits_wait_s``: numbers are read out in groups.
4. A text that ends in a conjunction, an article, a filler, a comma or a dash waits ``unfinished_wait_s``.
   A question mark settles that the last word was meant to be the last.
5. A full stop shortens nothing: recognisers put one after every stretch of speech.
6. Never more than ``max_wait_s``.
"""

from __future__ import annotations

import re

import attrs
from attrs import validators

from voicetrio.machines.words import is_number, words_of
from voicetrio.values import Value

__all__ = ["TurnSettings", "wait_after"]

_seconds = validators.ge(0.0)

_UNFINISHED = frozenset(
    "and or but because if unless until the a an my your our their its to of with from for at by than "
    "is are was were i'm i'd i'll um uh erm er hmm uhm umm".split()
)
_OPEN_END = re.compile(r"(,|:|;|-|\u2013|\u2014|\.\.\.|\u2026)\s*$")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class TurnSettings(Value):
    """When the user's turn is over.  Waits count from the last voiced sample, in seconds."""

    min_wait_s: float = attrs.field(default=0.7, validator=_seconds)
    min_wait_with_model_s: float = attrs.field(default=0.5, validator=_seconds)
    """The least wait when a turn model says that the turn is complete."""
    digits_wait_s: float = attrs.field(default=1.2, validator=_seconds)
    """The least wait while digits are being said."""
    unfinished_wait_s: float = attrs.field(default=1.6, validator=_seconds)
    """The least wait after a conjunction, an article, a filler or an open comma."""
    max_wait_s: float = attrs.field(default=2.5, validator=_seconds)
    decode_wait_s: float = attrs.field(default=5.0, validator=_seconds)
    """How long the end of a segment waits for its text before it is given up as wordless."""


def wait_after(text: str, settings: TurnSettings, *, complete: float | None = None) -> float:
    """Return the seconds to wait after the last voiced sample of a turn that so far reads ``text``.

    ``complete`` is a turn model's probability, 0 to 1, that the turn is over; None without a model.
    """
    if complete is None:
        wait_s = settings.min_wait_s
    else:
        doubt = max(0.0, 1.0 - 2.0 * complete)
        wait_s = settings.min_wait_with_model_s
        wait_s += doubt * max(0.0, settings.max_wait_s - wait_s)
    words = words_of(text)
    if _ends_in_digits(words):
        wait_s = max(wait_s, settings.digits_wait_s)
    if _ends_unfinished(text, words):
        wait_s = max(wait_s, settings.unfinished_wait_s)
    return min(wait_s, settings.max_wait_s)


def _ends_in_digits(words: list[str]) -> bool:
    """Tell whether ``words`` end in a string of digits, rather than in a single quantity ("times seven")."""
    run = 0
    digits = 0
    for word in reversed(words):
        if not is_number(word):
            break
        run += 1
        digits += sum(character.isdigit() for character in word)
    return run >= 2 or digits >= 3 or 0 < run == len(words)


def _ends_unfinished(text: str, words: list[str]) -> bool:
    if not words or text.rstrip().endswith("?"):
        return False
    return words[-1] in _UNFINISHED or _OPEN_END.search(text) is not None
