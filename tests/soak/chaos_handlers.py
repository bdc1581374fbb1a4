"""The application of the chaos run: what a client's path asks for, faults of every kind among them.

``voicetrio serve --handler tests.soak.chaos_handlers:open_handler`` runs it.  How each session ended is
written to the file that the environment's ``CHAOS_ENDS`` names, one JSON object a line; when the server is
over, nothing may be left of it.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import trio

from voicetrio.conversation import Agent
from voicetrio.errors import SessionError
from voicetrio.frames import AudioFrame
from voicetrio.runtime.pipeline import pipeline
from voicetrio.runtime.session import open_session
from voicetrio.runtime.workers import open_workers
from voicetrio.server.serve import Handler
from voicetrio.testing.faults import peers, services, stages
from voicetrio.testing.leaks import assert_no_leaks
from voicetrio.testing.scripted import ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD
from voicetrio.testing.tree import format_task_tree

STORY = "one two three four"
COMPLAINT = "an application's own mistake"


async def relay(context) -> None:
    """Give back every frame as it comes."""
    outlet = context.open_relay()
    async for frame in context.inlet:
        await outlet.send(frame)


async def say_little(context) -> None:
    """Speak for half a second, and have nothing more to do."""
    speech = context.playout.open_speech("little")
    speech.release()
    await speech.send(AudioFrame.silence(context.playout.rate // 2, context.playout.rate))
    speech.finish()


async def tell(context) -> None:
    """Count samples upwards until the session ends, and take what comes in."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(take, context)
        rate = context.playout.rate
        speech = context.playout.open_speech("story")
        speech.release()
        for first in itertools.count(0, rate // 10):
            if context.ending:
                break
            samples = ((np.arange(rate // 10) + first) % 30000 + 1).astype(np.int16)
            await speech.send(AudioFrame.from_samples(samples, rate))
        speech.finish()


async def take(context) -> None:
    """Listen, and do nothing with it."""
    async for _frame in context.inlet:
        pass


def talker(fault: str = "") -> Agent:
    """An agent with scripted services, one of which has ``fault``: kind, phase and how, by dots."""
    makers: dict[str, Callable[[], Any]] = {
        "vad": ScriptedVAD,
        "stt": lambda: ScriptedSTT([STORY] * 1000, decode_s=0.1),
        "llm": lambda: ScriptedLLM(lambda _messages: STORY, first_piece_s=0.05),
        "tts": lambda: ScriptedTTS(first_audio_s=0.05),
    }
    if fault:
        kind, at, how = fault.split(".")
        harm = services.ServiceFault(at=at, how=how, times=1000)  # type: ignore[arg-type]
        wrap: dict[str, Callable[[Any], Any]] = {
            "vad": lambda vad: services.FaultyVAD(vad, at_window=50),
            "stt": lambda stt: services.FaultySTT(stt, harm),
            "llm": lambda llm: services.FaultyLLM(llm, harm),
            "tts": lambda tts: services.FaultyTTS(tts, harm),
        }
        sound = makers[kind]
        makers[kind] = lambda: wrap[kind](sound())
    return Agent(**makers, greeting=STORY)


def faulty_stage(name: str, pool: Any) -> Any:
    """Make the stage of that name, so that its fault shows soon."""
    match name:
        case "FailingStage":
            return stages.FailingStage(at_frame=20)
        case "ImpatientStage":
            return stages.ImpatientStage(frames=20)
        case "BlockingStage":
            return stages.BlockingStage(pool, stages.cooperative(lambda: None, 10))
        case "SlowStage":
            return stages.SlowStage(delay_s=0.03)
        case _:
            return getattr(stages, name)()


def faulty_peer(name: str, peer: Any) -> Any:
    """Put the fault of that name before ``peer``."""
    match name:
        case "StallingPeer":
            return peers.StallingPeer(peer, operations=50)
        case _:
            return getattr(peers, name)(peer)


@asynccontextmanager
async def open_handler() -> AsyncIterator[Handler]:
    """Give the handler; raise LeakError if something is left when the server is over."""
    ends = Path(os.environ["CHAOS_ENDS"])

    async def handler(peer) -> None:
        _, kind, *names = peer.request.path.split("/")
        name = names[0] if names else ""
        behaviour: Any = relay
        transport: Any = peer
        match kind:
            case "raise":
                raise RuntimeError(COMPLAINT)
            case "tell" | "raise-later":
                behaviour = tell
            case "talk":
                behaviour = talker(name)
            case "little":
                behaviour = say_little
            case "stage":
                behaviour = pipeline(faulty_stage(name, pool))
            case "peer":
                behaviour, transport = tell, faulty_peer(name, peer)
        session = None
        try:
            async with open_session(transport, behaviour) as session:
                if kind == "raise-later":
                    await trio.sleep(0.5)
                    raise RuntimeError(COMPLAINT)
                await session.wait_ended()
        except SessionError:
            assert session is not None
            if not kind.startswith(("stage", "peer", "talk")):
                raise
        finally:
            if session is not None:
                note(peer, session)

    def note(peer, session) -> None:
        result = session.result
        counters = result.counters
        about = {
            "call": peer.request.query.get("call"),
            "path": peer.request.path,
            "reason": result.reason,
            "late": result.late,
            "error": str(result.error),
            "abandoned": result.abandoned,
            "dropped_in": counters.frames_dropped_in,
            "dropped_out": counters.operations_dropped,
            "cut": counters.cut_samples,
            "slips": counters.slips,
            "connections": peer.statistics().connections,
        }
        with ends.open("a") as file:
            file.write(json.dumps(about) + "\n")

    signal.signal(signal.SIGUSR1, lambda *_: print(format_task_tree(), file=sys.stderr, flush=True))
    with assert_no_leaks():
        async with open_workers("blocking") as pool:
            yield handler
