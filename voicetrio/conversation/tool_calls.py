"""Running tools: each call gets exactly one result, whatever happens to the reply that asked for it."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, final

import attrs
import trio

from voicetrio.conversation.context import AssistantEntry
from voicetrio.conversation.interfaces import AgentLike
from voicetrio.conversation.tools import Tool, ToolError, result_text
from voicetrio.events import Failure, ToolEnded, ToolStarted
from voicetrio.runtime.emit import EventHub
from voicetrio.services.llm import ToolCall

__all__ = ["ToolHost", "ToolRunner"]


class ToolHost(Protocol):
    """What the runner asks of the conversation."""

    def spawn(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """Start a task of the conversation, which no reply's end cancels."""
        ...

    async def say(self, text: str, *, wait_played: bool = True) -> Any:
        """Speak; see ``Conversation.say``."""
        ...

    def hand_off(self, agent: AgentLike) -> None:
        """Let ``agent`` speak from the next reply on."""
        ...

    def report(self, tool: str, result: str) -> None:
        """A detached call has its result, and the reply that asked for it is gone."""
        ...


@attrs.define(eq=False)
class _Calling:
    """One call under way; what the tool is given as its ToolCalling."""

    reply: str
    tool: Tool
    call: ToolCall
    entry: AssistantEntry
    host: ToolHost
    is_wanted: Callable[[], bool]
    """Whether the reply still waits for the result."""
    done: trio.Event = attrs.Factory(trio.Event)
    handed_off: bool = False

    @property
    def call_id(self) -> str:
        """The call's id."""
        return self.call.id

    async def say(self, text: str, *, wait_played: bool = True) -> Any:
        """Speak ``text`` while the tool runs."""
        return await self.host.say(text, wait_played=wait_played)


@final
class ToolRunner:
    """Runs the tools of one conversation."""

    def __init__(self, hub: EventHub, host: ToolHost) -> None:
        self._hub = hub
        self._host = host
        self._finishing = 0
        self._idle = trio.Event()
        self._idle.set()

    @property
    def running(self) -> int:
        """How many calls are under way that the conversation's end waits for."""
        return self._finishing

    async def wait_finished(self) -> None:
        """Wait for the calls whose tools declare ``finish``."""
        await self._idle.wait()

    async def run(
        self,
        reply: str,
        entry: AssistantEntry,
        calls: Sequence[ToolCall],
        tools: Sequence[Tool],
        is_wanted: Callable[[], bool],
    ) -> bool:
        """Run ``calls`` side by side, and wait for their results; False if one of them handed off.

        Cancelling cancels the calls whose tools declare ``cancel``; the others go on without the reply.
        """
        by_name = {tool.name: tool for tool in tools}
        callings: list[_Calling] = []
        async with trio.open_nursery() as nursery:
            for call in calls:
                tool = by_name.get(call.name)
                if tool is None:
                    self._refuse(reply, entry, call)
                    continue
                calling = _Calling(reply, tool, call, entry, self._host, is_wanted)
                callings.append(calling)
                self._hub.tell(ToolStarted(reply=reply, tool=tool.name, call_id=call.id))
                if tool.on_interrupt == "cancel":
                    nursery.start_soon(self._call, calling)
                else:
                    self._host.spawn(self._call_apart, calling)
                    nursery.start_soon(calling.done.wait)
        return not any(calling.handed_off for calling in callings)

    def _refuse(self, reply: str, entry: AssistantEntry, call: ToolCall) -> None:
        entry.settle_result(call.id, f"error: there is no tool named {call.name!r}")
        self._hub.tell(ToolEnded(reply=reply, tool=call.name, call_id=call.id, how="failed"))

    async def _call_apart(self, calling: _Calling) -> None:
        finish = calling.tool.on_interrupt == "finish"
        if finish:
            self._finishing += 1
            self._idle = trio.Event()
        try:
            await self._call(calling)
            if not finish and not calling.handed_off and not calling.is_wanted():
                self._host.report(calling.tool.name, calling.entry.results[calling.call.id])
        finally:
            calling.done.set()
            if finish:
                self._finishing -= 1
                if not self._finishing:
                    self._idle.set()

    async def _call(self, calling: _Calling) -> None:
        """Call the tool; whatever happens, settle its one result."""
        tool = calling.tool
        next_agent: AgentLike | None = None
        how = "cancelled"
        result = "(cancelled: there is no result)"
        try:
            with trio.move_on_after(math.inf if tool.timeout_s is None else tool.timeout_s) as scope:
                value = await tool.call(calling.call.arguments, calling)
                how = "done"
                if isinstance(value, AgentLike):
                    next_agent = value
                    result = f"handed over to {value.name}"
                else:
                    result = result_text(value)
            if scope.cancelled_caught and how != "done":
                how, result = "timed out", f"error: no result within {tool.timeout_s:g} s"
        except ToolError as error:
            how, result = "failed", f"error: {error}"
        except Exception as error:
            # What went wrong inside is the application's to know, and not for the model to repeat.
            how, result = "failed", "error: the tool failed"
            self._hub.tell(Failure(where=f"tool {tool.name}", error=error))
        finally:
            calling.entry.settle_result(calling.call.id, result)
            self._hub.tell(
                ToolEnded(reply=calling.reply, tool=tool.name, call_id=calling.call.id, how=how)  # type: ignore[arg-type]
            )
        if next_agent is not None:
            calling.handed_off = True
            self._host.hand_off(next_agent)
        await trio.lowlevel.checkpoint()
