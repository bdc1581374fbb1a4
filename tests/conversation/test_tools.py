"""Tools: their schemas, their one result, and what an interruption does to them."""

from typing import Annotated, Any, Literal

import pytest
import trio

from tests.conversation.calls import calling, scripted
from voicetrio.conversation import Agent, ConversationSettings, Tool, ToolCalling, ToolError, tool
from voicetrio.conversation.context import STILL_RUNNING
from voicetrio.errors import ConfigError
from voicetrio.events import (
    Failure,
    HandedOff,
    Interrupted,
    ReplyAudible,
    ReplyCommitted,
    ReplyEnded,
    ReplyOpened,
    ToolEnded,
    ToolStarted,
)
from voicetrio.services.llm import Message, ToolCall

# --- schemas ---


def test_a_tool_is_read_off_its_function():
    @tool
    async def walk(
        metres: Annotated[int, "how far"],
        pace: Literal["slow", "fast"] = "slow",
        stops: list[str] | None = None,
    ) -> str:
        """Walk forward.

        The rest is for people.
        """
        return "walked"

    assert walk.name == "walk"
    assert walk.spec.description == "Walk forward."
    assert walk.spec.parameters == {
        "type": "object",
        "properties": {
            "metres": {"type": "integer", "description": "how far"},
            "pace": {"enum": ["slow", "fast"]},
            "stops": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
        },
        "required": ["metres"],
        "additionalProperties": False,
    }


def test_a_tool_can_be_named_and_described():
    @tool(name="go", description="Go.", on_interrupt="finish", timeout_s=3.0)
    def anything(data: dict[str, Any], flag: bool, size: float) -> None: ...

    assert (anything.name, anything.spec.description) == ("go", "Go.")
    assert (anything.on_interrupt, anything.timeout_s) == ("finish", 3.0)
    kinds = [schema["type"] for schema in anything.spec.parameters["properties"].values()]
    assert kinds == ["object", "boolean", "number"]


def test_a_parameter_without_a_usable_type_is_refused():
    def no_hint(x): ...
    def no_json(x: complex): ...
    def anything(*args: int): ...

    for function, problem in ((no_hint, "type hint"), (no_json, "no word for"), (anything, "named")):
        with pytest.raises(ConfigError, match=problem):
            tool(function)


def test_two_tools_of_one_name_are_refused():
    def walk(metres: int): ...

    with pytest.raises(ConfigError, match="two tools"):
        Agent(tools=[walk, tool(name="walk")(lambda: None)])


# --- calls ---

STORY = " ".join(f"word{k}" for k in range(12))


def call_of(name, **arguments):
    return ToolCall(f"id-{name}", name, arguments)


def results(call):
    return {
        message.tool_call_id: message.text
        for message in call.conversation.context.messages()
        if message.role == "tool"
    }


async def test_the_model_gets_the_result_and_answers(autojump_clock):
    async def walk(metres: int) -> dict[str, int]:
        """Walk."""
        await trio.sleep(1)
        return {"walked": metres}

    agent, _, llm, _ = scripted(
        hears=["Go forward."],
        answers=[["Let me try. ", call_of("walk", metres=10)], "I walked ten metres."],
        tools=[walk],
    )
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        ended = await call.wait_for(ReplyEnded)
        assert ended.heard == "Let me try. I walked ten metres."
        assert call.conversation.context.messages() == (
            Message("user", "Go forward."),
            Message("assistant", "Let me try.", tool_calls=(call_of("walk", metres=10),)),
            Message("tool", '{"walked": 10}', tool_call_id="id-walk"),
            Message("assistant", "I walked ten metres."),
        )
        assert llm.requests[1] == call.conversation.context.messages()[:3]
        assert [spec.name for spec in llm.tools[0]] == ["walk"]
        assert len(call.of(ReplyAudible)) == 1
        assert [event.how for event in call.of(ToolEnded)] == ["done"]


async def test_no_tool_runs_before_the_reply_is_committed(autojump_clock):
    async def ring() -> str:
        """Ring."""
        return "rung"

    agent, *_ = scripted(
        hears=["Ring."], answers=[[call_of("ring")], "Done."], tools=[ring], first_piece_s=0.0, decode_s=0.0
    )
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        started = await call.wait_for(ToolStarted)
        assert call.at(started) >= call.at(call.of(ReplyCommitted)[0])
        assert call.at(call.of(ReplyOpened)[0]) < call.at(started) - 0.3


