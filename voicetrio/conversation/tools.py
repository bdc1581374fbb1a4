"""Tools: what a language model may call, and what an interruption does to a call.

A tool is a function with type hints; ``@tool`` reads its name, its description and its parameters off it.
"""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, TypeAlias, overload

import attrs
import trio

from voicetrio.errors import ConfigError, VoicetrioError
from voicetrio.services.llm import ToolSpec

__all__ = ["OnInterrupt", "Tool", "ToolCalling", "ToolError", "tool"]

OnInterrupt: TypeAlias = Literal["cancel", "finish", "detach"]
"""What an interruption of the reply does to a call: ``cancel`` it; let it ``finish`` (its result enters the
conversation silently, and the session's end waits for it); ``detach`` it (its result opens a reply of its
own, and the session's end cancels it)."""

_JSON_TYPES: Mapping[Any, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    dict: "object",
    list: "array",
    type(None): "null",
}


class ToolError(VoicetrioError):
    """Raise it in a tool to tell the model what went wrong: its text becomes the call's result."""


class ToolCalling(Protocol):
    """What a tool may know about its call: a parameter with this annotation receives it."""

    @property
    def call_id(self) -> str:
        """The call's id."""
        ...

    @property
    def reply(self) -> str:
        """The reply that asked for it."""
        ...

    async def say(self, text: str, *, wait_played: bool = True) -> Any:
        """Speak ``text`` while the tool runs; see ``Conversation.say``."""
        ...


@attrs.frozen(eq=False)
class Tool:
    """A function that a model may call; make one with ``@tool``."""

    run: Callable[..., Any]
    """Async, or sync if it is quick; returns a text, what JSON can carry, or an agent to hand off to."""
    spec: ToolSpec
    """What the model is told."""
    on_interrupt: OnInterrupt = "cancel"
    timeout_s: float | None = None
    """How long a call may take, in seconds."""
    calling_parameter: str | None = None
    """The parameter that receives the ToolCalling."""

    @property
    def name(self) -> str:
        """The name by which the model calls it."""
        return self.spec.name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself."""
        return self.run(*args, **kwargs)

    async def call(self, arguments: Mapping[str, Any], calling: ToolCalling) -> Any:
        """Call it as the model asked; raises ToolError when the arguments do not fit."""
        properties = self.spec.parameters["properties"]
        unknown = [name for name in arguments if name not in properties]
        missing = [name for name in self.spec.parameters["required"] if name not in arguments]
        if unknown or missing:
            problems = [f"unknown argument {name!r}" for name in unknown]
            problems += [f"missing argument {name!r}" for name in missing]
            raise ToolError("; ".join(problems))
        given = dict(arguments)
        if self.calling_parameter is not None:
            given[self.calling_parameter] = calling
        await trio.lowlevel.checkpoint()
        result = self.run(**given)
        return await result if inspect.isawaitable(result) else result


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    on_interrupt: OnInterrupt = "cancel",
    timeout_s: float | None = None,
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    on_interrupt: OnInterrupt = "cancel",
    timeout_s: float | None = None,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a tool of a function with type hints.

    Args:
        name: how the model calls it; by default the function's name.
        description: what the model is told; by default the docstring's first paragraph.
        on_interrupt: what the user's interruption does to a call; see OnInterrupt.
        timeout_s: how long a call may take, in seconds.

    ``Annotated[int, "in metres"]`` describes a parameter.  Raises ConfigError when a parameter has no hint,
    or one that JSON has no word for.
    """

    def make(function: Callable[..., Any]) -> Tool:
        parameters, calling_parameter = _parameters_of(function)
        text = description or (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")
        spec = ToolSpec(name or function.__name__, text, parameters)
        return Tool(function, spec, on_interrupt, timeout_s, calling_parameter)

    return make if function is None else make(function)


def result_text(result: Any) -> str:
    """Return what the model is told a tool returned."""
    if isinstance(result, str):
        return result
    return json.dumps(result, default=str, ensure_ascii=False)


def _parameters_of(function: Callable[..., Any]) -> tuple[dict[str, Any], str | None]:
    """Return a JSON schema of the parameters, and the one (if any) that receives the ToolCalling."""
    hints = typing.get_type_hints(function, include_extras=True)
    properties: dict[str, Any] = {}
    required: list[str] = []
    calling_parameter = None
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ConfigError(f"a tool takes named parameters: {function.__name__} has {parameter}")
        if parameter.name not in hints:
            raise ConfigError(f"the parameter {parameter.name!r} of {function.__name__} needs a type hint")
        hint = hints[parameter.name]
        if hint is ToolCalling:
            calling_parameter = parameter.name
            continue
        try:
            properties[parameter.name] = _schema(hint)
        except TypeError:
            raise ConfigError(
                f"JSON has no word for {hint}, the type of {parameter.name!r} of {function.__name__}"
            ) from None
        if parameter.default is parameter.empty:
            required.append(parameter.name)
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return schema, calling_parameter


def _schema(hint: Any) -> dict[str, Any]:
    """Return the JSON schema of one type; raises TypeError where there is none."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return {**_schema(arguments[0]), "description": str(arguments[1])}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema(argument) for argument in arguments]}
    if origin in (list, tuple, set, frozenset):
        return {"type": "array", "items": _schema(arguments[0])}
    if hint is Any:
        return {}
    plain = origin or hint
    if plain not in _JSON_TYPES:
        raise TypeError(hint)
    return {"type": _JSON_TYPES[plain]}
