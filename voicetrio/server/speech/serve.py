"""Serving speech over HTTP."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import final

import trio

from voicetrio.errors import ConfigError
from voicetrio.server.http import HttpServer, HttpStatistics, serve_http
from voicetrio.server.listening import is_loopback
from voicetrio.server.origins import OriginRule
from voicetrio.server.speech.app import speech_app
from voicetrio.server.speech.service import SpeechService

__all__ = ["SpeechServer", "serve_speech"]


@final
class SpeechServer:
    """A running speech server; made by ``serve_speech``."""

    def __init__(self, http: HttpServer, service: SpeechService) -> None:
        self._http = http
        self.service = service

    @property
    def url(self) -> str:
        """Where a client on this machine finds the server."""
        return self._http.url

    @property
    def port(self) -> int:
        """The port of the first address."""
        return self._http.port

    def close(self, drain_s: float = 30.0) -> None:
        """Accept nobody any more; requests in hand finish within ``drain_s`` seconds, then they are cut."""
        self.service.is_draining = True
        self._http.close(drain_s)

    def statistics(self) -> HttpStatistics:
        """Return the counts of the connections."""
        return self._http.statistics()


async def serve_speech(
    service: SpeechService,
    port: int,
    host: str = "127.0.0.1",
    *,
    allow_anonymous: bool = False,
    origins: Iterable[str] = (),
    task_status: trio.TaskStatus[SpeechServer] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until ``server.close()`` and the end of the last request, or until cancelled.

    ``server = await nursery.start(serve_speech, service, port)`` returns when it listens.

    ``origins`` are those of web pages, beside the server's own, that may use it.

    Raises ConfigError when it cannot listen there, and for an address that other machines reach, unless the
    service has API keys, or ``allow_anonymous`` says that everybody is welcome.
    """
    if not (is_loopback(host) or service.keys or allow_anonymous):
        raise ConfigError(
            f"{host} can be reached by other machines: set an API key, or allow everybody (allow_anonymous)"
        )
    rule = OriginRule(origins, loopback_only=is_loopback(host))
    async with trio.open_nursery() as nursery:
        serve = partial(
            serve_http, speech_app(service, origins=rule), port, host, stall_s=service.settings.stall_s
        )
        http: HttpServer = await nursery.start(serve)
        task_status.started(SpeechServer(http, service))
