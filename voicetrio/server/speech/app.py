"""The speech server as an ASGI application."""

from __future__ import annotations

from typing import Any

import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from voicetrio.connection.websocket import UpgradeRequest
from voicetrio.errors import VoicetrioError
from voicetrio.server.http import AsgiApp
from voicetrio.server.origins import OriginRule
from voicetrio.server.speech.documents import document_routes
from voicetrio.server.speech.errors import ApiError, as_api_error, error_response
from voicetrio.server.speech.page import page_routes
from voicetrio.server.speech.routes_models import ModelRoutes
from voicetrio.server.speech.routes_speech import SpeechRoutes
from voicetrio.server.speech.routes_stream import StreamRoutes
from voicetrio.server.speech.routes_transcription import TranscriptionRoutes
from voicetrio.server.speech.service import SpeechService

__all__ = ["speech_app"]


def speech_app(service: SpeechService, *, origins: OriginRule | None = None) -> AsgiApp:
    """Return the application that serves ``service``; give it to ``serve_http``, or mount it in your own.

    ``origins`` says which web pages may use it; by default the server's own page on a loopback address.
    """
    origins = origins or OriginRule()
    routes: list[BaseRoute] = [
        *SpeechRoutes(service).routes(),
        *TranscriptionRoutes(service).routes(),
        *StreamRoutes(service).routes(),
        *ModelRoutes(service).routes(),
        *page_routes(),
        *document_routes(),
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
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        if (refused := _refuse_origin(scope, origins)) is not None:
            await refused(scope, receive, send)
            return
        if scope["type"] == "http" and scope["http_version"] not in ("1.0", "1.1"):
            # A response over HTTP/2 cannot be cut so that every client notices.
            await error_response(ApiError(505, "use HTTP/1.1"))(scope, receive, send)
            return
        await app(scope, receive, send)

    return entry


def _refuse_origin(scope: Any, origins: OriginRule) -> Response | None:
    """Refuse foreign pages what changes something or costs something."""
    if scope["type"] != "websocket" and scope.get("method") in ("GET", "HEAD", "OPTIONS"):
        return None
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    refusal = origins(UpgradeRequest(scope["path"], {}, headers, ""))
    if refusal is None:
        return None
    return error_response(
        ApiError(403, "pages of this origin may not use this server", code="forbidden_origin")
    )


def _route(request: Request) -> str:
    """Return a name for metrics that clients cannot make up."""
    endpoint = request.scope.get("endpoint")
    return getattr(endpoint, "__name__", "unknown")
