"""The interface to a language model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import attrs
import trio

from voicetrio.frames import TextFrame
from voicetrio.values import Value

__all__ = ["LLM", "LlmFactory", "LlmOutput", "Message", "ToolCall", "ToolSpec"]


@attrs.frozen(eq=False, repr=False)
class ToolCall(Value):
    """The model asks for a tool to be called."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@attrs.frozen(eq=False, repr=False)
class ToolSpec(Value):
    """What a model is told about a tool; ``parameters`` is a JSON schema of an object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@attrs.frozen(eq=False, repr=False)
class Message(Value):
    """One message of the conversation, as a model is given it."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    """Calls that an assistant message made."""
    tool_call_id: str | None = None
    """The call that a tool message answers."""
    interrupted: bool = False
    """True on an assistant message that the user cut short: ``text`` is what was heard of it."""
    unheard: str = ""
    """What an interrupted assistant message would have gone on to say; a model need not be told."""


LlmOutput: TypeAlias = TextFrame | ToolCall
"""What a model streams."""


class LLM(Protocol):
    """Answers a conversation, as a stream."""

    async def answer(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        outlet: trio.abc.SendChannel[LlmOutput],
    ) -> None:
        """Stream the answer to ``messages`` into ``outlet``, then return; the caller closes it.

        Text comes in pieces of any size that concatenate to the answer.  Raises ServiceError.
        Cancelling stops the generation and frees its connection.
        """
        ...


LlmFactory: TypeAlias = Callable[[], LLM]
"""Makes the model (or its client) of one session."""
