"""The operator's port: ``/healthz``, ``/readyz`` and ``/metrics`` over plain HTTP.

It is a port of its own, on loopback unless told otherwise, because figures are nobody else's business.

* ``/healthz`` is 200 as long as the event loop answers, also while the server drains.
* ``/readyz`` is 200 when the next client would be let in, and 503 with the reason when not.
* ``/metrics`` is Prometheus's text format.
"""

from __future__ import annotations

import trio

from voicetrio.errors import MissingExtra
from voicetrio.server.http import AsgiApp, HttpServer, serve_http
from voicetrio.server.metrics import CONTENT_TYPE, render_metrics
from voicetrio.server.serve import SessionServer

__all__ = ["admin_app", "serve_admin"]


def admin_app(server: SessionServer) -> AsgiApp:
    """Return the ASGI application for ``server``, to mount it in one of your own.  Raises MissingExtra."""
    try:
        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import PlainTextResponse, Response
        from starlette.routing import Route
    except ImportError as error:
        raise MissingExtra("server", "the operator's port") from error
    render_metrics(server)  # a missing package is told now, and not to Prometheus

    async def healthz(_request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        why = server.why_not_ready()
        return PlainTextResponse(f"{why or 'ready'}\n", 200 if why is None else 503)

    async def metrics(_request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        return Response(render_metrics(server), headers={"Content-Type": CONTENT_TYPE})

    paths = {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics}
    return Starlette(routes=[Route(path, endpoint, methods=["GET"]) for path, endpoint in paths.items()])


async def serve_admin(  # noqa: ASYNC128  # serve_http calls started()
    server: SessionServer,
    port: int,
    host: str = "127.0.0.1",
    *,
    task_status: trio.TaskStatus[HttpServer] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the operator's port until cancelled; see ``serve_http`` for what it starts with and raises."""
    await serve_http(admin_app(server), port, host, max_connections=32, task_status=task_status)
