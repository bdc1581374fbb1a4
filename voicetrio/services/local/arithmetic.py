"""Arithmetic in words: finds the sum in a sentence, works it out exactly, and says it.

A grammar of three levels (sums of products of powers) over numbers and the words between them; nothing is
evaluated as code, and sizes are limited before anything is computed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import final

from voicetrio.services.speech_text.numbers import read_number, say_cardinal, say_digits

__all__ = ["answer_arithmetic", "say_number"]

LIMIT = 10**15
"""Results from here on are not said."""
MAX_EXPONENT = 50

_OPERATORS: dict[tuple[str, ...], str] = {
    ("plus",): "plus", ("and",): "plus", ("+",): "plus", ("added", "to"): "plus",
    ("minus",): "minus", ("-",): "minus", ("less",): "minus",
    ("times",): "times", ("x",): "times", ("*",): "times", ("multiplied", "by"): "times",
    ("divided", "by"): "divided by", ("over",): "divided by", ("/",): "divided by",
    ("to", "the", "power", "of"): "to the power of", ("^",): "to the power of",
    ("percent", "of"): "percent of", ("%", "of"): "percent of",
}  # fmt: skip
_SQUARES = {"squared": 2, "cubed": 3}
_TOKENS = re.compile(r"\d[\d,]*(?:\.\d+)?|[a-z]+(?:-[a-z]+)*(?:'[a-z]+)?|[-+*/^%]")
_LEAD = re.compile(
    r"^(?:(?:so|and|okay|please|hey|then)\W+)*"
    r"(?:(?:can|could|would) you (?:please )?)?(?:tell me )?"
    r"(?:what(?:'s| is| are)|how much (?:is|are|does)|calculate|compute|work out)?\s*"
)
_TRAIL = re.compile(r"(?:\s*=|\s+(?:equals?|is|make|please))*\W*$")


class _TooLargeError(Exception):
    pass


def answer_arithmetic(text: str) -> str | None:
    """Answer "what is twelve times seven?" with "Twelve times seven is eighty four."

    Returns None when ``text`` is not a sum from its beginning to its end.
    """
    low = text.lower().replace("\N{MULTIPLICATION SIGN}", "*").replace("\N{DIVISION SIGN}", "/")
    tokens = _TOKENS.findall(_TRAIL.sub("", _LEAD.sub("", low)))
    parser = _Parser(tokens)
    try:
        value = parser.sum()
        if value is None or not parser.operators or parser.position < len(tokens):
            return None
        if abs(value) >= LIMIT:
            raise _TooLargeError
    except ZeroDivisionError:
        return "I cannot divide by zero."
    except _TooLargeError:
        return "That number is too large for me."
    sentence = f"{' '.join(parser.said)} is {say_number(value)}."
    return sentence[0].upper() + sentence[1:]


def say_number(value: Fraction) -> str:
    """Say a number in words, with up to four decimals; "about" and with two, where four are not enough."""
    if value.denominator == 1:
        return say_cardinal(int(value))
    rounded = round(abs(value), 4 if round(value, 4) == value else 2)
    whole, rest = divmod(rounded, 1)
    decimals = f"{int(rest * 10000):04d}".rstrip("0")
    said = (
        f"{say_cardinal(int(whole))} point {say_digits(decimals)}" if decimals else say_cardinal(int(whole))
    )
    sign = "minus " if value < 0 and rounded else ""
    return f"{'' if rounded == abs(value) else 'about '}{sign}{said}"


@final
class _Parser:
    """Reads tokens from left to right; ``said`` grows into the sum in words."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = tokens
        self.position = 0
        self.operators = 0
        self.said: list[str] = []

    def sum(self) -> Fraction | None:
        """Read a sum; None when something is no number."""
        value = self.product()
        while value is not None and (name := self._take("plus", "minus")):
            right = self.product()
            if right is None:
                return None
            value = value + right if name == "plus" else value - right
        return value

    def product(self) -> Fraction | None:
        value = self.power()
        while value is not None and (name := self._take("times", "divided by", "percent of")):
            right = self.power()
            if right is None:
                return None
            if name == "divided by":
                value = value / right
            else:
                value = value * right / (100 if name == "percent of" else 1)
        return value

    def power(self) -> Fraction | None:
        value = self.number()
        while value is not None:
            if self.position < len(self.tokens) and self.tokens[self.position] in _SQUARES:
                word = self.tokens[self.position]
                self.position += 1
                self.operators += 1
                self.said.append(word)
                value = _power(value, Fraction(_SQUARES[word]))
            elif self._take("to the power of"):
                exponent = self.number()
                if exponent is None:
                    return None
                value = _power(value, exponent)
            else:
                break
        return value

    def number(self) -> Fraction | None:
        rest = self.tokens[self.position :]
        negative = rest[:1] == ["-"]
        read = read_number(rest[1:] if negative else rest)
        if read is None:
            return None
        value, used = read
        self.position += used + negative
        value = -value if negative else value
        if abs(value) >= LIMIT:
            raise _TooLargeError
        self.said.append(say_number(value))
        return value

    def _take(self, *names: str) -> str | None:
        """Step over an operator if it is one of ``names``; return its name."""
        for words, name in _OPERATORS.items():
            if name in names and tuple(self.tokens[self.position : self.position + len(words)]) == words:
                self.position += len(words)
                self.operators += 1
                self.said.append(name)
                return name
        return None


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1 or abs(exponent) > MAX_EXPONENT or abs(base) >= LIMIT:
        raise _TooLargeError
    return base ** int(exponent)
