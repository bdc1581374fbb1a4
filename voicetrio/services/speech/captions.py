"""What was recognised, as captions: sentences with their times, SubRip (srt), WebVTT (vtt)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from voicetrio.services.speech.recogniser import RecognisedPart
from voicetrio.services.speech_text.lexicon import DOTTED

__all__ = ["Caption", "captions_of", "to_srt", "to_vtt"]

LONGEST_CHARS: Final = 84
"""Two lines of 42 characters."""
LONGEST_S: Final = 7.0
GAP_S: Final = 0.8
"""A silence between two words that ends a caption."""


@attrs.frozen
class Caption:
    """What is shown at once."""

    start_s: float
    end_s: float
    text: str
    part: RecognisedPart
    """Where it comes from."""


def captions_of(parts: Iterable[RecognisedPart]) -> list[Caption]:
    """Cut what was recognised into captions: at a sentence's end, at a silence, and before they grow too
    long."""
    return [caption for part in parts if part.text for caption in _cut(part)]


def _cut(part: RecognisedPart) -> Iterator[Caption]:
    if not part.words:
        yield Caption(part.start_s, part.end_s, part.text, part)
        return
    words: list[tuple[str, float, float]] = []
    for word in part.words:
        if words and _ends_before(words, word):
            yield _caption(words, part)
            words = []
        words.append(word)
    yield _caption(words, part)


def _ends_before(words: list[tuple[str, float, float]], word: tuple[str, float, float]) -> bool:
    length = sum(len(each[0]) + 1 for each in words) + len(word[0])
    last = words[-1][0]
    ends_sentence = last.endswith((".", "!", "?")) and last.strip(".\"'").lower() not in DOTTED
    return (
        ends_sentence
        or word[1] - words[-1][2] > GAP_S
        or length > LONGEST_CHARS
        or word[2] - words[0][1] > LONGEST_S
    )


def _caption(words: list[tuple[str, float, float]], part: RecognisedPart) -> Caption:
    return Caption(words[0][1], max(words[-1][2], words[0][1]), " ".join(word for word, *_ in words), part)


def to_srt(captions: Iterable[Caption]) -> str:
    """Return the captions as a SubRip file."""
    return "".join(
        f"{number}\n{_stamp(each.start_s, ',')} --> {_stamp(each.end_s, ',')}\n{each.text}\n\n"
        for number, each in enumerate(captions, 1)
    )


def to_vtt(captions: Iterable[Caption]) -> str:
    """Return the captions as a WebVTT file."""
    return "WEBVTT\n\n" + "".join(
        f"{_stamp(each.start_s, '.')} --> {_stamp(each.end_s, '.')}\n{_escape(each.text)}\n\n"
        for each in captions
    )


def _stamp(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
