"""The routes that tell about the server: models, health, metrics."""

from __future__ import annotations

from typing import Any, final

import trio
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from voicetrio.server.speech.errors import ApiError
from voicetrio.server.speech.service import SpeechService
from voicetrio.services.speech.engines import MODEL_ALIASES

__all__ = ["ModelRoutes"]


@final
class ModelRoutes:
    """Handlers that share one service."""

    def __init__(self, service: SpeechService) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/v1/models", self.models, methods=["GET"]),
            Route("/v1/models/{name:path}", self.model, methods=["GET"]),
            Route("/dev/unload", self.unload, methods=["POST"]),
            Route("/healthz", self.healthz, methods=["GET"]),
            Route("/readyz", self.readyz, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
        ]

    async def models(self, request: Request) -> JSONResponse:
        """List the models, OpenAI's names included."""
        self._service.client(request)
        await trio.lowlevel.checkpoint()
        return JSONResponse({"object": "list", "data": [_model(name) for name in self._names()]})

    async def model(self, request: Request) -> JSONResponse:
        """Tell of one model."""
        self._service.client(request)
        await trio.lowlevel.checkpoint()
        name = request.path_params["name"]
        if name not in self._names():
            raise ApiError(404, f"there is no model {name[:100]!r}", param="model", code="model_not_found")
        return JSONResponse(_model(name))

    async def unload(self, request: Request) -> JSONResponse:
        """Unload every model as soon as no request uses it."""
        self._service.client(request)
        await trio.lowlevel.checkpoint()
        engines = self._service.engines
        unloaded = [engine.name for engine in engines.all if engines.model(engine).unload()]
        if self._service.recogniser.unload():
            unloaded.append(self._service.recogniser.names[0])
        return JSONResponse({"unloaded": unloaded})

    async def healthz(self, _request: Request) -> Response:
        """Answer 200 as long as the event loop answers, as the session server does."""
        await trio.lowlevel.checkpoint()
        return PlainTextResponse("ok\n")

    async def readyz(self, _request: Request) -> Response:
        """Answer 503, with the reason, when the next request would not be let in."""
        await trio.lowlevel.checkpoint()
        why = self._service.why_not_ready()
        return PlainTextResponse(f"{why or 'ready'}\n", 200 if why is None else 503)

    async def metrics(self, request: Request) -> Response:
        """Tell everything that is counted, for Prometheus."""
        self._service.client(request)
        await trio.lowlevel.checkpoint()
        return PlainTextResponse(
            self._service.metrics.render(), headers={"Content-Type": self._service.metrics.content_type}
        )

    def _names(self) -> list[str]:
        engines = [engine.name for engine in self._service.engines.all]
        return list(dict.fromkeys([*engines, *self._service.recogniser.names, *MODEL_ALIASES]))


def _model(name: str) -> dict[str, Any]:
    # ``created`` is a required number of OpenAI's: nothing is known about it.
    return {"id": name, "object": "model", "created": 0, "owned_by": "voicetrio"}
