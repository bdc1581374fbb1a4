"""How long does cancelling a healthy session take?

    python benchmarks/cancelling.py [--effort E] [--json]

The default agent with scripted models, speaking over a bed, over a WebSocket on loopback.  The time runs from
the call of ``session.cancel()`` until the session's block is left: its close frame is written, and its answer
is not awaited.
"""

from __future__ import annotations

import sys
import time
from functools import partial

import trio
from footprint import patient_server, scripted_agent
from harness.question import Figure, Question, Side, Target
from harness.statistics import quantile

SESSIONS = 40
SPEAKS_S = 0.15


async def cancel_all() -> dict[str, float]:
    """Cancel one session after the other; return the times in milliseconds, and frames after the call."""
    from voicetrio import open_session, serve_sessions
    from voicetrio.testing.reference_client import open_reference_client

    agent = scripted_agent(speaks=True)
    took_s: list[float] = []
    over = trio.Event()

    async def answer(peer) -> None:
        async with open_session(peer, agent) as session:
            await trio.sleep(SPEAKS_S)
            session.cancel()
            began = time.perf_counter()
        over.set()
        took_s.append(time.perf_counter() - began)

    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve_sessions, settings=patient_server()), answer, 0)
        for _ in range(SESSIONS):
            over = trio.Event()
            async with open_reference_client(server.url):
                await over.wait()
        nursery.cancel_scope.cancel()
    return {
        "p50_ms": quantile(took_s, 0.5) * 1e3,
        "p99_ms": quantile(took_s, 0.99) * 1e3,
    }


def measure() -> dict[str, float]:
    """Run the server and its clients."""
    return trio.run(cancel_all)


def question() -> Question:
    """Return the question for the harness."""
    return Question(
        name="cancelling",
        asks="how long does cancelling a healthy session take?",
        sides=(Side("voicetrio", __file__, "measure"),),
        figures=(
            Figure("p50", "ms", lambda r: r["voicetrio"]["p50_ms"]),
            Figure("p99", "ms", lambda r: r["voicetrio"]["p99_ms"], Target(at_most=5)),
        ),
        does_not_say="what a peer that does not read, or a model in a thread, adds: that is bounded.",
        rounds=3,
        round_s=8.0,
        steady=0.25,
    )


if __name__ == "__main__":
    from harness.run import run_alone

    sys.exit(run_alone(question()))
