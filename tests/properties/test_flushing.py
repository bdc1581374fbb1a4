"""I6: after a flush no sample of that reply is written past the fade, and what counts as heard was heard.

What was heard is asked at the far end: a model of its player is given what reached it, when it reached it.
"""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
import trio

from voicetrio.conversation.agent import Agent
from voicetrio.conversation.settings import ConversationSettings
from voicetrio.events import Event, ReplyAudible, ReplyEnded
from voicetrio.machines.barge_in import BargeInSettings
from voicetrio.runtime.transport import Clear, SendAudio, Traits
from voicetrio.testing.behaviours import Talk
from voicetrio.testing.operations import BargeIn, Controls, Flush, Wait
from voicetrio.testing.plans import PeerPlan, SessionPlan, run_plan
from voicetrio.testing.scripted import ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD
from voicetrio.testing.simulation import Simulation, simulate
from voicetrio.transports.memory import FarEnd, memory_peer
from voicetrio.transports.playback import PlaybackBuffer

RATE = 16000
WORD_S = 0.15
STORY = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
START_S = 0.06

# An interruption by the voice's length alone: nothing is ducked or paused on the way, so that a sample's
# value tells its word.
AT_ONCE = ConversationSettings(
    barge_in=BargeInSettings(duck_after_s=9.0, pause_after_s=9.0, sustained_s=0.4), away_after_s=None
)


@pytest.mark.parametrize("first", range(0, 120, 40))
def test_flushing_at_any_time_leaves_nothing_but_a_fade(first: int) -> None:
    for seed in range(first, first + 40):
        draws = random.Random(seed)
        operations = tuple(
            draws.choice((Wait(draws.uniform(0, 0.5)), Wait(0.02), Flush(), BargeIn(0.1, 0.0)))
            for _ in range(draws.randint(2, 8))
        )
        peer = PeerPlan(
            can_clear=draws.random() < 0.5, confirms=draws.random() < 0.5, lead_s=draws.choice((0.02, 0.2))
        )
        run_plan(SessionPlan(Talk(replies=4, reply_s=0.5, gap_s=0.0), peer, operations), seed)


def ear(far_end: FarEnd, until: float) -> PlaybackBuffer:
    """Return a player that was given what reached ``far_end``, played up to ``until``."""
    player = PlaybackBuffer(RATE, start_s=START_S, keep_stretches=True)
    for item in far_end.heard:
        match item.operation:
            case SendAudio(frame=frame):
                player.push(frame.samples, item.time, position=frame.position)
            case Clear(position=position):
                player.clear(position, item.time)
            case _:
                pass
    player.advance(until)
    return player


def words_played(player: PlaybackBuffer, start: int, stop: float) -> list[int]:
    """Return which words had more than half of their samples played between two positions."""
    counts: Counter[int] = Counter()
    for stretch in player.take_played():
        positions = np.arange(stretch.samples.size) + stretch.position
        values = stretch.samples[(positions >= start) & (positions < stop)]
        for value, count in zip(*np.unique(values, return_counts=True), strict=True):
            word = ScriptedTTS.word_index(value)
            if word is not None:
                counts[word] += int(count)
    return sorted(word for word, count in counts.items() if count > WORD_S * RATE / 2)


@pytest.mark.parametrize("confirms", [True, False], ids=["confirms", "estimates"])
@pytest.mark.parametrize("can_clear", [True, False], ids=["clears", "cannot clear"])
@pytest.mark.parametrize("seed", range(6))
def test_the_context_holds_what_was_heard(seed: int, can_clear: bool, confirms: bool) -> None:
    async def scenario(sim: Simulation) -> None:
        traits = Traits(
            input_rate=RATE, output_rate=RATE, lead_s=0.1, can_clear=can_clear, confirms=confirms, echo="none"
        )
        peer, far_end = memory_peer(traits=traits, playback_start_s=START_S)
        agent = Agent(
            vad=ScriptedVAD,
            stt=lambda: ScriptedSTT(["stop"], decode_s=0.1),
            llm=lambda: ScriptedLLM(lambda _messages: "all right then"),
            tts=lambda: ScriptedTTS(rate=RATE, word_s=WORD_S),
            greeting=STORY,
            settings=AT_ONCE,
        )
        events: list[Event] = []
        async with sim.open_session(peer, agent) as session:
            on = Controls(sim, far_end)
            with session.hub.observed_by(events.append):
                await trio.sleep(sim.random.uniform(0.2, 1.2))
                await BargeIn(0.7, 1.5).perform(on)
                conversation = await session.wait_conversation()
                messages = conversation.context.messages()
        ended = [event for event in events if isinstance(event, ReplyEnded)]
        audible = [event.position for event in events if isinstance(event, ReplyAudible)]
        story = ended[0]
        assert story.how == "interrupted"
        assert STORY.startswith(story.heard)
        assert any(message.role == "assistant" and message.text == story.heard for message in messages)
        stop = audible[1] if len(audible) > 1 else float("inf")
        played = words_played(ear(far_end, trio.current_time()), audible[0] or 0, stop)
        heard = len(story.heard.split())
        assert played == list(range(len(played)))
        # The ledger's bound: a confirmation is up to 0.1 s old, an estimate knows the lead and not the
        # player.  A peer that cannot clear plays its lead to the end, after the decision.
        bound_s = (0.15 if confirms else START_S) + (0.0 if can_clear else traits.lead_s + START_S)
        assert abs(len(played) - heard) <= 1 + bound_s / WORD_S, (played, story.heard)

    simulate(scenario, seed)
