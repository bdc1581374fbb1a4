"""The language model over chat completions, against the stand-in."""

from __future__ import annotations

import random

import pytest
import trio
from trio.testing import MockClock

from tests.services.openai.asking import HELLO, account_of, ask, text_of
from voicetrio.errors import ConfigError, SessionEnded
from voicetrio.frames import TextFrame
from voicetrio.runtime.keeper import open_keeper
from voicetrio.runtime.outbox import Gate, using_gate
from voicetrio.services.llm import LlmOutput, Message, ToolCall, ToolSpec
from voicetrio.services.openai import OpenAILLM, Usage, find_account, open_services
from voicetrio.testing.leaks import assert_no_leaks
from voicetrio.testing.standins.openai import OpenAIScript, OpenAIStandin, open_openai_standin
from voicetrio.testing.standins.openai_fault import HttpFault

LOOK_UP = ToolSpec(
    "look_up",
    "Look something up.",
    {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]},
)
CALLS = (ToolCall("call_1", "look_up", {"what": "time"}), ToolCall("call_2", "look_up", {"what": "päth"}))


async def test_text_streams_as_it_comes_and_concatenates_to_the_answer(autojump_clock: MockClock) -> None:
    script = OpenAIScript(answers=["one two three"], piece_s=1.0)
    async with open_openai_standin(script) as standin, open_keeper():
        outlet, outputs = trio.open_memory_channel[LlmOutput](0)
        arrivals: list[tuple[str, float]] = []

        async def answer() -> None:
            async with outlet:
                await OpenAILLM(account=account_of(standin)).answer(HELLO, (), outlet)

        async with trio.open_nursery() as nursery:
            start = trio.current_time()
            nursery.start_soon(answer)
            async for output in outputs:
                assert isinstance(output, TextFrame)
                arrivals.append((output.text, round(trio.current_time() - start, 3)))
    assert arrivals == [("one", 0.0), (" two", 1.0), (" three", 2.0)]


async def test_the_request_holds_the_conversation_the_key_and_the_options() -> None:
    async with open_openai_standin() as standin:
        llm = OpenAILLM(account=account_of(standin), options={"temperature": 0.2})
        outputs, error = await ask(llm)
        [request] = standin.requests
    assert error is None
    assert text_of(outputs) == "You said: hello there"
    assert request.headers["authorization"] == f"Bearer {standin.key}"
    body = request.json()
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hello there"},
    ]
    assert (body["model"], body["stream"], body["temperature"]) == ("gpt-4o-mini", True, 0.2)
    assert "tools" not in body


async def test_usage_is_counted() -> None:
    async with open_openai_standin(OpenAIScript(answers=["a b c", "d"])) as standin:
        llm = OpenAILLM(account=account_of(standin))
        await ask(llm)
        await ask(llm)
        statistics = llm.statistics()
    assert statistics.usage == Usage(input_tokens=8, output_tokens=4)
    assert (statistics.requests, statistics.finished, statistics.failed) == (2, 2, 0)


async def test_calls_of_tools_come_whole_behind_the_text() -> None:
    script = OpenAIScript(answers=[["Let me see.", *CALLS]])
    async with open_openai_standin(script) as standin:
        outputs, error = await ask(OpenAILLM(account=account_of(standin)), HELLO, [LOOK_UP])
        body = standin.requests[0].json()
    assert error is None
    assert outputs == [TextFrame("Let me see."), *CALLS]
    assert body["tools"] == [{"type": "function", "function": {
        "name": "look_up", "description": "Look something up.", "parameters": LOOK_UP.parameters,
    }}]  # fmt: skip


