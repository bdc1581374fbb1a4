"""``Value``: what small immutable values have in common; and what their fields may be checked for.

``attrs`` makes them, but for how they are compared, hashed and shown.  That is written here, once for all: it
was a third of the time that importing the runtime took, because ``attrs`` compiles it for each class.
"""

from __future__ import annotations

from typing import Any

import attrs

from voicetrio.errors import ConfigError

__all__ = ["Value", "not_negative", "positive"]


@attrs.frozen(eq=False, repr=False)
class Value:
    """The base of a class that ``attrs.frozen(eq=False, repr=False)`` makes.

    Two are equal when they are of one class and their fields are equal.
    """

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash((self.__class__, *self._values()))

    def __repr__(self) -> str:
        fields = zip(attrs.fields(self.__class__), self._values(), strict=True)
        return f"{self.__class__.__name__}({', '.join(_shown(field, value) for field, value in fields)})"

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field.name) for field in attrs.fields(self.__class__))


def positive(_instance: object, attribute: attrs.Attribute[Any], value: float) -> None:
    """Raise ConfigError unless ``value`` is above 0; a validator of attrs."""
    if not value > 0:
        raise ConfigError(f"{attribute.name} must be above 0, not {value!r}")


def not_negative(_instance: object, attribute: attrs.Attribute[Any], value: float) -> None:
    """Raise ConfigError if ``value`` is below 0, or no number; a validator of attrs."""
    if not value >= 0:
        raise ConfigError(f"{attribute.name} must not be below 0, but is {value!r}")


def _shown(field: attrs.Attribute[Any], value: Any) -> str:
    show = field.repr if callable(field.repr) else repr
    return f"{field.name}={show(value)}"