@pytest.mark.parametrize(
    ("arguments", "result", "how"),
    [
        ({"metres": 1}, "walked", "done"),
        ({"metres": 2}, "error: my leg hurts", "failed"),
        ({"metres": 3}, "error: the tool failed", "failed"),
        ({"metres": 4}, "error: no result within 2 s", "timed out"),
        ({"yards": 4}, "error: unknown argument 'yards'; missing argument 'metres'", "failed"),
    ],
)
async def test_every_call_has_exactly_one_result(arguments, result, how, autojump_clock):
    @tool(timeout_s=2.0)
    async def walk(metres: int) -> str:
        """Walk."""
        if metres == 2:
            raise ToolError("my leg hurts")
        if metres == 3:
            raise KeyError("secret")
        await trio.sleep(metres * 0.9 if metres < 4 else 60)
        return "walked"

    agent, *_ = scripted(hears=["Go."], answers=[[call_of("walk", **arguments)], "So it is."], tools=[walk])
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        assert (await call.wait_for(ReplyEnded)).heard == "So it is."
        assert results(call) == {"id-walk": result}
        assert [event.how for event in call.of(ToolEnded)] == [how]
        assert len(call.of(Failure)) == (arguments.get("metres") == 3)


async def test_an_unknown_tool_is_an_error_the_model_is_told(autojump_clock):
    agent, *_ = scripted(hears=["Go."], answers=[[call_of("fly")], "I cannot."])
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        await call.wait_for(ReplyEnded)
        assert results(call) == {"id-fly": "error: there is no tool named 'fly'"}


async def test_a_model_that_only_calls_tools_is_stopped_after_so_many_rounds(autojump_clock):
    def again() -> str:
        """Again."""
        return "again"

    agent, _, llm, _ = scripted(
        hears=["Go."],
        answers=lambda messages: [ToolCall(f"id-{len(messages)}", "again", {})],
        tools=[again],
        settings=ConversationSettings(max_tool_rounds=2),
    )
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        await call.wait_for(ReplyEnded)
        assert [len(tools) for tools in llm.tools] == [1, 1, 0]
        assert len(call.of(ToolStarted)) == 2


async def test_calls_run_side_by_side(autojump_clock):
    async def nap(seconds: float) -> str:
        """Sleep."""
        await trio.sleep(seconds)
        return "slept"

    calls = [ToolCall(f"id-{k}", "nap", {"seconds": 1.0}) for k in range(3)]
    agent, *_ = scripted(hears=["Go."], answers=[calls, "Done."], tools=[nap])
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        await call.wait_for(ToolEnded, count=3)
        ends = [call.at(event) for event in call.of(ToolEnded)]
        assert ends[0] == ends[2]


async def test_say_inside_a_tool_is_heard_while_the_tool_runs(autojump_clock):
    async def walk(metres: int, calling: ToolCalling) -> str:
        """Walk."""
        await calling.say("walking now")
        return "walked"

    agent, *_ = scripted(
        hears=["Go."], answers=[["Right away. ", call_of("walk", metres=1)], "There."], tools=[walk]
    )
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        with trio.fail_after(20):
            await call.wait_for(ReplyEnded, count=2)
        assert [event.heard for event in call.of(ReplyEnded)] == ["walking now", "Right away. There."]
        texts = [m.text for m in call.conversation.context.messages() if m.role == "assistant"]
        assert texts == ["Right away.", "walking now", "There."]


def slow(on_interrupt, log):
    @tool(on_interrupt=on_interrupt)
    async def book(what: str) -> str:
        """Book."""
        try:
            await trio.sleep(6)
        except trio.Cancelled:
            log.append("cancelled")
            raise
        log.append("booked")
        return f"{what} booked"

    return book


@pytest.mark.parametrize("on_interrupt", ["cancel", "finish", "detach"])
async def test_what_an_interruption_does_to_a_call(on_interrupt, autojump_clock):
    log = []
    agent, *_ = scripted(
        hears=["Book it.", "never mind that"],
        answers=lambda messages: {
            "Book it.": ["One moment. ", call_of("book", what="it")],
            "never mind that": "Fine.",
        }.get(messages[-1].text, "It is booked."),
        tools=[slow(on_interrupt, log)],
    )
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        await call.wait_for(ToolStarted)
        call.voice(call.now + 1, call.now + 2)
        fine = await call.wait_for(ReplyEnded, heard="Fine.")
        assert fine.how == "played"
        assert call.of(ReplyEnded)[0].how == "interrupted"
        if on_interrupt == "cancel":
            assert results(call) == {"id-book": "(cancelled: there is no result)"}
        else:
            assert results(call) == {"id-book": STILL_RUNNING}
        await trio.sleep(10)
        expected = "(cancelled: there is no result)" if on_interrupt == "cancel" else "it booked"
        assert results(call) == {"id-book": expected}
        assert log == ["cancelled" if on_interrupt == "cancel" else "booked"]
        reports = [event.heard for event in call.of(ReplyEnded) if event.source == "tool"]
        assert reports == (["It is booked."] if on_interrupt == "detach" else [])


