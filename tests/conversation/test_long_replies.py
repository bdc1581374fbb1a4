"""A reply longer than what the playout holds ahead, so that its voice waits for room."""

import pytest
from trio.testing import MockClock

from tests.conversation.calls import calling, scripted
from voicetrio.events import Failure, Interrupted, ReplyEnded, TurnEnded

LONG = " ".join(f"word{k}" for k in range(100))  # twenty-five seconds


@pytest.mark.parametrize("rate", [0.0, 0.2, 1.0])
async def test_an_interruption_while_the_voice_waits_for_room_is_no_failure(
    autojump_clock: MockClock, rate: float
):
    agent, *_ = scripted(hears=["hold on"], answers=["Yes?"], greeting=LONG)
    async with calling(agent) as call:
        call.voice(2.0 + rate, 2.9 + rate)
        await call.wait_for(Interrupted)
        await call.wait_for(TurnEnded)
        ended = await call.wait_for(ReplyEnded, count=2)
        assert ended.text == "Yes?"
        assert call.of(Failure) == []
