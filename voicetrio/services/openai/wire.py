"""The wire of OpenAI's HTTP API, without I/O: bodies of requests, and what the answers mean.

Chat completions come as server-sent events: each holds a *delta* of one choice.  Text is given on at once.
A call of a tool comes in pieces, which belong together by their ``index``: the first has id and name, the
others more of the arguments' JSON, cut anywhere; it is given on when the choice is finished.  A stream is
whole when it had a ``finish_reason`` or ``[DONE]``; one that ends without either broke off.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, final

import attrs

from voicetrio.connection.answers import check_json_object
from voicetrio.errors import ConfigError, ServiceError
from voicetrio.frames import TextFrame
from voicetrio.services.llm import LlmOutput, Message, ToolCall, ToolSpec
from voicetrio.services.wires import MALFORMED

__all__ = [
    "ChatDecoder",
    "Usage",
    "chat_body",
    "chat_messages",
    "check_options",
    "error_of_event",
    "parse_tool_arguments",
    "tool_json",
]

DONE: Final = "[DONE]"
OWN_FIELDS: Final = frozenset({"model", "messages", "tools", "stream", "stream_options", "n"})


@attrs.frozen
class Usage:
    """Tokens of one answer, as the server counts them."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    """Of the input: what the server had in its cache."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
        )


def check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return further fields of a request's body; raises ConfigError for one that is ours to set."""
    ours = sorted(OWN_FIELDS & options.keys())
    if ours:
        raise ConfigError(f"{ours[0]!r} is set by the service itself: leave it out of options")
    return dict(options)


def chat_body(
    model: str, messages: Sequence[Message], tools: Sequence[ToolSpec], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the body of a streamed chat completion."""
    body: dict[str, Any] = {
        "model": model,
        "messages": chat_messages(messages),
        "stream": True,
        "stream_options": {"include_usage": True},
        **options,
    }
    if tools:
        body["tools"] = [{"type": "function", "function": tool_json(tool)} for tool in tools]
    return body


def tool_json(tool: ToolSpec) -> dict[str, Any]:
    """Return a tool as the API describes functions."""
    return {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}


def chat_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the conversation as the API takes it.

    An assistant's message of which nothing was heard is left out, unless it called tools.
    """
    made: list[dict[str, Any]] = []
    for message in messages:
        match message.role:
            case "tool":
                made.append({"role": "tool", "tool_call_id": message.tool_call_id, "content": message.text})
            case "assistant" if message.tool_calls:
                calls = [_call_json(call) for call in message.tool_calls]
                made.append({"role": "assistant", "content": message.text or None, "tool_calls": calls})
            case "assistant" if not message.text:
                continue
            case role:
                made.append({"role": role, "content": message.text})
    return made


def _call_json(call: ToolCall) -> dict[str, Any]:
    arguments = json.dumps(dict(call.arguments), ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


@attrs.define
class _Call:
    id: str = ""
    name: str = ""
    arguments: str = ""


@final
class ChatDecoder:
    """Takes the data of a stream's events, and gives what the model says."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._calls: dict[int, _Call] = {}
        self._finish: str | None = None
        self._is_done = False
        self.usage: Usage | None = None
        """What the answer cost, once the server told it."""

    def feed(self, data: str) -> list[LlmOutput]:
        """Take the data of one event.  Raises ServiceError when it is an error, or not what it should be."""
        if data.strip() == DONE:
            self._is_done = True
            return self._take_calls()
        event = check_json_object(self._service, data)
        if event.get("error"):
            raise error_of_event(self._service, event["error"])
        given: list[LlmOutput] = []
        choices = event.get("choices")
        try:
            if isinstance(event.get("usage"), dict):
                self.usage = _usage(event["usage"])
            for choice in choices if isinstance(choices, list) else ():
                given += self._take_choice(choice)
        except MALFORMED:
            text = f"sent an event that cannot be read: {data[:80]!r}"
            raise ServiceError(text, service=self._service) from None
        return given

    def finish(self) -> list[LlmOutput]:
        """The stream ended.  Raises ServiceError when the answer is not whole."""
        if not self._is_done and self._finish is None:
            raise ServiceError("its answer broke off", service=self._service, transient=True)
        return self._take_calls()

    def _take_choice(self, choice: Mapping[str, Any]) -> list[LlmOutput]:
        delta = choice.get("delta") or {}
        given: list[LlmOutput] = []
        text = (delta.get("content") or "") + (delta.get("refusal") or "")
        if text:
            given.append(TextFrame(text))
        for piece in delta.get("tool_calls") or ():
            self._take_piece(piece)
        finish = choice.get("finish_reason")
        if finish:
            self._finish = str(finish)
            if finish == "content_filter":
                raise ServiceError("its filter stopped the answer", service=self._service, fault="ours")
            given += self._take_calls()
        return given

    def _take_piece(self, piece: Mapping[str, Any]) -> None:
        # Some servers leave the index out: then a piece with an id begins a call.
        index = piece.get("index")
        if index is None:
            index = len(self._calls) if piece.get("id") else max(len(self._calls) - 1, 0)
        call = self._calls.setdefault(int(index), _Call())
        function = piece.get("function") or {}
        call.id = piece.get("id") or call.id
        call.name += function.get("name") or ""
        call.arguments += function.get("arguments") or ""

    def _take_calls(self) -> list[LlmOutput]:
        calls, self._calls = self._calls, {}
        return [self._whole(calls[index], index) for index in sorted(calls)]

    def _whole(self, call: _Call, index: int) -> ToolCall:
        arguments = parse_tool_arguments(self._service, call.name, call.arguments)
        return ToolCall(call.id or f"call_{index}", call.name, arguments)


def parse_tool_arguments(service: str, name: str, text: str) -> dict[str, Any]:
    """Return a call's arguments.  Raises ServiceError when the model wrote what is no JSON object."""
    try:
        arguments = json.loads(text or "{}")
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise ServiceError(
            f"its model called {name!r} with arguments that are no JSON object",
            service=service,
            transient=True,
        )
    return arguments


def error_of_event(service: str, error: Any) -> ServiceError:
    """Return the error that a stream says in the midst of an answer: a text, or an object with one."""
    fields = error if isinstance(error, dict) else {"message": error}
    kind, code = str(fields.get("type") or ""), str(fields.get("code") or "")
    text = " ".join(str(fields.get("message") or code or kind or "it failed").split())[:300]
    if "rate_limit" in kind + code:
        return ServiceError(f"{text}: ask less often", service=service, fault="limit", transient=True)
    if "insufficient_quota" in kind + code:
        return ServiceError(f"{text}: have the limit raised", service=service, fault="limit")
    if "invalid_api_key" in kind + code or "authentication" in kind:
        return ServiceError(f"{text}: check the key", service=service, fault="credentials")
    if "invalid_request" in kind:
        return ServiceError(f"{text}: check the options", service=service, fault="ours")
    return ServiceError(text, service=service, transient=True)


def _usage(usage: Mapping[str, Any]) -> Usage:
    details = usage.get("prompt_tokens_details") or {}
    return Usage(
        int(usage.get("prompt_tokens") or 0),
        int(usage.get("completion_tokens") or 0),
        int(details.get("cached_tokens") or 0),
    )
