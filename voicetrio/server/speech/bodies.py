"""Reading a request's body within bounds: its type, its size, and the time between its pieces."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import trio
from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request

from voicetrio.server.speech.errors import ApiError
from voicetrio.server.speech.requests import read_request

__all__ = ["check_size", "limit_body", "read_json"]

T = TypeVar("T", bound=BaseModel)


def check_size(request: Request, most: int) -> None:
    """Raise ApiError 413 when the headers announce more than ``most`` bytes."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise _too_large(most)


async def read_json(request: Request, kind: type[T], *, most: int, stall_s: float) -> T:
    """Read a JSON body of at most ``most`` bytes.

    Raises ApiError: 400, 408 when it does not come, 413, 415 for another content type.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json" and not content_type.endswith("+json"):
        raise ApiError(
            415,
            f"the body must be JSON: send Content-Type: application/json, not {content_type[:100] or 'none'}",
            param="Content-Type",
            code="unsupported_media_type",
        )
    check_size(request, most)
    limited = Request(request.scope, limit_body(request.receive, most, stall_s))
    try:
        body = await limited.body()
    except ClientDisconnect:
        raise ApiError(400, "the client left before its request was complete", code="incomplete") from None
    return read_request(kind, body)


def limit_body(
    receive: Callable[[], Awaitable[Any]], most: int, stall_s: float
) -> Callable[[], Awaitable[Any]]:
    """Return an ASGI ``receive`` that raises ApiError when more comes than ``most`` bytes, or nothing for
    too long.

    It is for libraries that read a body by themselves.
    """
    taken = 0

    async def receive_within() -> Any:
        nonlocal taken
        with trio.move_on_after(stall_s):
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                raise _too_large(most)
            return message
        raise ApiError(408, f"the body did not come: {stall_s:g} s without a byte", code="timeout")

    return receive_within


def _too_large(most: int) -> ApiError:
    return ApiError(413, f"the body is larger than {most} bytes", code="too_large")
