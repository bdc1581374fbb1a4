"""What can go wrong with one HTTP request to the stand-in for OpenAI, and the shape of its errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal, TypeAlias

import attrs
import trio

from voicetrio.testing.standins.http import Exchange

__all__ = ["FaultKind", "HttpFault", "RequestRefused", "error_body"]

FaultKind: TypeAlias = Literal["status", "page", "stall", "torn", "garbage", "error", "cut"]
"""How a request fails.

======= ==========================================================================================
status  refused with ``status``, ``message``, ``code`` and ``retry_after``
page    answered with a web page (``status``), as by a captive portal or a proxy
stall   ``after`` pieces come, then nothing more, on a connection that stays open
torn    ``after`` pieces come, then the connection drops
garbage ``after`` pieces come, then an event that is not JSON
error   ``after`` pieces come, then an event that says an error
cut     ``after`` pieces come, then the answer ends as if it were whole
======= ==========================================================================================
"""


class RequestRefused(Exception):
    """The request is answered with an error."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param
        self.headers = headers or {}
        super().__init__(message)


def error_body(
    message: str, *, kind: str = "invalid_request_error", code: str | None = None, param: str | None = None
) -> str:
    """Return an error as the API writes it."""
    return json.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


@attrs.frozen(kw_only=True)
class HttpFault:
    """What goes wrong with one request."""

    kind: FaultKind
    after: int = 0
    """Pieces of the answer that come before it: events, or chunks of audio."""
    status: int = 500
    message: str = "The server had an error while processing your request."
    code: str | None = None
    retry_after: str | None = None

    async def before(self, exchange: Exchange, page: str) -> bool:
        """Do what is to be done before any answer; return True if that was the answer."""
        await trio.lowlevel.checkpoint()
        if self.kind == "status":
            headers = {} if self.retry_after is None else {"Retry-After": self.retry_after}
            raise RequestRefused(
                self.status, self.message, kind="server_error", code=self.code, headers=headers
            )
        if self.kind == "page":
            await exchange.respond(self.status, page, content_type="text/html; charset=utf-8")
            return True
        return False

    async def at(self, exchange: Exchange, pieces: int) -> bool:
        """Do what is to be done once ``pieces`` are out; return True if the answer ends here."""
        await trio.lowlevel.checkpoint()
        if pieces < self.after:
            return False
        match self.kind:
            case "stall":
                await trio.sleep_forever()
            case "torn":
                exchange.tear()
            case "garbage":
                await exchange.write(b'data: {"id": "chatcmpl-\n\n')
            case "error":
                body = error_body(self.message, kind="server_error", code=self.code)
                await exchange.write(f"data: {body}\n\n".encode())
        return True
