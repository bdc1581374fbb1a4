"""The wire of chat completions, without I/O."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.errors import ServiceError
from voicetrio.frames import TextFrame
from voicetrio.services.llm import ToolCall
from voicetrio.services.openai.wire import ChatDecoder


def chunk(delta: dict[str, Any], finish: str | None = None) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def piece(arguments: str, **fields: Any) -> str:
    return chunk({"tool_calls": [{**fields, "function": {"arguments": arguments}}]})


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=10), max_size=3), st.data())
def test_arguments_may_be_cut_anywhere(arguments: dict[str, str], data: st.DataObject) -> None:
    text = json.dumps(arguments, ensure_ascii=False)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    decoder = ChatDecoder("test")
    head = {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}]}
    outputs = decoder.feed(chunk(head))
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        outputs += decoder.feed(piece(text[start:end], index=0))
    outputs += decoder.feed(chunk({}, "tool_calls"))
    assert outputs + decoder.finish() == [ToolCall("c", "f", arguments)]


def test_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    decoder = ChatDecoder("test")
    for name in "ab":
        call = {"id": f"id-{name}", "function": {"name": name, "arguments": '{"x":'}}
        decoder.feed(chunk({"tool_calls": [call]}))
        decoder.feed(piece("1}"))
    outputs = decoder.feed(chunk({}, "tool_calls"))
    assert outputs == [ToolCall("id-a", "a", {"x": 1}), ToolCall("id-b", "b", {"x": 1})]


def test_a_call_without_arguments_has_none() -> None:
    decoder = ChatDecoder("test")
    decoder.feed(chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f"}}]}))
    assert decoder.feed(chunk({}, "tool_calls")) == [ToolCall("c", "f", {})]


@pytest.mark.parametrize("arguments", ["{", "[1]", "7", "{'a': 1}"])
def test_arguments_that_are_no_object_are_an_error(arguments: str) -> None:
    decoder = ChatDecoder("test")
    decoder.feed(chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f"}}]}))
    decoder.feed(piece(arguments, index=0))
    with pytest.raises(ServiceError, match="called 'f' with arguments that are no JSON object"):
        decoder.feed(chunk({}, "tool_calls"))


def test_a_server_that_sends_no_done_is_whole_with_a_finish_reason() -> None:
    decoder = ChatDecoder("test")
    assert decoder.feed(chunk({"content": "yes"}, "stop")) == [TextFrame("yes")]
    assert decoder.finish() == []


def test_done_alone_is_an_end_too() -> None:
    decoder = ChatDecoder("test")
    decoder.feed(chunk({"content": "yes"}))
    assert decoder.feed("[DONE]") == []
    assert decoder.finish() == []


def test_a_stream_without_an_end_broke_off() -> None:
    decoder = ChatDecoder("test")
    decoder.feed(chunk({"content": "yes"}))
    with pytest.raises(ServiceError, match="broke off"):
        decoder.finish()


@pytest.mark.parametrize(
    "data", ["", "nonsense", "[]", '{"choices": [7]}', '{"choices": [{"delta": {"tool_calls": [7]}}]}']
)
def test_what_is_no_event_is_their_error(data: str) -> None:
    with pytest.raises(ServiceError) as caught:
        ChatDecoder("test").feed(data)
    assert caught.value.fault == "theirs"


@pytest.mark.parametrize("data", ["{}", '{"choices": []}', '{"choices": null, "usage": null}', '{"new": 1}'])
def test_what_says_nothing_is_passed_over(data: str) -> None:
    assert ChatDecoder("test").feed(data) == []


@pytest.mark.parametrize(
    ("error", "fault", "transient"),
    [
        ({"message": "slow down", "code": "rate_limit_exceeded"}, "limit", True),
        ({"message": "no more", "code": "insufficient_quota"}, "limit", False),
        ({"message": "who?", "code": "invalid_api_key"}, "credentials", False),
        ({"message": "what?", "type": "invalid_request_error"}, "ours", False),
        ({"message": "oh", "type": "server_error"}, "theirs", True),
        ("oh", "theirs", True),
        ({"type": None}, "theirs", True),
    ],
)
def test_an_error_in_the_stream_says_whose_fault_it_is(error: Any, fault: str, transient: bool) -> None:
    with pytest.raises(ServiceError) as caught:
        ChatDecoder("test").feed(json.dumps({"error": error}))
    assert (caught.value.fault, caught.value.transient) == (fault, transient)


def test_an_answer_that_a_filter_stopped_is_an_error() -> None:
    with pytest.raises(ServiceError, match="filter"):
        ChatDecoder("test").feed(chunk({}, "content_filter"))


def test_a_refusal_is_what_the_model_says() -> None:
    assert ChatDecoder("test").feed(chunk({"refusal": "I cannot."})) == [TextFrame("I cannot.")]
