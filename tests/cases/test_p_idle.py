"""Idle timers that fired while somebody spoke, or never."""

from __future__ import annotations

import numpy as np
import pytest
import trio
from trio.testing import MockClock

from tests.cases.conversations import scripted_agent
from voicetrio.conversation.settings import ConversationSettings
from voicetrio.events import Event, ReplyEnded, UserAway
from voicetrio.runtime.session import open_session
from voicetrio.transports.memory import FarEnd, memory_peer

LONG = " ".join(["word"] * 40)  # six seconds of it


async def microphone(far_end: FarEnd) -> None:
    due = trio.current_time()
    while True:
        far_end.send_audio_nowait(np.zeros(320, np.int16))
        due += 0.02
        await trio.sleep_until(due)


async def test_p37_nobody_is_away_while_the_agent_speaks_and_somebody_is_after_it(
    autojump_clock: MockClock,
) -> None:
    """What counts is who speaks, not which frames pass: pipecat-ai/pipecat#3140, #5479."""
    events: list[Event] = []
    peer, far_end = memory_peer()
    agent = scripted_agent(greeting=LONG, settings=ConversationSettings(away_after_s=2.0))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(microphone, far_end)
        async with open_session(peer, agent) as session:
            session.hub._callbacks.append(events.append)
            await trio.sleep(12)
            nursery.cancel_scope.cancel()
            session.cancel()
    over = next(event.time for event in events if isinstance(event, ReplyEnded))
    away = [event.time for event in events if isinstance(event, UserAway)]
    assert over is not None
    assert over > 5
    assert away[0] == pytest.approx(over + 2.0, abs=0.3)
