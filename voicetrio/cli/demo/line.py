"""The demo's line: the server, the agent behind it, and the caller who dials it, in one run.

Everything goes over a real WebSocket on loopback.  Both ends share trio's clock, so that what the caller
did and what the session saw can be laid side by side.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from voicetrio.cli.call.record import Act, CallRecord
from voicetrio.cli.call.session_log import SessionLog
from voicetrio.cli.demo.caller import call
from voicetrio.cli.embedded import embedded_agent
from voicetrio.cli.running import StopRequest
from voicetrio.events import Event
from voicetrio.runtime.session import Session, open_session
from voicetrio.runtime.transport import Transport
from voicetrio.server.serve import serve_sessions
from voicetrio.services import local
from voicetrio.testing.reference_client import ReferenceClient, open_reference_client

__all__ = ["PLAYBACK_BUFFER_S", "hold_call"]

PLAYBACK_BUFFER_S = 0.06


async def hold_call(
    models: local.LocalModels,
    stop: StopRequest,
    *,
    port: int = 0,
    on_event: Callable[[Event], object] | None = None,
) -> CallRecord:
    """Serve the agent on loopback, call it, and return when both have hung up.

    A request to stop ends the session gracefully.  Raises ConfigError when the port is in use, and what
    failed in the session.
    """
    log = SessionLog(on_event)
    ended = trio.Event()

    async def answer(peer: Transport) -> None:
        session: Session | None = None
        try:
            async with open_session(peer, embedded_agent(models), name="demo") as session:
                with log.of(session), stop.on_stop(session.end):
                    await session.wait_ended()
        finally:
            log.end = None if session is None else session.result
            ended.set()

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_sessions, answer, port)
        async with open_reference_client(server.url, playback_buffer_s=PLAYBACK_BUFFER_S) as client:
            acts: list[Act] = []
            start = trio.current_time()
            await call(client, acts.append)
            await trio.sleep(PLAYBACK_BUFFER_S * 2)  # the client's buffer plays out
            finished = _collect(client, log, acts, start)
        with trio.move_on_after(5.0):
            await ended.wait()
        server.close()
        nursery.cancel_scope.cancel()
    if log.end is not None and log.end.error is not None:
        raise log.end.error
    return finished


def _collect(client: ReferenceClient, log: SessionLog, acts: list[Act], start: float) -> CallRecord:
    stop = trio.current_time()
    statistics = client.statistics()
    return CallRecord(
        log=log,
        acts=acts,
        start=start,
        stop=stop,
        microphone_started=client.microphone_started,
        caller=client.spoken_track(start, stop),
        caller_rate=client.input_rate,
        heard=client.played_track(start, stop),
        heard_rate=client.output_rate,
        arrivals=list(client.arrivals),
        messages=list(client.messages),
        stretches=client.played_stretches(),
        playback=statistics.playback,
        audio_after_end=statistics.audio_after_bye,
    )
