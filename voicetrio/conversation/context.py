"""The message list: what was said in the conversation, as a language model is given it.

It holds what was *heard*: an assistant message of a reply that the user cut short ends where their ear left
off, and says what went unheard.  It holds exactly one result for each tool call, at any time: the result,
or why there is none, or that it is still to come.
"""

from __future__ import annotations

from typing import TypeAlias, final

import attrs

from voicetrio.services.llm import Message, ToolCall

__all__ = ["AssistantEntry", "ConversationContext", "NoteEntry", "UserEntry"]

STILL_RUNNING = "(no result yet: the tool is still running)"


@attrs.define(eq=False)
class UserEntry:
    """What the user said in one turn."""

    text: str

    def messages(self) -> list[Message]:
        """Return it as messages."""
        return [Message("user", self.text)]


@attrs.define(eq=False)
class NoteEntry:
    """What the runtime tells the model beside the conversation."""

    text: str

    def messages(self) -> list[Message]:
        """Return it as messages."""
        return [Message("system", self.text)]


@attrs.define(eq=False)
class AssistantEntry:
    """What one stretch of a reply says, how much of it was heard, and the tools that it asked for."""

    raw_text: str = ""
    heard: str | None = None
    """What was heard, once that is settled."""
    calls: tuple[ToolCall, ...] = ()
    results: dict[str, str] = attrs.Factory(dict)
    """By the call's id."""

    @property
    def text(self) -> str:
        """What was generated so far, with single spaces."""
        return " ".join(self.raw_text.split())

    @property
    def unheard(self) -> str:
        """What was generated and not heard; empty until that is settled."""
        if self.heard is None:
            return ""
        text = self.text
        if text.startswith(self.heard):
            return text[len(self.heard) :].strip()
        return " ".join(text.split()[len(self.heard.split()) :])

    def add_text(self, text: str) -> None:
        """More was generated."""
        self.raw_text += text

    def settle(self, heard: str | None) -> None:
        """Fix what was heard, a prefix of the text; None: all of it."""
        self.heard = self.text if heard is None else heard

    def settle_result(self, call_id: str, result: str) -> bool:
        """Give a call its one result; False if it has one already."""
        if call_id in self.results:
            return False
        self.results[call_id] = result
        return True

    def messages(self) -> list[Message]:
        """Return it as messages: the assistant's, then one for each call."""
        text = self.text if self.heard is None else self.heard
        unheard = self.unheard
        if not (text or unheard or self.calls):
            return []
        spoken = Message("assistant", text, tool_calls=self.calls, interrupted=bool(unheard), unheard=unheard)
        results = [
            Message("tool", self.results.get(call.id, STILL_RUNNING), tool_call_id=call.id)
            for call in self.calls
        ]
        return [spoken, *results]


Entry: TypeAlias = UserEntry | NoteEntry | AssistantEntry


@final
class ConversationContext:
    """What was said, in the order in which it was heard."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def add_user(self, text: str) -> UserEntry:
        """The user said ``text``."""
        entry = UserEntry(text)
        self._entries.append(entry)
        return entry

    def add_note(self, text: str) -> NoteEntry:
        """Tell the model something beside the conversation."""
        entry = NoteEntry(text)
        self._entries.append(entry)
        return entry

    def attach(self, entry: AssistantEntry) -> None:
        """The agent's turn to be heard has come; does nothing if the entry is in the list already."""
        if entry not in self._entries:
            self._entries.append(entry)

    def remove(self, entry: Entry | None) -> None:
        """Take back what never happened; does nothing if the entry is not in the list."""
        if entry in self._entries:
            self._entries.remove(entry)

    def messages(self, instructions: str = "") -> tuple[Message, ...]:
        """Return the conversation, with the instructions (if any) in front."""
        system = [Message("system", instructions)] if instructions else []
        return (*system, *(message for entry in self._entries for message in entry.messages()))
