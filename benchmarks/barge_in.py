"""How long is it from a decided barge-in to the reply's last byte on the wire?

    python benchmarks/barge_in.py [--effort E] [--json]

1 and 25 sessions of the default agent with scripted models, over WebSockets on loopback; the clients are a
process of their own on the other core.  Each session is interrupted in the middle of its reply.  The time
runs from the decision to the arrival of the last message that holds any of the reply, the fade included.
*Stale* is reply audio that arrives after the client was told to clear, and is not the fade.
"""

from __future__ import annotations

import json
import os
import sys
import time
from functools import partial

import trio
from footprint import TEXT, patient_server
from harness.question import Figure, Question, Side, Target
from harness.sides import cores
from harness.statistics import quantile

COUNTS = [1, 25]
SPEAKS_S = 1.0
QUIET_S = 0.5
PATIENCE_S = 20.0
TICK_MS = 20
FADE_S = 0.02


async def call(url: str, count: int) -> list[dict[str, float | str | int]]:
    """Be the clients: tell when each one's reply was last heard, and what came too late."""
    from voicetrio.testing.reference_client import open_reference_client

    told: list[dict[str, float | str | int]] = []
    clock = time.perf_counter() - trio.current_time()  # the same clock in both processes

    async def one() -> None:
        async with open_reference_client(url) as client:
            hello = await client.wait_message(lambda message: message.fields.get("type") == "hello")
            await client.wait_closed()
        reply = [arrival for arrival in client.arrivals if arrival.samples.any()]
        clears = [message for message in client.messages if message.fields.get("type") == "clear"]
        last = {"last": reply[-1].time + clock, "stale": count_stale(reply, clears, client.output_rate)}
        told.append({"name": hello.fields["session"], **last})

    with trio.fail_after(PATIENCE_S):  # noqa: ASYNC912  # there is at least one client
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(one)
                await trio.sleep(TICK_MS / 1000 / count)
    return told


def count_stale(reply, clears, rate: int) -> int:
    """Return how much of the reply came after the clear and is not the fade.

    Where the client had less than a fade left to play there is nothing to clear, and nothing is told.
    """
    if not clears:
        return 0
    clear = clears[0]
    after = [arrival for arrival in reply if arrival.time >= clear.time]
    begins = clear.fields["position"]
    return sum(not begins <= arrival.position < begins + FADE_S * rate for arrival in after)


async def interrupt(count: int) -> dict[str, float]:
    """Serve the clients, and interrupt each; return the times in milliseconds."""
    from voicetrio import Agent, open_session, serve_sessions
    from voicetrio.events import ReplyAudible
    from voicetrio.testing.scripted import ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD

    agent = Agent(
        vad=ScriptedVAD, stt=ScriptedSTT, llm=ScriptedLLM, tts=ScriptedTTS, greeting=f"{TEXT}, {TEXT}"
    )
    decided: dict[str, float] = {}

    async def answer(peer) -> None:
        async with open_session(peer, agent, name=peer.name) as session:
            with session.events() as events:
                conversation = await session.wait_conversation()
                # Before that there is nothing to interrupt, however busy the machine is.
                async for event in events:
                    if isinstance(event, ReplyAudible):
                        break
            await trio.sleep(SPEAKS_S)
            decided[peer.name] = time.perf_counter()
            conversation.interrupt()
            await trio.sleep(QUIET_S)
            session.end(0.0)
            await session.wait_ended()

    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve_sessions, settings=patient_server()), answer, 0)
        done = await trio.run_process(
            [sys.executable, __file__, "--call", server.url, str(count)], capture_stdout=True
        )
        nursery.cancel_scope.cancel()
    told = json.loads(done.stdout)
    took_ms = [(each["last"] - decided[each["name"]]) * 1e3 for each in told]
    return {
        f"p50_{count}": quantile(took_ms, 0.5),
        f"p99_{count}": quantile(took_ms, 0.99),
        f"stale_{count}": sum(each["stale"] for each in told),
    }


def measure() -> dict[str, float]:
    """Interrupt one session, then many."""
    numbers: dict[str, float] = {}
    for count in COUNTS:
        numbers |= trio.run(interrupt, count)
    return numbers


def question() -> Question:
    """Return the question for the harness."""
    figures = []
    for count in COUNTS:
        name = "1 session" if count == 1 else f"{count} sessions"
        figures += [
            Figure(f"{name}: p50", "ms", lambda r, c=count: r["voicetrio"][f"p50_{c}"]),
            Figure(
                f"{name}: p99",
                "ms",
                lambda r, c=count: r["voicetrio"][f"p99_{c}"],
                Target(at_most=TICK_MS + 5) if count > 1 else None,
            ),
            Figure(
                f"{name}: stale",
                "frames",
                lambda r, c=count: r["voicetrio"][f"stale_{c}"],
                Target(at_most=0),
            ),
        ]
    return Question(
        name="barge_in",
        asks="how long is it from a decided barge-in to the reply's last byte on the wire?",
        sides=(Side("voicetrio", __file__, "measure"),),
        figures=tuple(figures),
        does_not_say=(
            "how long it takes to decide: that is the caller's words, the recogniser and the settings.  "
            "A network's delay comes on top."
        ),
        rounds=5,
        round_s=4.0,
        steady=0.25,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--call"]:
        os.sched_setaffinity(0, {cores()[1]})
        print(json.dumps(trio.run(call, sys.argv[2], int(sys.argv[3]))))
    else:
        from harness.run import run_alone

        sys.exit(run_alone(question()))