async def test_a_conversation_with_tools_and_interruptions_is_one_that_the_api_takes() -> None:
    messages = [
        *HELLO,
        Message("assistant", "", tool_calls=CALLS),
        Message("tool", "noon", tool_call_id="call_1"),
        Message("tool", "(cancelled: there is no result)", tool_call_id="call_2"),
        Message("assistant", "It is", interrupted=True, unheard="noon."),
        Message("user", "wait"),
        Message("assistant", "", interrupted=True, unheard="Yes?"),
        Message("system", "The tool look_up has finished."),
        Message("user", "go on"),
    ]
    async with open_openai_standin() as standin:
        outputs, error = await ask(OpenAILLM(account=account_of(standin)), messages)
        sent = standin.requests[0].json()["messages"]
    assert error is None
    assert text_of(outputs) == "You said: go on"
    assert [message["role"] for message in sent] == (
        ["system", "user", "assistant", "tool", "tool", "assistant", "user", "system", "user"]
    )
    assert sent[2]["content"] is None
    assert sent[5]["content"] == "It is"


# --- what goes wrong ---------------------------------------------------------------------------------


FAILURES = {
    "status": (HttpFault(kind="status", status=400, message="Unsupported value."), "ours", False, 1),
    "quota": (
        HttpFault(kind="status", status=429, message="You exceeded it.", code="insufficient_quota"),
        "limit",
        False,
        1,
    ),
    "busy": (HttpFault(kind="status", status=503, message="Overloaded."), "theirs", True, 3),
    "page": (HttpFault(kind="page", status=200), "network", False, 1),
    "proxy": (HttpFault(kind="page", status=502), "theirs", True, 3),
    "garbage": (HttpFault(kind="garbage"), "theirs", False, 1),
    "error": (HttpFault(kind="error", message="It failed."), "theirs", True, 2),
    "torn": (HttpFault(kind="torn"), "theirs", True, 2),
    "cut": (HttpFault(kind="cut"), "theirs", True, 2),
    "stall": (HttpFault(kind="stall"), "theirs", True, 2),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_a_failure_is_one_typed_error_and_what_may_pass_is_tried_again(
    name: str, autojump_clock: MockClock
) -> None:
    fault, blame, transient, requests = FAILURES[name]
    async with open_openai_standin() as standin:
        standin.always = fault
        outputs, error = await ask(OpenAILLM(account=account_of(standin)))
        assert len(standin.requests) == requests
    assert outputs == []
    assert error is not None
    assert (error.fault, error.transient) == (blame, transient)
    assert "\n" not in str(error)
    assert standin.key not in str(error)


@pytest.mark.parametrize("kind", ["torn", "garbage", "error", "cut", "stall"])
async def test_an_answer_that_breaks_off_in_its_midst_is_not_begun_again(
    kind: str, autojump_clock: MockClock
) -> None:
    async with open_openai_standin(OpenAIScript(answers=["one two three four"])) as standin:
        standin.always = HttpFault(kind=kind, after=2)  # type: ignore[arg-type]
        outputs, error = await ask(OpenAILLM(account=account_of(standin)))
    assert text_of(outputs) == "one two"
    assert error is not None
    assert len(standin.requests) == 1


async def test_a_passing_failure_is_not_noticed(autojump_clock: MockClock) -> None:
    async with open_openai_standin(OpenAIScript(answers=["lost", "one two"])) as standin:
        standin.faults.extend([HttpFault(kind="status", status=500), HttpFault(kind="torn"), None])
        outputs, error = await ask(OpenAILLM(account=account_of(standin)))
    assert error is None
    assert text_of(outputs) == "one two"


async def test_the_wait_that_a_server_asks_for_is_kept(autojump_clock: MockClock) -> None:
    async with open_openai_standin() as standin:
        standin.faults.append(
            HttpFault(kind="status", status=429, code="rate_limit_exceeded", retry_after="7")
        )
        start = trio.current_time()
        _outputs, error = await ask(OpenAILLM(account=account_of(standin)))
        waited_s = trio.current_time() - start
    assert error is None
    assert waited_s == pytest.approx(7.0)


async def test_a_bad_key_is_named_and_not_shown() -> None:
    key = "sk-wrong-wrong-wrong-wrong"
    async with open_openai_standin() as standin:
        llm = OpenAILLM(account=find_account(key, standin.base_url))
        _outputs, error = await ask(llm)
    assert error is not None
    assert (error.fault, error.transient) == ("credentials", False)
    assert "check the key" in str(error)
    seen = f"{error} {error!r} {llm!r} {vars(llm)} {error.__cause__!r} {error.__context__!r}"
    assert key not in seen


async def test_an_unknown_model_is_named() -> None:
    async with open_openai_standin() as standin:
        _outputs, error = await ask(OpenAILLM("gpt-nope", account=account_of(standin)))
    assert error is not None
    assert error.fault == "ours"
    assert "`gpt-nope` does not exist" in str(error)


async def test_a_call_whose_arguments_broke_off_is_not_given() -> None:
    async with open_openai_standin(OpenAIScript(answers=lambda body: [CALLS[0]])) as standin:
        standin.always = HttpFault(kind="cut", after=2)
        outputs, error = await ask(OpenAILLM(account=account_of(standin)), HELLO, [LOOK_UP])
    assert outputs == []
    assert error is not None
    assert "broke off" in str(error)


def test_a_missing_key_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ConfigError) as caught:
        OpenAILLM()
    assert str(caught.value) == "OpenAI needs a key: give it api_key=…, or set OPENAI_API_KEY"


