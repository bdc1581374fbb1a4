"""The page to try the speech server; see ``server.browser``."""

from __future__ import annotations

from typing import Final

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from voicetrio.server.browser import page_headers, read_page

__all__ = ["PAGE_HEADERS", "page_routes"]

_FILES: Final = ("index.html", "app.js", "icon.svg", "player.js", "speech.js", "style.css", "words.js")

PAGE_HEADERS: Final = page_headers("media-src blob:")
"""What every page of the server is sent with."""


def page_routes() -> list[Route]:
    """Return the routes of the page; ``/`` is its ``index.html``."""
    return [
        _route(path, body, content_type)
        for path, (body, content_type) in read_page(__package__, _FILES).items()
    ]


def _route(path: str, body: bytes, content_type: str) -> Route:
    async def answer(_request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        return Response(body, 200, PAGE_HEADERS, content_type)

    return Route(path, answer, methods=["GET"])
