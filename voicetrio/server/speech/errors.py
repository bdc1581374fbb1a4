"""Errors in the shape that OpenAI's clients know::

{"error": {"message": "...", "type": "invalid_request_error", "param": "voice", "code": "invalid_voice"}}
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from voicetrio.errors import ConfigError, MissingExtra, ServiceError
from voicetrio.services.speech.engine import VoiceError
from voicetrio.services.speech.engines import UnknownModel
from voicetrio.services.speech.speaking import Unspeakable
from voicetrio.services.speech_text.script import MarkupError

__all__ = ["ApiError", "as_api_error", "error_body", "error_response"]

_log = logging.getLogger("voicetrio.speech")


class ApiError(Exception):
    """A request that is answered with an error.

    Args:
        status: of HTTP.
        message: one sentence for the client's author.
        param: the field of the request that is wrong.
        code: what a program can test for.
        retry_after_s: seconds after which the same request may work.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))

    @property
    def type(self) -> str:
        """OpenAI's kind of the error."""
        if self.status == 401:
            return "authentication_error"
        if self.status == 429:
            return "rate_limit_error"
        return "invalid_request_error" if self.status < 500 else "server_error"


def as_api_error(error: Exception, *, param: str = "input") -> ApiError:
    """Return what a client is told of ``error``; what is nobody's business is logged and told as status 500.

    ``param`` is the field that the text came from.
    """
    match error:
        case ApiError():
            return error
        case VoiceError():
            return ApiError(400, str(error), param="voice", code="invalid_voice")
        case UnknownModel():
            return ApiError(400, str(error), param="model", code="model_not_found")
        case MarkupError():
            return ApiError(400, str(error), param=param, code="invalid_markup")
        case Unspeakable():
            return ApiError(400, str(error), param=param, code="unspeakable_input")
        case ServiceError() | MissingExtra():
            return ApiError(503, str(error), code="engine_unavailable")
        case ConfigError():
            return ApiError(400, str(error), param=param, code="invalid_value")
    _log.error("a request failed", exc_info=error)
    return ApiError(500, "the server failed to answer this request", code="internal_error")


def error_body(error: ApiError) -> dict[str, Any]:
    """Return the JSON object of an error."""
    return {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}


def error_response(error: ApiError) -> Response:
    """Return the response of an error."""
    body = json.dumps(error_body(error), ensure_ascii=False).encode()
    return Response(body, error.status, error.headers, "application/json")
