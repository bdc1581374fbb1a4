"""Words of a transcript: what turn taking asks of them."""

from __future__ import annotations

import re
from collections.abc import Collection

__all__ = ["BACKCHANNELS", "is_backchannel", "is_number", "words_of"]

BACKCHANNELS = frozenset(
    {
        "ah",
        "aha",
        "alright",
        "got it",
        "hm",
        "hmm",
        "huh",
        "i see",
        "mhm",
        "mm",
        "mm hm",
        "mm hmm",
        "mmhm",
        "mmhmm",
        "mmm",
        "nice",
        "oh",
        "ok",
        "okay",
        "right",
        "sure",
        "uh huh",
        "wow",
        "yeah",
        "yep",
        "yes",
        "yup",
    }
)
"""What a listener says to show that they listen, without wanting the turn."""

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_NUMBER_WORDS = frozenset(
    "zero oh one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety "
    "double triple".split()
)
_LONGEST_BACKCHANNEL = 2


def words_of(text: str) -> list[str]:
    """Return the words of ``text``, in lower case, without punctuation."""
    return [word.replace("\u2019", "'") for word in _WORD.findall(text.lower())]


def is_number(word: str) -> bool:
    """Tell whether ``word``, as ``words_of`` gives it, is figures or a short number in letters."""
    return word.isdigit() or word in _NUMBER_WORDS


def is_backchannel(words: list[str], backchannels: Collection[str] = BACKCHANNELS) -> bool:
    """Tell whether ``words`` are backchannels and nothing else ("uh huh, yeah"); False if there are none."""
    at = 0
    while at < len(words):
        for length in range(min(_LONGEST_BACKCHANNEL, len(words) - at), 0, -1):
            if " ".join(words[at : at + length]) in backchannels:
                at += length
                break
        else:
            return False
    return bool(words)
