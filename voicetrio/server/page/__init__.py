"""The page to talk to the agent: files that a browser is given as they are, at the WebSocket's own port.

The set of files is fixed and read once; what a request says never enters an answer.  The page may load and
connect to nothing but the server that it came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from voicetrio.connection.websocket import PlainAnswer, UpgradeRequest
from voicetrio.server.serve import PlainAnswers

__all__ = ["page_answers"]

_TYPES: Final[Mapping[str, str]] = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_FILES: Final = (
    "app.js",
    "icon.svg",
    "index.html",
    "microphone-worklet.js",
    "microphone.js",
    "player-worklet.js",
    "player.js",
    "style.css",
    "timings.js",
    "transcript.js",
    "wire.js",
)
_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def page_answers() -> PlainAnswers:
    """Read the page's files; return what answers a browser's requests for them.

    Give it to ``serve_sessions(plain=...)``: ``/`` is the page.  Other paths are not answered.
    """
    folder = files(__package__)
    answers = {f"/{name}": _answer(name, (folder / name).read_bytes()) for name in _FILES}
    answers["/"] = answers["/index.html"]

    def answer(request: UpgradeRequest) -> PlainAnswer | None:
        return answers.get(request.path)

    return answer


def _answer(name: str, body: bytes) -> PlainAnswer:
    return PlainAnswer(200, body, {"Content-Type": _TYPES[name.rpartition(".")[2]], **_HEADERS})
