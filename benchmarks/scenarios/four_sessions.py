"""Four whole sessions side by side: what ``benchmarks/simulation.py`` runs, and a scenario for the command.

voicetrio simulate benchmarks/scenarios/four_sessions.py:four_sessions --seeds 200
"""

from __future__ import annotations

import numpy as np
import trio

from voicetrio.conversation.agent import Agent
from voicetrio.runtime.transport import Traits
from voicetrio.testing.scripted import ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD
from voicetrio.testing.simulation import Simulation
from voicetrio.transports.memory import memory_peer

RATE = 16_000
TRAITS = Traits(input_rate=RATE, output_rate=RATE, echo="none")
VOICE = np.full(320, 8000, np.int16)
SILENCE = np.zeros(320, np.int16)
PLAN = ((SILENCE, 0.5), (VOICE, 0.8), (SILENCE, 2.0), (VOICE, 0.6), (SILENCE, 1.5))
ANSWER = "one two three four five six"
BED = (np.random.default_rng(1).standard_normal(RATE) * 300).astype(np.int16)


def make_agent() -> Agent:
    """Return an agent with scripted models, a greeting and a bed."""
    return Agent(
        vad=ScriptedVAD,
        stt=lambda: ScriptedSTT(["what is it", "and then", "go on"], decode_s=0.05),
        llm=lambda: ScriptedLLM(lambda _messages: ANSWER, first_piece_s=0.1, piece_s=0.02),
        tts=lambda: ScriptedTTS(rate=RATE, word_s=0.15, first_audio_s=0.05),
        greeting="hello there",
        bed=BED,
    )


async def four_sessions(sim: Simulation) -> None:
    """Let four callers speak, listen, barge in and hang up, each in its own time."""

    async def call(number: int) -> None:
        peer, far_end = memory_peer(traits=TRAITS, name=f"caller-{number}")
        await trio.sleep(sim.random.random())
        async with sim.open_session(peer, make_agent(), name=f"call-{number}"):
            due = trio.current_time()
            for frame, seconds in PLAN:
                for _ in range(round(seconds / 0.02)):
                    far_end.send_audio_nowait(frame)
                    due += 0.02
                    await trio.sleep_until(due)

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(call, number)
