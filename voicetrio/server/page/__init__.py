"""The page to talk to the agent, at the WebSocket's own port; see ``server.browser``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from voicetrio.connection.websocket import PlainAnswer, UpgradeRequest
from voicetrio.server.browser import page_headers, read_page
from voicetrio.server.serve import PlainAnswers

__all__ = ["page_answers"]

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
    **page_headers(),
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
}


def page_answers() -> PlainAnswers:
    """Read the page's files; return what answers a browser's requests for them.

    Give it to ``serve_sessions(plain=...)``: ``/`` is the page.  Other paths are not answered.
    """
    answers = {
        path: PlainAnswer(200, body, {"Content-Type": content_type, **_HEADERS})
        for path, (body, content_type) in read_page(__package__, _FILES).items()
    }

    def answer(request: UpgradeRequest) -> PlainAnswer | None:
        return answers.get(request.path)

    return answer
