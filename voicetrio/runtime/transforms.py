"""Transforms: sync callables that turn one frame into others, and chains of them.

``@transform`` marks a callable ``frame -> frame | None | iterable of frames``.  It may have ``flush()``,
called once at the inlet's end, whose results pass through the transforms after it, and ``reset()``, called
before the first frame of a run.  A transform runs in the task of a neighbouring stage, so it must be quick:
below about 200 us.  Heavier work is a stage of its own, on a worker.

What counts as one frame: a value of the type that came in, a record, or any object that is no collection.  A
``str``, a number, a ``dict`` or an array is neither a frame nor frames, and raises TypeError.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Number
from types import NoneType
from typing import Any, Final, Generic, ParamSpec, TypeVar, final

import numpy as np

from voicetrio.errors import ConfigError
from voicetrio.runtime.stages import has_state, is_async, name_of

__all__ = ["Chain", "Transform", "transform"]

P = ParamSpec("P")
ResultT = TypeVar("ResultT")

# Each of these is one value to a person, and many to a for loop, or none at all.
_NO_FRAMES: Final = (
    str, bytes, bytearray, memoryview, Mapping, Number, np.ndarray, np.generic, type, BaseException,
)  # fmt: skip
# A record is one frame, even if it can be iterated over: attrs, dataclasses, named tuples.
_RECORD_MARKS: Final = ("__attrs_attrs__", "__dataclass_fields__", "_fields")


@final
class Transform(Generic[P, ResultT]):
    """A callable that a pipeline may fuse with its neighbours.  Made by ``transform``.

    Calling it calls what it wraps.
    """

    takes_inlet = True
    gives_outlet = True

    def __init__(self, function: Callable[P, ResultT]) -> None:
        self.function = function
        """What it wraps: ``frame -> frame | None | iterable of frames``."""
        self.name = name_of(function)
        self.__doc__ = getattr(function, "__doc__", None)

    def __repr__(self) -> str:
        return f"<transform {self.name}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> ResultT:
        """Call what it wraps."""
        return self.function(*args, **kwargs)

    @property
    def has_state(self) -> bool:
        """Whether it belongs to one pipeline only."""
        return has_state(self.function)

    def flush(self) -> object:
        """Return what it still holds, as frames; None if it holds nothing or has no ``flush``."""
        flush = getattr(self.function, "flush", None)
        return None if flush is None else flush()

    def reset(self) -> None:
        """Let it forget what it has seen, if it has a ``reset``."""
        reset = getattr(self.function, "reset", None)
        if reset is not None:
            reset()


def transform(function: Callable[P, ResultT]) -> Transform[P, ResultT]:
    """Mark ``function`` as a transform; also for a callable object with ``flush`` and ``reset``.

    Raises:
        ConfigError: it cannot be one.
    """
    name = name_of(function)
    if isinstance(function, Transform):
        return function
    if isinstance(function, type):
        raise ConfigError(f"{name} is a class: give transform an object of it, as in transform({name}(...))")
    if not callable(function):
        raise ConfigError(f"{function!r} cannot be a transform: it cannot be called")
    if is_async(function) or inspect.isasyncgenfunction(function):
        raise ConfigError(f"{name} is async: write it as a stage, async def {name}(inlet, outlet)")
    return Transform(function)


@final
class Chain:
    """A run of transforms, applied one after the other.

    A transform that raises ends the chain: ``failure`` keeps what it raised, with a note that names it.
    """

    __slots__ = ("_functions", "_owner", "_seen", "_transforms", "failure")

    def __init__(self, transforms: Sequence[Transform[Any, Any]], owner: str) -> None:
        self._transforms = tuple(transforms)
        self._owner = owner
        # What is wrapped, without the wrapper's call: it runs for each frame.
        self._functions: tuple[Callable[[Any], Any], ...] = tuple(each.function for each in transforms)
        self._seen: type = NoneType  # what kind of frame came last
        self.failure: BaseException | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The transforms' names, in order."""
        return tuple(each.name for each in self._transforms)

    def reset(self) -> None:
        """Reset every transform."""
        for each in self._transforms:
            try:
                each.reset()
            except BaseException as exc:
                self._blame(each, exc)
                raise

    def apply(self, frame: Any) -> tuple[bool, Any]:
        """Pass one frame through; return ``(True, frame)`` for one result, ``(False, results)`` otherwise."""
        self._seen = frame.__class__
        functions = iter(self._functions)
        function: Any = None
        try:
            for function in functions:
                result = function(frame)
                if result.__class__ is not frame.__class__:
                    results = _frames(result, frame.__class__)
                    if len(results) != 1:
                        break
                    result = results[0]
                frame = result
            else:
                return True, frame
        except BaseException as exc:
            self._blame(self._transforms[self._functions.index(function)], exc)
            raise
        return False, self._apply_many(results, len(self._functions) - len(tuple(functions)))

    def flush(self) -> list[Any]:
        """Flush the transforms in order; what one gives passes through those after it."""
        out: list[Any] = []
        for index, each in enumerate(self._transforms):
            try:
                results = _frames(each.flush(), self._seen)
            except BaseException as exc:
                self._blame(each, exc)
                raise
            out.extend(self._apply_many(results, index + 1))
        return out

    def _apply_many(self, frames: Sequence[Any], start: int) -> Sequence[Any]:
        for each in self._transforms[start:]:
            try:
                frames = [out for frame in frames for out in _frames(each.function(frame), frame.__class__)]
            except BaseException as exc:
                self._blame(each, exc)
                raise
        return frames

    def _blame(self, culprit: Transform[Any, Any], exc: BaseException) -> None:
        exc.add_note(f"in transform {culprit.name} of {self._owner}")
        self.failure = exc


def _frames(result: Any, given: type) -> Sequence[Any]:
    """Return the frames in what a transform returned for a frame of type ``given``."""
    if result is None:
        return ()
    if result.__class__ is given:
        return (result,)
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()  # otherwise Python warns of it as well
        raise TypeError("a transform returned an awaitable: a transform is a plain function, without await")
    if isinstance(result, _NO_FRAMES):
        raise TypeError(f"a transform returned {_shown(result)}: neither a frame nor a list of frames")
    if not isinstance(result, Iterable) or any(hasattr(result, mark) for mark in _RECORD_MARKS):
        return (result,)
    frames = []
    for item in result:
        if item is None or (item.__class__ is not given and isinstance(item, _NO_FRAMES)):
            raise TypeError(f"a transform returned a collection that holds {_shown(item)}, which is no frame")
        frames.append(item)
    return frames


def _shown(value: object) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 40 else text[:37] + '...'}"
