"""What a stage is, and to whom it belongs.

A stage is ``async def stage(inlet, outlet)``: it reads frames from its inlet, sends frames to its outlet,
and returns when its inlet ends.  A source has only an outlet, a sink only an inlet.  The ends are trio's
``ReceiveChannel`` and ``SendChannel``, and a stage may rely on nothing beyond these interfaces.  It need
not close its ends: whoever runs it does.

A function that keeps nothing between calls may be shared.  Everything else (objects, their methods,
closures, partials) has state and belongs to one pipeline, once.
"""

from __future__ import annotations

import functools
import inspect
import types
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import attrs
import trio

from voicetrio.errors import ConfigError, StageInUse
from voicetrio.values import Value

__all__ = [
    "AnyStage",
    "Shape",
    "Sink",
    "Source",
    "Stage",
    "adopt",
    "has_state",
    "is_async",
    "name_of",
    "shape_of",
]

InT_contra = TypeVar("InT_contra", contravariant=True)
OutT_co = TypeVar("OutT_co", covariant=True)


class Stage(Protocol[InT_contra, OutT_co]):
    """Reads from an inlet, writes to an outlet."""

    async def __call__(
        self, inlet: trio.abc.ReceiveChannel[InT_contra], outlet: trio.abc.SendChannel[OutT_co], /
    ) -> None:
        """Run until ``inlet`` ends, or until there is nothing more to do."""
        ...


class Source(Protocol[OutT_co]):
    """Has only an outlet."""

    async def __call__(self, outlet: trio.abc.SendChannel[OutT_co], /) -> None:
        """Run until there is nothing more to send."""
        ...


class Sink(Protocol[InT_contra]):
    """Has only an inlet."""

    async def __call__(self, inlet: trio.abc.ReceiveChannel[InT_contra], /) -> None:
        """Run until ``inlet`` ends, or until there is nothing more to do."""
        ...


AnyStage: TypeAlias = Stage[Any, Any] | Source[Any] | Sink[Any]
"""A stage, a source or a sink."""


_BY_POSITION: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@attrs.frozen(eq=False, repr=False)
class Shape(Value):
    """Which ends a stage has."""

    takes_inlet: bool
    gives_outlet: bool


def shape_of(stage: object) -> Shape:
    """Return which ends ``stage`` has.

    Its attributes ``takes_inlet`` and ``gives_outlet`` say so, or else its parameters, which are named
    ``inlet`` and ``outlet`` and stand in this order.

    Raises:
        ConfigError: it is not a stage; the text says why.
    """
    name = name_of(stage)
    if isinstance(stage, type):
        raise ConfigError(f"{name} is a class: give an object of it")
    if not callable(stage):
        raise ConfigError(f"{stage!r} is not a stage: it cannot be called")
    takes, gives = getattr(stage, "takes_inlet", None), getattr(stage, "gives_outlet", None)
    if isinstance(takes, bool) and isinstance(gives, bool):
        shape = Shape(takes, gives)
    else:
        shape = _shape_by_parameters(stage, name)
    if not (shape.takes_inlet or shape.gives_outlet):
        raise ConfigError(f"{name} has neither an inlet nor an outlet: it cannot be joined to other stages")
    return shape


def _shape_by_parameters(stage: Callable[..., object], name: str) -> Shape:
    try:
        parameters = list(inspect.signature(stage).parameters.values())
    except (TypeError, ValueError) as exc:
        raise ConfigError(f"{name} is not a stage: its parameters are not known") from exc
    named = {parameter.name for parameter in parameters}
    ends = [end for end in ("inlet", "outlet") if end in named]
    if not ends:
        hint = "" if is_async(stage) else "; if it turns one frame into others, decorate it with @transform"
        raise ConfigError(f"{name} is not a stage: no parameter is named inlet or outlet{hint}")
    if inspect.isasyncgenfunction(_function_of(stage)):
        raise ConfigError(f"{name} is an async generator: let it send to its outlet instead")
    first, others = parameters[: len(ends)], parameters[len(ends) :]
    if [parameter.name for parameter in first if parameter.kind in _BY_POSITION] != ends:
        raise ConfigError(f"{name} is not a stage: its first parameters must be {', '.join(ends)}")
    for parameter in others:
        if parameter.default is inspect.Parameter.empty and parameter.kind not in _VARIADIC:
            raise ConfigError(f"{name} needs a value for {parameter.name}: give it with functools.partial")
    return Shape("inlet" in ends, "outlet" in ends)


