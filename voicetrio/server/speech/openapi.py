"""The API's description, as OpenAPI 3.1: made from the same models that check the requests."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from voicetrio.server.speech.requests import (
    CaptionedRequest,
    DialogueRequest,
    PhonemesRequest,
    PhonemizeRequest,
    SpeechRequest,
    StreamStart,
)
from voicetrio.services.speech.transcripts import TRANSCRIPT_FORMATS
from voicetrio.version import __version__

__all__ = ["openapi_document"]

_AUDIO: Final[dict[str, Any]] = {
    "audio/mpeg": {},
    "audio/ogg": {},
    "audio/wav": {},
    "audio/flac": {},
    "audio/aac": {},
    "audio/pcm": {},
}
_JSON: Final[dict[str, Any]] = {"application/json": {}}
_POSTS: Final[tuple[tuple[str, str, type[BaseModel], dict[str, Any]], ...]] = (
    ("/v1/audio/speech", "Say a text.", SpeechRequest, {**_AUDIO, "text/event-stream": {}}),
    ("/dev/captioned_speech", "Say a text, with the times of its words.", CaptionedRequest,
     {"application/x-ndjson": {}, **_JSON}),
    ("/dev/dialogue", "Say turns, each in its voice.", DialogueRequest, _AUDIO),
    ("/dev/phonemize", "Tell the phonemes of a text.", PhonemizeRequest, _JSON),
    ("/dev/generate_from_phonemes", "Say phonemes.", PhonemesRequest, _AUDIO),
)  # fmt: skip
_GETS: Final = (
    ("/v1/models", "List the models."),
    ("/v1/models/{name}", "Tell of one model."),
    ("/v1/audio/voices", "List the voices of every engine."),
    ("/healthz", "200 as long as the process runs."),
    ("/readyz", "503, and why, when the next request would not be let in."),
    ("/metrics", "What is counted, for Prometheus."),
)
_FORM: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "The recording, in any common format."},
        "model": {"type": "string", "description": "whisper-1, or the recogniser's own name."},
        "language": {"type": "string", "description": "en; the packaged model knows English only."},
        "response_format": {"type": "string", "enum": list(TRANSCRIPT_FORMATS), "default": "json"},
        "timestamp_granularities[]": {
            "type": "array",
            "items": {"type": "string", "enum": ["word", "segment"]},
            "description": "With verbose_json.",
        },
        "stream": {
            "type": "boolean",
            "default": False,
            "description": "Server-sent events, with json or text.",
        },
        "temperature": {"type": "number", "minimum": 0, "maximum": 1, "description": "Without effect."},
        "prompt": {"type": "string", "description": "Without effect."},
    },
}


def openapi_document() -> dict[str, Any]:
    """Return the document."""
    kinds: list[type[BaseModel]] = [*(kind for _, _, kind, _ in _POSTS), StreamStart]
    _, schemas = models_json_schema(
        [(kind, "validation") for kind in kinds], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, Any] = {}
    for path, summary, kind, content in _POSTS:
        body = {"application/json": {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}}
        paths[path] = {"post": _operation(summary, content, body)}
    form = {"multipart/form-data": {"schema": _FORM}}
    texts: dict[str, Any] = {
        "application/json": {},
        "text/plain": {},
        "text/vtt": {},
        "text/event-stream": {},
    }
    paths["/v1/audio/transcriptions"] = {"post": _operation("Tell what is said in a recording.", texts, form)}
    paths["/dev/unload"] = {"post": _operation("Unload every model that is not in use.", _JSON, None)}
    paths["/v1/audio/speech/stream"] = {
        "get": _operation(
            "A WebSocket: text in, audio out. The first message is a StreamStart.", {}, None, status="101"
        )
    }
    for path, summary in _GETS:
        paths[path] = {"get": _operation(summary, _JSON, None)}
        if "{name}" in path:
            name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
            paths[path]["get"]["parameters"] = [name]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "voicetrio speech",
            "version": __version__,
            "description": "Speech and transcription, compatible with OpenAI's API.",
        },
        "paths": paths,
        "components": {
            "schemas": {**schemas.get("$defs", {}), "Error": _error_schema()},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
    }


def _operation(
    summary: str, content: dict[str, Any], body: dict[str, Any] | None, *, status: str = "200"
) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {
            status: {"description": "Done.", **({"content": content} if content else {})},
            "4XX": {"description": "The request is wrong, or comes too often.", "content": error},
            "5XX": {"description": "The server is busy, or failed.", "content": error},
        },
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": body}
    return operation


def _error_schema() -> dict[str, Any]:
    text = {"type": ["string", "null"]}
    fields = {"message": {"type": "string"}, "type": {"type": "string"}, "param": text, "code": text}
    return {"type": "object", "properties": {"error": {"type": "object", "properties": fields}}}
