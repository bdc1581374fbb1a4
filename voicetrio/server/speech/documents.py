"""``/openapi.json``, and ``/docs``: the same as a page that needs nothing from outside."""

from __future__ import annotations

import html
import json
from typing import Any

import trio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from voicetrio.server.speech.openapi import openapi_document
from voicetrio.server.speech.page import PAGE_HEADERS

__all__ = ["document_routes", "render_documents"]


def document_routes() -> list[Route]:
    """Return the routes."""
    document = openapi_document()
    page = render_documents(document).encode()

    async def openapi(_request: Request) -> JSONResponse:
        await trio.lowlevel.checkpoint()
        return JSONResponse(document)

    async def docs(_request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        return Response(page, 200, PAGE_HEADERS, "text/html; charset=utf-8")

    return [Route("/openapi.json", openapi, methods=["GET"]), Route("/docs", docs, methods=["GET"])]


def render_documents(document: dict[str, Any]) -> str:
    """Return a page that shows an OpenAPI document: every address, its fields, and an example."""
    schemas = document["components"]["schemas"]
    operations = [
        _operation(path, method, operation, schemas)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    info = document["info"]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(info['title'])}: the API</title>"
        '<link rel="icon" href="icon.svg"><link rel="stylesheet" href="style.css"></head><body class="docs">'
        f"<header><h1>{html.escape(info['title'])}</h1>"
        '<p class="soft">The API. <a href="/">Try it</a> · '
        '<a href="openapi.json">openapi.json</a></p></header>'
        f"<main>{''.join(operations)}</main></body></html>"
    )


def _operation(path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    parts = [
        f'<section class="card"><h2><span class="method">{method.upper()}</span> '
        f"<code>{html.escape(path)}</code></h2><p>{html.escape(operation['summary'])}</p>"
    ]
    for content_type, media in operation.get("requestBody", {}).get("content", {}).items():
        schema = _resolve(media["schema"], schemas)
        parts.append(f'<p class="soft">{html.escape(content_type)}</p>{_fields(schema, schemas)}')
        if "application/json" in content_type:
            example = json.dumps(_example(schema), indent=1)
            parts.append(f"<pre>curl {html.escape(path)} --json '{html.escape(example)}'</pre>")
    return "".join(parts) + "</section>"


def _fields(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    required = schema.get("required", [])
    rows = []
    fields = schema.get("properties", {}).items()
    for name, field in sorted(fields, key=lambda each: each[0] not in required):
        about = [html.escape(field.get("description", "").removesuffix("."))]
        if name in required:
            about.append("<strong>needed</strong>")
        elif field.get("default") not in (None, {}, []):
            about.append(f"default <code>{html.escape(json.dumps(field['default']))}</code>")
        kind = html.escape(_kind(field, schemas))
        rows.append(
            f"<tr><td><code>{html.escape(name)}</code></td><td>{kind}</td>"
            f"<td>{'; '.join(filter(None, about))}</td></tr>"
        )
    return f'<div class="wide"><table><tbody>{"".join(rows)}</tbody></table></div>'


def _kind(field: dict[str, Any], schemas: dict[str, Any]) -> str:
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "anyOf" in field:
        kinds = [_kind(each, schemas) for each in field["anyOf"] if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    bounds = [
        f"{sign} {field[key]:g}"
        for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"))
        if key in field
    ]
    return " ".join([str(field.get("const", field.get("type", "any"))), *bounds])


def _example(schema: dict[str, Any]) -> dict[str, Any]:
    values = {
        "input": "Hello there.",
        "text": "Hello there.",
        "phonemes": "haɪ",
        "voice": "alloy",
        "response_format": "opus",
        "turns": [{"voice": "joe", "text": "Hello."}, {"voice": "joe", "text": "Hello yourself."}],
    }
    return {name: values[name] for name in schema.get("properties", {}) if name in values}


def _resolve(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        found: dict[str, Any] = schemas[schema["$ref"].rpartition("/")[2]]
        return found
    return schema