async def test_a_server_of_ones_own_may_do_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    async with open_openai_standin() as standin:
        _outputs, error = await ask(OpenAILLM(base_url=standin.base_url))
        assert "authorization" not in standin.requests[0].headers
    assert error is not None
    assert error.fault == "credentials"


def test_fields_that_the_service_sets_are_refused_as_options() -> None:
    with pytest.raises(ConfigError, match="'stream' is set by the service"):
        OpenAILLM(api_key="sk-any", options={"stream": False})


# --- cancelling ----------------------------------------------------------------------------------------


async def test_two_hundred_cancelled_answers_leave_no_socket_and_no_task(autojump_clock: MockClock) -> None:
    chance = random.Random(7)
    script = OpenAIScript(answers=lambda body: "a b c d e f g h", piece_s=0.1)
    async with open_openai_standin(script) as standin:
        with assert_no_leaks(channels=False):
            async with open_services(api_key=standin.key, base_url=standin.base_url) as services:
                for _ in range(200):
                    with trio.move_on_after(chance.uniform(0.0, 0.9)):
                        await ask(services.llm())
                await trio.testing.wait_all_tasks_blocked()
                assert standin.server.open_connections <= 1  # one that is kept for the next request
                assert services.statistics().open_streams == 0
            await trio.testing.wait_all_tasks_blocked()
            assert standin.server.open_connections == 0


async def test_cancelling_reaches_the_server_at_once(autojump_clock: MockClock) -> None:
    async with open_openai_standin(OpenAIScript(answers=["a b c d"], piece_s=1.0)) as standin:
        async with open_services(api_key=standin.key, base_url=standin.base_url) as services:
            with trio.move_on_after(1.5):
                await ask(services.llm())
            await trio.testing.wait_all_tasks_blocked()
            assert standin.server.open_connections == 0
            assert standin.finished == 0


async def test_a_session_that_was_cancelled_asks_no_more() -> None:
    gate = Gate()
    async with open_openai_standin() as standin:
        llm = OpenAILLM(account=account_of(standin))
        with using_gate(gate):
            gate.shut()
            with pytest.raises(SessionEnded):
                await ask(llm)
        assert standin.server.connections == 0


async def test_answers_of_one_client_run_side_by_side(autojump_clock: MockClock) -> None:
    script = OpenAIScript(answers=lambda body: body["messages"][-1]["content"], piece_s=0.1)
    texts = [f"text number {k}" for k in range(8)]
    found: dict[str, str] = {}

    async def one(standin: OpenAIStandin, llm: OpenAILLM, text: str) -> None:
        outputs, error = await ask(llm, [Message("user", text)])
        assert error is None
        found[text] = text_of(outputs)

    async with open_openai_standin(script) as standin:
        async with open_services(api_key=standin.key, base_url=standin.base_url) as services:
            llm = services.llm()
            async with trio.open_nursery() as nursery:
                for text in texts:
                    nursery.start_soon(one, standin, llm, text)
    assert found == {text: text for text in texts}
