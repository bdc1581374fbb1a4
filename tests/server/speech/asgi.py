"""Calls an ASGI application in this process, without sockets, under any clock."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

from voicetrio.server.http import AsgiApp


@attrs.define
class Answer:
    """A response, as far as it came."""

    status: int = 0
    headers: dict[str, str] = attrs.field(factory=dict)
    chunks: list[tuple[float, bytes]] = attrs.field(factory=list)
    """Each with the time that it came at."""
    is_complete: bool = False
    """The end of the body came: without it a client sees a broken response."""
    started_at: float = 0.0

    @property
    def body(self) -> bytes:
        return b"".join(chunk for _, chunk in self.chunks)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        return self.json["error"]


class Call:
    """A request under way."""

    def __init__(self, body: bytes, piece_bytes: int = 1 << 16) -> None:
        self.answer = Answer()
        self.progress = trio.Event()
        self.left = trio.Event()
        self._pieces = [body[at : at + piece_bytes] for at in range(0, len(body), piece_bytes)] or [b""]

    async def receive(self) -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        if self._pieces:
            piece = self._pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(self._pieces)}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Mapping[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        if message["type"] == "http.response.start":
            self.answer.status = message["status"]
            self.answer.started_at = trio.current_time()
            self.answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            if message.get("body"):
                self.answer.chunks.append((trio.current_time(), bytes(message["body"])))
            self.answer.is_complete = not message.get("more_body", False)
        self.progress.set()
        self.progress = trio.Event()


def scope_of(method: str, path: str, headers: Mapping[str, str], client: str = "127.0.0.1") -> dict[str, Any]:
    path, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": (client, 50000),
        "server": ("127.0.0.1", 80),
        "state": {},
    }


@asynccontextmanager
async def open_call(
    app: AsgiApp,
    path: str,
    body: Any = None,
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    client: str = "127.0.0.1",
) -> AsyncIterator[Call]:
    """Call ``app`` in a task; ``body`` is bytes, or an object sent as JSON."""
    given = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        given.setdefault("Content-Type", "application/json")
    call = Call(body or b"")

    async def run() -> None:
        await app(scope_of(method, path, given, client), call.receive, call.send)
        call.progress.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield call


async def post(app: AsgiApp, path: str, body: Any, **settings: Any) -> Answer:
    """Return the whole answer."""
    async with open_call(app, path, body, **settings) as call:
        pass
    return call.answer


async def get(app: AsgiApp, path: str, **settings: Any) -> Answer:
    """Return the whole answer."""
    return await post(app, path, None, method="GET", **settings)


def form(fields: Mapping[str, str | bytes | list[str]]) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of a form; bytes are a file."""
    parts = []
    for name, values in fields.items():
        for value in values if isinstance(values, list) else [values]:
            extra = '; filename="a.wav"\r\nContent-Type: audio/wav' if isinstance(value, bytes) else ""
            data = value if isinstance(value, bytes) else value.encode()
            parts.append(
                f'--edge\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode()
                + data
                + b"\r\n"
            )
    return b"".join(parts) + b"--edge--\r\n", {"Content-Type": "multipart/form-data; boundary=edge"}
