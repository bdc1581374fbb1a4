"""``voicetrio serve``: the embedded agent for whoever connects."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from functools import partial
from typing import Annotated

import trio
from cyclopts import Parameter

from voicetrio.cli.console import make_console
from voicetrio.cli.embedded import GREETING, embedded_agent, open_models_with_progress
from voicetrio.cli.running import StopRequest, run_command
from voicetrio.runtime.session import open_session
from voicetrio.runtime.transport import Transport
from voicetrio.server.page import page_answers
from voicetrio.server.serve import serve_sessions

__all__ = ["serve"]


def serve(
    *,
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen on; 0 takes a free one.")] = 8765,
    greeting: Annotated[bool, Parameter(help="Let the agent greet first.", negative="--no-greeting")] = True,
    bed: Annotated[bool, Parameter(help="Put room noise under the agent.", negative="--no-bed")] = True,
    workers: Annotated[int, Parameter(help="Threads for each model.")] = 1,
) -> int:
    """Serve the embedded agent until interrupted: a page to talk to it, and a WebSocket at the same port.

    The wire is described in docs/wire.md.  Ctrl-C lets the sessions finish; a second one cancels them.

    Example: `voicetrio serve --port 9000`
    """
    return run_command(
        lambda stop: _serve(stop, host=host, port=port, greeting=greeting, bed=bed, workers=workers)
    )


async def _serve(stop: StopRequest, *, host: str, port: int, greeting: bool, bed: bool, workers: int) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    console = make_console()
    async with open_models_with_progress(quiet=False, workers=workers) as models:
        agent = embedded_agent(models, greeting=GREETING if greeting else None, bed=bed)

        async def answer(peer: Transport) -> None:
            async with open_session(peer, agent) as session:
                with stop.on_stop(session.end):
                    await session.wait_ended()
            console.print(f"{session.name} ended: {session.result.reason}", markup=False)

        with ExitStack() as asked:
            async with trio.open_nursery() as nursery:
                server = await nursery.start(
                    partial(serve_sessions, answer, port, host, plain=page_answers())
                )
                asked.enter_context(stop.on_stop(server.close))
                page = server.url.replace("ws", "http", 1)
                console.print(f"talk to {server.url}, or open {page} (Ctrl-C ends it)", markup=False)
    return 0
