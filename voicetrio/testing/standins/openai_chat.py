"""The chat completions of the stand-in for OpenAI."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import trio

from voicetrio.services.llm import ToolCall
from voicetrio.testing.scripted import Answer
from voicetrio.testing.standins.http import Exchange
from voicetrio.testing.standins.openai_fault import HttpFault, RequestRefused

__all__ = ["answer_chat"]

ROLES: Final = ("system", "developer", "user", "assistant", "tool")
ARGUMENT_PIECE: Final = 7
"""Characters of a call's arguments in one event: they arrive cut anywhere."""


async def answer_chat(
    exchange: Exchange,
    body: Mapping[str, Any],
    next_answer: Callable[[Mapping[str, Any]], Answer],
    pause: Callable[[], Awaitable[None]],
    fault: HttpFault | None,
) -> None:
    """Answer one request, streamed or whole, as its body asks.  Raises RequestRefused."""
    check_messages(body.get("messages"))
    for tool in body.get("tools") or ():
        if tool.get("type") != "function" or not tool.get("function", {}).get("name"):
            raise RequestRefused(400, "Missing required parameter: 'tools[0].function.name'.", code=None)
    answer = next_answer(body)
    parts = _word_pieces(answer) if isinstance(answer, str) else list(answer)
    if body.get("stream"):
        await _stream(exchange, body, parts, pause, fault)
    else:
        await exchange.respond(200, json.dumps(_whole(body, parts)))


def check_messages(messages: Any) -> None:
    """Refuse messages that the API refuses: a tool's result without its call, a call without its result."""
    if not isinstance(messages, list) or not messages:
        raise RequestRefused(400, "Invalid 'messages': empty array.", code="empty_array", param="messages")
    owed: list[str] = []
    for index, message in enumerate(messages):
        role = message.get("role")
        where = f"messages.[{index}].role"
        if role not in ROLES:
            raise RequestRefused(400, f"Invalid value: '{role}'.", code="invalid_value", param=where)
        if role == "tool":
            if message.get("tool_call_id") not in owed:
                text = (
                    "Invalid parameter: messages with role 'tool' must be a response to a preceding "
                    "message with 'tool_calls'."
                )
                raise RequestRefused(400, text, code=None, param=where)
            owed.remove(message["tool_call_id"])
            continue
        if owed:
            text = f"tool_call_ids did not have response messages: {', '.join(owed)}"
            raise RequestRefused(400, text, code=None, param=where)
        owed = [call["id"] for call in message.get("tool_calls") or ()]
        if message.get("content") is None and not owed:
            raise RequestRefused(400, "Invalid value for 'content': expected a string, got null.", code=None)
    if owed:
        raise RequestRefused(400, f"tool_call_ids did not have response messages: {owed}", code=None)


async def _stream(
    exchange: Exchange,
    body: Mapping[str, Any],
    parts: Sequence[Any],
    pause: Callable[[], Awaitable[None]],
    fault: HttpFault | None,
) -> None:
    await exchange.begin(content_type="text/event-stream; charset=utf-8")
    pieces = calls = 0

    async def tell(delta: Mapping[str, Any], finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        await _event(exchange, _chunk(body, [choice]))

    await tell({"role": "assistant", "content": ""})
    for part in parts:
        if isinstance(part, float | int):
            await trio.sleep(part)
            continue
        for delta in _deltas(part, calls):
            if fault is not None and await fault.at(exchange, pieces):
                return
            if pieces:
                await pause()
            await tell(delta)
            pieces += 1
        calls += isinstance(part, ToolCall)
    if fault is not None and fault.kind != "status" and await fault.at(exchange, pieces):
        return
    await tell({}, "tool_calls" if calls else "stop")
    if (body.get("stream_options") or {}).get("include_usage"):
        await _event(exchange, {**_chunk(body, []), "usage": _usage(body, pieces)})
    await exchange.write(b"data: [DONE]\n\n")


def _deltas(part: str | ToolCall, index: int) -> list[dict[str, Any]]:
    if isinstance(part, str):
        return [{"content": part}]
    text = json.dumps(dict(part.arguments))
    function = {"name": part.name, "arguments": ""}
    deltas: list[dict[str, Any]] = [
        {"tool_calls": [{"index": index, "id": part.id, "type": "function", "function": function}]}
    ]
    for start in range(0, len(text), ARGUMENT_PIECE):
        piece = {"arguments": text[start : start + ARGUMENT_PIECE]}
        deltas.append({"tool_calls": [{"index": index, "function": piece}]})
    return deltas


def _whole(body: Mapping[str, Any], parts: Sequence[Any]) -> dict[str, Any]:
    text = "".join(part for part in parts if isinstance(part, str))
    calls = [
        {
            "id": part.id,
            "type": "function",
            "function": {"name": part.name, "arguments": json.dumps(dict(part.arguments))},
        }
        for part in parts
        if isinstance(part, ToolCall)
    ]
    message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": None}
    if calls:
        message["tool_calls"] = calls
    finish = "tool_calls" if calls else "stop"
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    head = {"id": "chatcmpl-standin", "object": "chat.completion", "created": 0, "model": body["model"]}
    return {**head, "choices": [choice], "usage": _usage(body, len(parts))}


def _chunk(body: Mapping[str, Any], choices: Sequence[Any]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-standin",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": body["model"],
        "choices": list(choices),
    }


def _usage(body: Mapping[str, Any], pieces: int) -> dict[str, int]:
    prompt = sum(len(str(message.get("content") or "").split()) for message in body["messages"])
    return {"prompt_tokens": prompt, "completion_tokens": pieces, "total_tokens": prompt + pieces}


async def _event(exchange: Exchange, value: Mapping[str, Any]) -> None:
    await exchange.write(f"data: {json.dumps(value)}\n\n".encode())


def _word_pieces(text: str) -> list[str]:
    words = text.split(" ")
    return [word if index == 0 else f" {word}" for index, word in enumerate(words)]
