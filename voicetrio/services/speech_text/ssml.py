"""A part of SSML (W3C Speech Synthesis Markup Language 1.1) as a script.

===============  =============================================================================
element          what is heeded
===============  =============================================================================
``speak``        the root
``p``, ``s``     end a sentence; a paragraph also pauses for 0.4 s
``break``        ``time`` ("500ms", "1.5s"), or ``strength``
``phoneme``      ``ph``, in IPA; ``alphabet`` must be ``ipa`` if it is given
``sub``          ``alias``
``say-as``       ``interpret-as``: characters, spell-out, digits, telephone; any other is left to
                 the rules for written text
``voice``        ``name``
``prosody``      ``rate``: x-slow .. x-fast, a percentage, or a factor; pitch and volume are ignored
``emphasis``,    their text is said
``lang``, ``w``
===============  =============================================================================

Any other element is an error, and so are a document type, more than 10 levels, and XML that is not well
formed.
"""

from __future__ import annotations

import math
from typing import Final, final
from xml.parsers import expat

import attrs

from voicetrio.services.speech_text.numbers import say_digits
from voicetrio.services.speech_text.rules import say_letters
from voicetrio.services.speech_text.script import (
    Item,
    MarkupError,
    Pause,
    Placeholders,
    Say,
    clamp_rate,
    make_pause,
)
from voicetrio.services.speech_text.tags import read_seconds

__all__ = ["read_ssml"]

MOST_LEVELS: Final = 10
PARAGRAPH_S: Final = 0.4
_STRENGTHS: Final = {"none": 0.0, "x-weak": 0.1, "weak": 0.2, "medium": 0.4, "strong": 0.7, "x-strong": 1.0}
_RATES: Final = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "default": 1.0, "fast": 1.25, "x-fast": 1.75}
_ELEMENTS: Final = frozenset("speak p s break phoneme sub say-as voice prosody emphasis lang w".split())
_READ_WHOLE: Final = frozenset({"phoneme", "sub", "say-as"})
"""Elements whose text is replaced by a placeholder."""


@attrs.frozen
class _Level:
    element: str
    voice: str | None
    rate: float
    attributes: dict[str, str]


def read_ssml(text: str, placeholders: Placeholders) -> list[Item]:
    """Return what the document says; its phonemes and substitutions go into ``placeholders``.

    Raises MarkupError, with the line and the column, for a document that is not as above.
    """
    reader = _Reader(placeholders)
    reader.read(text.strip())
    return reader.items


@final
class _Reader:
    def __init__(self, placeholders: Placeholders) -> None:
        self.items: list[Item] = []
        self._placeholders = placeholders
        self._levels: list[_Level] = []
        self._text: list[str] = []
        self._whole: list[str] = []
        self._parser = expat.ParserCreate("utf-8")  # whatever the document says of its bytes: it came as text
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._take

    def read(self, text: str) -> None:
        try:
            self._parser.Parse(text.encode(), True)
        except expat.ExpatError as error:
            why = expat.errors.messages.get(error.code, str(error))
            raise MarkupError(f"SSML, line {error.lineno}, column {error.offset + 1}: {why}") from None
        self._say()

    def _fail(self, why: str) -> MarkupError:
        line, column = self._parser.CurrentLineNumber, self._parser.CurrentColumnNumber + 1
        return MarkupError(f"SSML, line {line}, column {column}: {why}")

    def _refuse_doctype(self, *_: object) -> None:
        raise self._fail("a document type is not allowed")

    def _start(self, element: str, attributes: dict[str, str]) -> None:
        element = element.rpartition(":")[2]
        if element not in _ELEMENTS:
            raise self._fail(f"<{element}> is not supported: use {', '.join(sorted(_ELEMENTS))}")
        if not self._levels and element != "speak":
            raise self._fail("the document must begin with <speak>")
        if len(self._levels) >= MOST_LEVELS:
            raise self._fail(f"elements are nested deeper than {MOST_LEVELS} levels")
        if self._levels and self._levels[-1].element in _READ_WHOLE:
            raise self._fail(f"<{self._levels[-1].element}> can hold text only")
        voice, rate = (self._levels[-1].voice, self._levels[-1].rate) if self._levels else (None, 1.0)
        match element:
            case "break":
                self._break(attributes)
            case "p" | "s":
                self._text.append("\n")
            case "voice":
                self._say()
                voice, rate = self._need(attributes, "voice", "name"), 1.0
            case "prosody":
                self._say()
                rate = clamp_rate(rate * self._rate(attributes.get("rate", "medium").strip()))
        self._levels.append(_Level(element, voice, rate, attributes))

    def _end(self, _element: str) -> None:
        level = self._levels[-1]
        if level.element in _READ_WHOLE:
            self._replace(level)
        elif level.element in ("voice", "prosody"):
            self._say()
        elif level.element in ("p", "s"):
            self._text.append("\n")
            if level.element == "p":
                self._say()
                self.items.append(Pause(PARAGRAPH_S))
        self._levels.pop()

    def _take(self, text: str) -> None:
        (self._whole if self._levels[-1].element in _READ_WHOLE else self._text).append(text)

    def _say(self) -> None:
        """What was read so far is said in the voice and at the rate of this level."""
        text = "".join(self._text)
        self._text.clear()
        if text.strip():
            level = self._levels[-1] if self._levels else _Level("", None, 1.0, {})
            self.items.append(Say(text, level.voice, level.rate))

    def _replace(self, level: _Level) -> None:
        written = "".join(self._whole)
        self._whole.clear()
        match level.element:
            case "phoneme":
                if level.attributes.get("alphabet", "ipa").lower() != "ipa":
                    raise self._fail("<phoneme> knows the alphabet ipa only")
                key = self._placeholders.add(written, ipa=self._need(level.attributes, "phoneme", "ph"))
            case "sub":
                key = self._placeholders.add(written, say=self._need(level.attributes, "sub", "alias"))
            case _:
                kind = self._need(level.attributes, "say-as", "interpret-as").lower()
                if (said := _say_as(kind, written)) is None:
                    self._text.append(written)
                    return
                key = self._placeholders.add(written, say=said)
        self._text.append(key)

    def _need(self, attributes: dict[str, str], element: str, name: str) -> str:
        value = attributes.get(name, "").strip()
        if not value:
            raise self._fail(f"<{element}> needs {name}")
        return value

    def _break(self, attributes: dict[str, str]) -> None:
        self._say()
        if "time" in attributes:
            seconds = read_seconds(attributes["time"])
        else:
            seconds = _STRENGTHS.get(attributes.get("strength", "medium"))
        if seconds is None:
            raise self._fail('<break> takes time="500ms", or strength="none" to "x-strong"')
        try:
            self.items.append(make_pause(seconds, "<break>"))
        except MarkupError as error:
            raise self._fail(str(error)) from None

    def _rate(self, value: str) -> float:
        try:
            rate = _RATES.get(value) or float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
        except ValueError:
            rate = math.nan
        if value.startswith(("+", "-")) and value.endswith("%"):
            rate += 1.0  # relative, as SSML 1.0 had it
        if not (math.isfinite(rate) and rate > 0):
            raise self._fail('<prosody rate> takes x-slow .. x-fast, "120%", or a factor such as "1.2"')
        return rate


def _say_as(kind: str, written: str) -> str | None:
    match kind:
        case "characters" | "spell-out" | "verbatim":
            letters = (
                say_digits(one) if one.isdecimal() else say_letters(one) for one in written if one.isalnum()
            )
            return " ".join(letters)
        case "digits" | "telephone":
            return say_digits(written)
    return None
