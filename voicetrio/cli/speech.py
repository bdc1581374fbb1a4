"""``voicetrio speech``: the speech server."""

from __future__ import annotations

import logging
import math
import os
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated

import attrs
import trio
from cyclopts import Parameter

from voicetrio.cli.console import make_console
from voicetrio.cli.files import read_text
from voicetrio.cli.low_latency import low_latency
from voicetrio.cli.running import StopRequest, run_command
from voicetrio.errors import ConfigError, MissingExtra
from voicetrio.runtime.workers import usable_cpus
from voicetrio.server.listening import is_loopback

__all__ = ["speech"]

KEYS_VARIABLE = "VOICETRIO_API_KEYS"


@attrs.frozen(kw_only=True)
class _Options:
    host: str
    port: int
    engine: tuple[str, ...]
    workers: int
    allow_anonymous: bool
    max_input_chars: int
    max_active: int
    max_waiting: int
    max_active_a_key: int
    requests_a_minute: float
    idle_s: float
    keys: tuple[str, ...]


def speech(
    *,
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen on; 0 takes a free one.")] = 8880,
    engine: Annotated[
        tuple[str, ...], Parameter(help="Only these engines, the default first.", consume_multiple=True)
    ] = (),
    workers: Annotated[int | None, Parameter(help="Threads for each model; by default one a core.")] = None,
    keys_file: Annotated[
        Path | None, Parameter(help=f"File with one API key a line; {KEYS_VARIABLE} holds them, too.")
    ] = None,
    allow_anonymous: Annotated[bool, Parameter(help="Serve other machines without any API key.")] = False,
    max_input_chars: Annotated[int, Parameter(help="Longest text.")] = 4096,
    max_active: Annotated[int, Parameter(help="Requests that are worked on at once.")] = 64,
    max_waiting: Annotated[int, Parameter(help="Requests that may wait.")] = 64,
    max_active_a_key: Annotated[
        int | None, Parameter(help="Requests of one key, or one address, at once; by default all of them.")
    ] = None,
    requests_a_minute: Annotated[float, Parameter(help="Of one key, or one address.")] = math.inf,
    idle_s: Annotated[float, Parameter(help="Unload a model after so many seconds without use.")] = math.inf,
) -> int:
    """Serve speech over HTTP, with OpenAI's API, until interrupted; a page to try it is at `/`.

    Models are loaded when they are first used.  Ctrl-C lets the requests in hand finish; a second one cuts
    them.

    Example: `voicetrio speech --port 8880`
    """
    options = _Options(
        host=host,
        port=port,
        engine=engine,
        workers=usable_cpus() if workers is None else workers,
        allow_anonymous=allow_anonymous,
        max_input_chars=max_input_chars,
        max_active=max_active,
        max_waiting=max_waiting,
        max_active_a_key=max_active + max_waiting if max_active_a_key is None else max_active_a_key,
        requests_a_minute=requests_a_minute,
        idle_s=idle_s,
        keys=_read_keys(keys_file),
    )
    return run_command(partial(_speech, options))


async def _speech(options: _Options, stop: StopRequest) -> int:
    if not (is_loopback(options.host) or options.keys or options.allow_anonymous):
        raise ConfigError(
            f"{options.host} can be reached by other machines: set an API key (--keys-file, {KEYS_VARIABLE}),"
            " or allow everybody (--allow-anonymous)"
        )
    try:
        from voicetrio.server.speech.keys import ApiKeys
        from voicetrio.server.speech.serve import serve_speech
        from voicetrio.server.speech.service import open_speech_service
        from voicetrio.server.speech.settings import SpeechSettings
    except ImportError as error:
        raise MissingExtra("server", "the speech server") from error
    from voicetrio.services.speech.available import available_engines

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    console = make_console()
    engines = available_engines(options.engine)
    try:
        settings = SpeechSettings(
            max_input_chars=options.max_input_chars,
            max_active=options.max_active,
            max_waiting=options.max_waiting,
            max_active_a_key=options.max_active_a_key,
            requests_a_minute=options.requests_a_minute,
            idle_s=options.idle_s,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from None
    async with open_speech_service(
        engines, settings=settings, keys=ApiKeys(options.keys), workers=options.workers
    ) as service:
        with ExitStack() as asked:
            asked.enter_context(low_latency())
            async with trio.open_nursery() as nursery:
                server = await nursery.start(
                    partial(
                        serve_speech,
                        service,
                        options.port,
                        options.host,
                        allow_anonymous=options.allow_anonymous,
                    )
                )
                asked.enter_context(stop.on_stop(server.close))
                names = ", ".join(engine.name for engine in engines)
                console.print(f"speech at {server.url} with {names} (Ctrl-C ends it)", markup=False)
    return 0


def _read_keys(file: Path | None) -> tuple[str, ...]:
    lines = os.environ.get(KEYS_VARIABLE, "").split(",")
    if file is not None:
        lines += read_text(file).splitlines()
    return tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