@pytest.mark.parametrize(("on_interrupt", "ends"), [("finish", "booked"), ("detach", "cancelled")])
async def test_the_end_of_the_session_waits_for_what_must_finish(on_interrupt, ends, autojump_clock):
    log = []
    agent, *_ = scripted(
        hears=["Book it.", "never mind that"],
        answers=[["One moment. ", call_of("book", what="it")], "Fine."],
        tools=[slow(on_interrupt, log)],
    )
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        await call.wait_for(ToolStarted)
        call.voice(call.now + 1, call.now + 2)
        await call.wait_for(ReplyEnded, heard="Fine.")
        assert log == []
        call.session.end(grace=10)
        await call.session.wait_ended()
        assert log == [ends]
        assert [event.how for event in call.of(ToolEnded)] == ["done" if ends == "booked" else "cancelled"]


async def test_an_interruption_during_the_speech_of_a_tool_stops_both(autojump_clock):
    log = []

    @tool
    async def narrate(calling: ToolCalling) -> str:
        """Narrate."""
        try:
            await calling.say(STORY)
        finally:
            log.append("over")
        return "narrated"

    agent, *_ = scripted(
        hears=["Narrate.", "stop that now"], answers=[[call_of("narrate")], "Fine."], tools=[narrate]
    )
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        await call.wait_for(ReplyAudible)
        await trio.sleep(0.5)
        await call.speak(1.0)
        await call.wait_for(ReplyEnded, heard="Fine.")
        assert log == ["over"]
        assert results(call) == {"id-narrate": "(cancelled: there is no result)"}
        assert len(call.of(Interrupted)) == 1


async def test_user_speech_while_a_tool_runs_does_not_undo_what_it_did(autojump_clock):
    async def pay() -> str:
        """Pay."""
        await trio.sleep(3)
        return "paid"

    agent, _, llm, _ = scripted(
        hears=["Pay.", "and hurry"], answers=[[call_of("pay")], "On it."], tools=[pay]
    )
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        await call.wait_for(ToolStarted)
        await call.speak(0.8)
        await call.wait_for(ReplyEnded, heard="On it.")
        roles = [message.role for message in call.conversation.context.messages()]
        assert roles == ["user", "assistant", "tool", "user", "assistant"]
        assert llm.requests[1][-1] == Message("user", "and hurry")


async def test_a_tool_can_hand_off_to_another_agent(autojump_clock):
    colleague, _, other_llm, other_tts = scripted(
        answers=["I answer now."], greeting="Hello, this is billing.", name="billing", instructions="Bill."
    )

    async def transfer() -> Agent:
        """Transfer."""
        return colleague

    agent, _, llm, _ = scripted(
        hears=["Billing, please.", "Are you there?"],
        answers=[["I will put you through. ", call_of("transfer")]],
        tools=[transfer],
        name="desk",
    )
    async with calling(agent) as call:
        call.voice(0.5, 1.5)
        await call.wait_for(ReplyEnded, count=2)
        assert [event.heard for event in call.of(ReplyEnded)] == [
            "I will put you through.",
            "Hello, this is billing.",
        ]
        (handed,) = call.of(HandedOff)
        assert (handed.old, handed.new) == ("desk", "billing")
        assert results(call) == {"id-transfer": "handed over to billing"}
        await call.speak(1.0)
        assert (await call.wait_for(ReplyEnded, count=3)).heard == "I answer now."
        assert other_llm.requests[0][0] == Message("system", "Bill.")
        assert len(llm.requests) == 1
        assert other_tts.finished == 2


async def test_an_agent_without_a_greeting_opens_with_an_answer(autojump_clock):
    colleague, _, other_llm, _ = scripted(answers=["I took over."], name="billing")
    agent, *_ = scripted(greeting="Hello.")
    async with calling(agent) as call:
        await call.wait_for(ReplyEnded)
        call.conversation.hand_off(colleague)
        assert call.conversation.agent is colleague
        assert (await call.wait_for(ReplyEnded, count=2)).heard == "I took over."
        assert other_llm.requests == [(Message("assistant", "Hello."),)]


def test_a_tool_can_still_be_called_as_a_function():
    @tool
    def double(x: int) -> int:
        return 2 * x

    assert isinstance(double, Tool)
    assert double(4) == 8
