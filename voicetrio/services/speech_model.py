"""The interface to a model that hears and speaks: audio in, audio out, with ears of its own.

It keeps the conversation to itself, so whoever joins it to a session tells it what the session knows better:
how much of an answer was heard, what a tool returned, what was said beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol, TypeAlias

from voicetrio.events import SpeechStarted, SpeechStopped, Transcript
from voicetrio.frames import AudioFrame, TextFrame
from voicetrio.services.llm import ToolCall, ToolSpec

__all__ = ["ModelHeard", "ModelOutput", "ModelResponse", "SpeechModel", "SpeechModelSession"]

ModelHeard: TypeAlias = SpeechStarted | SpeechStopped | Transcript
"""What a model tells of the user.  A final Transcript of the same position follows each SpeechStopped."""
ModelOutput: TypeAlias = AudioFrame | TextFrame | ToolCall
"""What a model says: audio (positions from 0 in each response), its transcript in pieces, calls of tools."""


class ModelResponse(Protocol):
    """One answer of a model."""

    async def receive(self) -> ModelOutput:
        """Return the next output; raises trio.EndOfChannel at its end, ServiceError when it failed."""
        ...

    def settle(self, heard_text: str, heard_s: float) -> None:
        """Tell how much of its audio was heard, in seconds: the model shall remember no more than that.

        Infinite means all.  Never waits; also after the response's block was left.
        """
        ...


class SpeechModelSession(Protocol):
    """A model in one session."""

    @property
    def input_rate(self) -> int:
        """Hertz of the mono audio that it hears; positions of what it tells count at this rate."""
        ...

    @property
    def output_rate(self) -> int:
        """Hertz of the mono audio that it says."""
        ...

    @property
    def hangover_s(self) -> float:
        """Seconds of silence after which it tells that speech stopped."""
        ...

    def hear(self, frame: AudioFrame) -> None:
        """Give it audio at ``input_rate``, in order; never waits."""
        ...

    async def receive(self) -> ModelHeard:
        """Return what it tells next of the user.  Raises ServiceError when it cannot go on."""
        ...

    def add_text(self, role: Literal["user", "assistant", "system"], text: str) -> None:
        """Add a message to its conversation, without an answer; never waits."""
        ...

    def give_result(self, call: ToolCall, result: str) -> None:
        """Add the result of a tool to its conversation, without an answer; never waits."""
        ...

    def respond(
        self, text: str | None = None, *, may_call: bool = True
    ) -> AbstractAsyncContextManager[ModelResponse]:
        """Let it answer, or say ``text``; leaving the block before the response's end cancels it.

        Without ``may_call`` it calls no tools.

        Waits for a response that is being made.  Raises ServiceError.
        """
        ...


class SpeechModel(Protocol):
    """A model that sessions can be opened with."""

    def open_session(
        self, instructions: str, tools: Sequence[ToolSpec]
    ) -> AbstractAsyncContextManager[SpeechModelSession]:
        """Open one session of it, which ends with the block."""
        ...
