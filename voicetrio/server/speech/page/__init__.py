"""The page to try the speech server: files that a browser is given as they are.

The set of files is fixed and read once; what a request says never enters an answer.  The page may load and
connect to nothing but the server that it came from.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

__all__ = ["PAGE_HEADERS", "page_routes"]

_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_FILES: Final = ("index.html", "app.js", "icon.svg", "player.js", "speech.js", "style.css", "words.js")

PAGE_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""What every page of the server is sent with."""


def page_routes() -> list[Route]:
    """Return the routes of the page; ``/`` is its ``index.html``."""
    folder = files(__package__)
    routes = [
        _route(f"/{name}", (folder / name).read_bytes(), _TYPES[name.rpartition(".")[2]]) for name in _FILES
    ]
    return [_route("/", (folder / "index.html").read_bytes(), _TYPES["html"]), *routes]


def _route(path: str, body: bytes, content_type: str) -> Route:
    async def answer(_request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        return Response(body, 200, PAGE_HEADERS, content_type)

    return Route(path, answer, methods=["GET"])
