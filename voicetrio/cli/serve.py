"""``voicetrio serve``: an agent for whoever connects, the embedded one or the user's own."""

from __future__ import annotations

import logging
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial

import trio

from voicetrio.cli.console import make_console
from voicetrio.cli.embedded import GREETING, embedded_agent, open_models_with_progress
from voicetrio.cli.handlers import open_handler
from voicetrio.cli.low_latency import low_latency
from voicetrio.cli.running import StopRequest, run_command
from voicetrio.cli.serve_options import ServeOptions
from voicetrio.errors import SessionEnded
from voicetrio.events import SessionExpiring
from voicetrio.runtime.session import Session, open_session
from voicetrio.runtime.transport import Transport
from voicetrio.server.admin import serve_admin
from voicetrio.server.load import PoolSource
from voicetrio.server.page import page_answers
from voicetrio.server.serve import Handler, SessionServer, serve_sessions

__all__ = ["serve"]

INTERRUPT_S = 12.0
"""How long sessions have after Ctrl-C: they are ended at once, and what is being said is said."""
EXPIRING = "We have to come to an end soon."


def serve(options: ServeOptions = ServeOptions()) -> int:  # noqa: B008  # it is frozen
    """Serve an agent until interrupted: a page to talk to it, and a WebSocket at the same port.

    The wire is described in docs/wire.md, the rest in docs/serving.md.  Ctrl-C ends the sessions gracefully,
    SIGTERM lets them go on for `--drain-s`; a second signal cancels them.

    Example: `voicetrio serve --port 9000 --max-sessions 4`
    """
    return run_command(partial(_serve, options))


async def _serve(options: ServeOptions, stop: StopRequest) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # To the library every page and every look at /healthz is a "connection rejected (200 OK)".
    logging.getLogger("voicetrio.websocket").setLevel(logging.WARNING)
    console = make_console()
    start = partial(
        serve_sessions,
        port=options.port,
        host=options.host,
        settings=options.settings(),
        authenticate=options.authenticator(),
        allowed_origins=options.allowed_origin,
        open_to_all=options.open_to_all,
        tls=options.tls(),
        plain=page_answers() if options.page else None,
    )
    async with _open_handler(options) as (handler, pools):
        with ExitStack() as asked:
            async with trio.open_nursery() as nursery:
                server: SessionServer = await nursery.start(partial(start, handler, pools=pools))
                admin = None
                if options.admin_port is not None:
                    admin = await nursery.start(serve_admin, server, options.admin_port, options.admin_host)
                asked.enter_context(low_latency())
                asked.enter_context(stop.on_stop(partial(_stop, server, stop, options.drain_s)))
                page = server.url.replace("ws", "http", 1)
                talk = f"talk to {server.url}" + (f", or open {page}" if options.page else "")
                console.print(f"{talk} (Ctrl-C ends it)", markup=False)
                if admin is not None:
                    console.print(f"health and metrics: {admin.url}", markup=False)
                await server.wait_over()
                nursery.cancel_scope.cancel()
    return 0


def _stop(server: SessionServer, stop: StopRequest, drain_s: float) -> None:
    if stop.signal == signal.SIGTERM:
        server.drain(drain_s)
    else:
        server.drain(INTERRUPT_S, last_words_s=INTERRUPT_S, code=1001, reason="interrupted")


@asynccontextmanager
async def _open_handler(options: ServeOptions) -> AsyncIterator[tuple[Handler, list[PoolSource]]]:
    if options.handler is not None:
        async with open_handler(options.handler) as handler:
            yield handler, []
        return
    async with open_models_with_progress(quiet=False, workers=options.workers) as models:
        agent = embedded_agent(models, greeting=GREETING if options.greeting else None, bed=options.bed)

        async def answer(peer: Transport) -> None:
            async with open_session(peer, agent) as session, trio.open_nursery() as nursery:
                nursery.start_soon(_say_when_it_expires, session)
                await session.wait_ended()

        yield answer, [models]


async def _say_when_it_expires(session: Session) -> None:
    async with session.events() as told:
        async for event in told:
            if isinstance(event, SessionExpiring):
                with suppress(SessionEnded):
                    await session.say(EXPIRING, wait_played=False)
