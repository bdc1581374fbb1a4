"""What the pages of the servers have in common: files that a browser is given as they are.

The set of files is fixed and read once; what a request says never enters an answer.  A page may load and
connect to nothing but the server that it came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Final

__all__ = ["page_headers", "read_page"]

_TYPES: Final[Mapping[str, str]] = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_POLICY: Final = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)


def page_headers(*policy: str) -> dict[str, str]:
    """Return the headers that every file of a page is sent with; ``policy``: what it may do beyond ours."""
    return {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": "; ".join((*_POLICY, *policy)),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def read_page(package: str, names: Iterable[str]) -> dict[str, tuple[bytes, str]]:
    """Return body and content type of each file by its path; ``/`` is ``index.html``."""
    folder = files(package)
    found = {f"/{name}": ((folder / name).read_bytes(), _TYPES[name.rpartition(".")[2]]) for name in names}
    return {"/": found["/index.html"], **found}
