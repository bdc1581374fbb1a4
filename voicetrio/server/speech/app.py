"""The speech server as an ASGI application."""

from __future__ import annotations

from typing import Any

import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from voicetrio.errors import VoicetrioError
from voicetrio.server.http import AsgiApp
from voicetrio.server.speech.errors import ApiError, as_api_error, error_response
from voicetrio.server.speech.routes_models import ModelRoutes
from voicetrio.server.speech.routes_speech import SpeechRoutes
from voicetrio.server.speech.routes_transcription import TranscriptionRoutes
from voicetrio.server.speech.service import SpeechService

__all__ = ["speech_app"]


def speech_app(service: SpeechService) -> AsgiApp:
    """Return the application that serves ``service``; give it to ``serve_http``, or mount it in your own."""
    routes: list[BaseRoute] = [
        *SpeechRoutes(service).routes(),
        *TranscriptionRoutes(service).routes(),
        *ModelRoutes(service).routes(),
    ]

    async def refuse(request: Request, error: Exception) -> Response:
        await trio.lowlevel.checkpoint()
        told = as_api_error(error)
        service.metrics.requests.labels(_route(request), str(told.status)).inc()
        return error_response(told)

    async def refuse_http(_request: Request, error: Exception) -> Response:
        await trio.lowlevel.checkpoint()
        assert isinstance(error, HTTPException)
        message = {404: "there is nothing at this address", 405: "this address does not take that method"}
        told = ApiError(
            error.status_code, message.get(error.status_code, error.detail), headers=error.headers or {}
        )
        return error_response(told)

    app = Starlette(
        routes=routes,
        exception_handlers={
            HTTPException: refuse_http,
            ApiError: refuse,
            VoicetrioError: refuse,
            Exception: refuse,
        },
    )

    async def entry(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["http_version"] not in ("1.0", "1.1"):
            # A response over HTTP/2 cannot be cut so that every client notices.
            await error_response(ApiError(505, "use HTTP/1.1"))(scope, receive, send)
            return
        await app(scope, receive, send)

    return entry


def _route(request: Request) -> str:
    """Return a name for metrics that clients cannot make up."""
    endpoint = request.scope.get("endpoint")
    return getattr(endpoint, "__name__", "unknown")
