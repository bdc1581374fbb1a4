"""A conversation that is cut short at any instant keeps every promise, and a seed decides all of it."""

import pytest
import trio

from tests.conversation.calls import calling, scripted
from voicetrio.conversation import tool
from voicetrio.errors import SessionEnded
from voicetrio.events import Interrupted, ReplyEnded, ReplyOpened, ReplyRetracted, ToolEnded, ToolStarted
from voicetrio.services.llm import ToolCall
from voicetrio.testing.every_step import (
    cancel_at_every_step,
    end_at_every_step,
    end_then_cancel_at_every_step,
)
from voicetrio.testing.simulation import simulate

RUNS = 60


@tool(on_interrupt="finish")
async def book(what: str) -> str:
    """Book."""
    await trio.sleep(1)
    return f"{what} booked"


async def conversation(sim):
    """A greeting, a turn with a tool, a barge-in, an answer."""
    agent, *_ = scripted(
        hears=["Book it.", "no, stop that"],
        answers=[
            ["One moment. ", ToolCall("id-1", "book", {"what": "it"})],
            "It is booked now, and I will tell you all about it at length.",
            "Fine.",
        ],
        greeting="Hello.",
        tools=[book],
    )
    calls = []
    try:
        async with calling(agent, opener=sim.open_session, leave_when_over=True) as call:
            calls.append(call)
            call.voice(1.0, 1.6)
            await call.wait_for(ToolEnded)
            await trio.sleep(1.5)
            await call.speak(0.6)
            await call.wait_for(ReplyEnded, heard="Fine.")
    except* SessionEnded:
        pass  # cut short before there was a conversation
    for call in calls:
        check(call)


def check(call):
    over = [event.reply for event in call.of(ReplyEnded, ReplyRetracted)]
    assert len(set(over)) == len(over)
    assert sorted(over) == sorted(event.reply for event in call.of(ReplyOpened))
    assert len(call.of(ToolStarted)) == len(call.of(ToolEnded))
    for ended in call.of(ReplyEnded):
        assert ended.text.startswith(ended.heard)


def test_the_whole_conversation_goes_as_it_should():
    told = []

    async def scenario(sim):
        await conversation(sim)
        told.extend(sim.watches)

    simulate(scenario, 1)
    assert len(told) == 1


@pytest.mark.parametrize("cut", [cancel_at_every_step, end_at_every_step, end_then_cancel_at_every_step])
def test_it_can_be_cut_short_at_any_instant(cut):
    report = cut(conversation, seed=7, most_runs=RUNS)
    assert report.runs >= RUNS // 2


def test_the_same_seed_gives_the_same_conversation_event_by_event():
    first, again = simulate(conversation, 5), simulate(conversation, 5)
    assert first.digest() == again.digest()


def test_the_schedule_does_not_change_what_is_said():
    heard = set()

    async def scenario(sim):
        agent, *_ = scripted(hears=["Go on.", "stop it"], answers=["word " * 30, "Fine."], greeting="Hello.")
        async with calling(agent, opener=sim.open_session) as call:
            call.voice(1.0, 1.6)
            call.voice(5.0, 5.7)
            await call.wait_for(ReplyEnded, heard="Fine.")
            heard.add(tuple((event.how, event.heard) for event in call.of(ReplyEnded)))
            assert len(call.of(Interrupted)) == 1

    for seed in range(12):
        simulate(scenario, seed)
    assert len(heard) == 1
