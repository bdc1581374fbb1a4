"""What the routes of one server share: engines, recogniser, limits, keys, metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import final

import trio
from starlette.requests import HTTPConnection

from voicetrio.runtime.idle_models import IdleModelStatistics
from voicetrio.runtime.workers import Runner
from voicetrio.server.speech.jobs import BodyWriter, Job
from voicetrio.server.speech.keys import ApiKeys
from voicetrio.server.speech.limits import Admission
from voicetrio.server.speech.metrics import SpeechMetrics
from voicetrio.server.speech.settings import SpeechSettings
from voicetrio.services.speech.engine import SpeechEngine
from voicetrio.services.speech.engines import Engines, open_engines
from voicetrio.services.speech.recogniser import Recogniser, SpeechDecoder, open_recogniser

__all__ = ["SpeechService", "open_speech_service"]


@final
class SpeechService:
    """Made by ``open_speech_service``."""

    def __init__(
        self, engines: Engines, recogniser: Recogniser, settings: SpeechSettings, keys: ApiKeys
    ) -> None:
        self.engines = engines
        self.recogniser = recogniser
        self.settings = settings
        self.keys = keys
        self.admission = Admission(settings)
        self.metrics = SpeechMetrics(self.admission.statistics, self.models)
        self.is_draining = False
        """True once the server takes no more connections."""

    def models(self) -> list[IdleModelStatistics]:
        """Return the counts of every model so far."""
        return [*self.engines.statistics(), self.recogniser.statistics()]

    def why_not_ready(self) -> str | None:
        """Return why no request would be let in now: ``draining`` or ``full``; else None."""
        if self.is_draining:
            return "draining"
        return "full" if self.admission.is_full else None

    def client(self, connection: HTTPConnection) -> str:
        """Return who is asking, for limits.  Raises ApiError 401."""
        peer = connection.client.host if connection.client is not None else "unknown"
        return self.keys.identify(connection.headers.get("authorization"), peer)

    def job(
        self, route: str, client: str, work: Callable[[BodyWriter], Awaitable[None]], *, param: str = "input"
    ) -> Job:
        """Return the response whose body ``work`` writes."""
        return Job(
            work, admission=self.admission, metrics=self.metrics, route=route, client=client, param=param
        )


@asynccontextmanager
async def open_speech_service(
    engines: Sequence[SpeechEngine],
    *,
    settings: SpeechSettings | None = None,
    keys: ApiKeys | None = None,
    workers: int = 1,
    whisper: str | Path | None = None,
    runner: Runner | None = None,
    decoder: SpeechDecoder | None = None,
) -> AsyncIterator[SpeechService]:
    """Offer speech until the block is left; models are loaded when they are first wanted.

    Args:
        engines: the first is the default.
        settings: limits and defaults.
        keys: who is let in; by default everybody.
        workers: clauses of one engine, and decodes, that are worked on at once.
        whisper: directory of another Whisper model.
        runner: how models' calls run; by default in threads.
        decoder: a recogniser that is loaded already, instead of Whisper.
    """
    settings = settings or SpeechSettings()
    async with (
        open_engines(engines, workers=workers, idle_s=settings.idle_s, runner=runner) as opened,
        open_recogniser(
            whisper, workers=workers, idle_s=settings.idle_s, runner=runner, decoder=decoder
        ) as recognised,
    ):
        await trio.lowlevel.checkpoint()
        yield SpeechService(opened, recognised, settings, keys or ApiKeys())