def _function_of(stage: object) -> object:
    """Return the function that runs when ``stage`` is called."""
    while isinstance(stage, functools.partial):
        stage = stage.func
    if inspect.isfunction(stage) or inspect.ismethod(stage):
        return stage
    return getattr(type(stage), "__call__", stage)  # noqa: B004  # the function is wanted, not the answer


def is_async(stage: object) -> bool:
    """Whether calling ``stage`` gives something to await."""
    return inspect.iscoroutinefunction(_function_of(stage))


def name_of(stage: object) -> str:
    """Return what to call ``stage``: its ``name``, its function's name, or its class's name."""
    name = getattr(stage, "name", None)
    if isinstance(name, str) and name:
        return name
    if isinstance(stage, functools.partial):
        return name_of(stage.func)
    name = getattr(stage, "__name__", None)
    return name if isinstance(name, str) else type(stage).__name__


# --- adoption ----------------------------------------------------------------------------------


def has_state(stage: object) -> bool:
    """Return False for what may be shared: a plain function without a closure."""
    return _holder(stage) is not None


def _holder(stage: object) -> object | None:
    """Return the object that keeps the stage's state, or None if it has none."""
    if isinstance(stage, functools.partial):
        inner = stage.func
        # What a partial of a plain function was given may be state; the partial stands for it.
        return stage if inspect.isfunction(inner) else _holder(inner) or stage
    if inspect.ismethod(stage):
        owner = stage.__self__
        return None if isinstance(owner, (type, types.ModuleType)) else owner
    if inspect.isfunction(stage):
        return stage if stage.__closure__ else None
    return None if isinstance(stage, types.BuiltinFunctionType) else stage


@attrs.define(eq=False)
class _Claim:
    """Who owns one object, and which of its stages are in use."""

    owner: str
    token: object
    stages: list[str]
    keep: object
    """What keeps the entry true: a weak reference that drops it, or the object where there can be none."""


# By identity, since a stage need not be hashable; an entry goes when its object goes.
_claims: Final[dict[int, _Claim]] = {}


def adopt(stages: Iterable[object], owner: str) -> None:
    """Let the stages in ``stages`` that have state belong to ``owner``, all of them or none.

    One object may lend several methods to the same owner: a device's source and its sink.

    Raises:
        StageInUse: one belongs to somebody already; it names both.
    """
    token = object()
    adopted: list[int] = []
    for stage in stages:
        holder = _holder(stage)
        if holder is None:
            continue
        key, method = id(holder), _method_of(stage)
        # setdefault is atomic: runs in several threads may build pipelines at once.
        claim = _claims.setdefault(key, _Claim(owner, token, [], _keeper(holder, key)))
        if claim.token is not token or method in claim.stages:
            for mine in adopted:
                _claims.pop(mine, None)
            raise StageInUse(name_of(stage), claim.owner, owner)
        claim.stages.append(method)
        adopted.append(key)


def _method_of(stage: object) -> str:
    while isinstance(stage, functools.partial):
        stage = stage.func
    return stage.__name__ if inspect.ismethod(stage) else "__call__"


def _keeper(holder: object, key: int) -> object:
    try:
        return weakref.ref(holder, lambda _: _claims.pop(key, None))
    except TypeError:  # slots without __weakref__: it stays, and so does its claim
        return holder
