"""``POST /v1/audio/transcriptions``: recordings of any common format to text, in every response format."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from typing import Any, Final, TypeAlias, final

import attrs
import trio
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route

from voicetrio.errors import AudioError
from voicetrio.runtime.decoding import decode_file
from voicetrio.runtime.producing import open_produced
from voicetrio.server.speech.bodies import check_size, limit_body
from voicetrio.server.speech.errors import ApiError, as_api_error, error_body
from voicetrio.server.speech.jobs import BodyWriter, Job
from voicetrio.server.speech.service import SpeechService
from voicetrio.services.speech.recogniser import RecognisedPart
from voicetrio.services.speech.transcripts import TRANSCRIPT_FORMATS, WholeTranscript, write_transcript

__all__ = ["TranscriptionRoutes"]

GRANULARITIES: Final = frozenset({"word", "segment"})
MULTIPART_OVERHEAD: Final = 65_536
"""Bytes of a form beside its file."""
PARTS_AHEAD: Final = 1
_TRUE: Final = frozenset({"true", "1", "yes"})
_FALSE: Final = frozenset({"false", "0", "no", ""})
_numbers = count(1)
Recognise: TypeAlias = Callable[[trio.abc.SendChannel[RecognisedPart]], Awaitable[None]]


@attrs.frozen(kw_only=True)
class _Wanted:
    """What a request asks for."""

    data: bytes
    response_format: str
    granularities: frozenset[str]
    stream: bool


@final
class TranscriptionRoutes:
    """Handlers that share one service."""

    def __init__(self, service: SpeechService) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [Route("/v1/audio/transcriptions", self.transcriptions, methods=["POST"])]

    async def transcriptions(self, request: Request) -> Job:
        """Tell what is said in a recording."""
        client = self._service.client(request)
        self._service.admission.check(client)
        wanted = await self._read(request)
        return self._service.job("transcription", client, partial(self._answer, wanted), param="file")

    async def _answer(self, wanted: _Wanted, writer: BodyWriter) -> None:
        try:
            audio = await decode_file(
                wanted.data,
                max_s=self._service.settings.max_recording_s,
                to_hz=self._service.recogniser.rate,
            )
        except AudioError as error:
            raise ApiError(400, f"file: {error}", param="file", code="invalid_audio") from None
        self._service.metrics.recorded_s.inc(audio.samples.size / audio.rate)
        recognise = partial(
            self._service.recogniser.recognise,
            audio.samples,
            audio.rate,
            session=f"transcription-{next(_numbers)}",
        )
        if wanted.stream:
            await _stream(writer, recognise)
            return
        async with open_produced(recognise, ahead=PARTS_AHEAD) as parts:
            found = [part async for part in parts]
        transcript = WholeTranscript(found, audio.samples.size / audio.rate)
        writer.headers["Content-Type"], body = write_transcript(
            transcript, wanted.response_format, wanted.granularities
        )
        await writer.finish(body)

    async def _read(self, request: Request) -> _Wanted:
        settings = self._service.settings
        if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            raise ApiError(
                415,
                "the body must be a form with a file: send Content-Type: multipart/form-data",
                param="Content-Type",
                code="unsupported_media_type",
            )
        most = settings.max_upload_bytes + MULTIPART_OVERHEAD
        check_size(request, most)
        limited = Request(request.scope, limit_body(request.receive, most, settings.upload_stall_s))
        try:
            async with limited.form(max_files=1, max_fields=32, max_part_size=MULTIPART_OVERHEAD) as form:
                return await self._wanted(form)
        except HTTPException as error:
            raise ApiError(400, f"the form cannot be read: {error.detail}", code="invalid_form") from None
        except ClientDisconnect:
            raise ApiError(
                400, "the client left before its request was complete", code="incomplete"
            ) from None

    async def _wanted(self, form: FormData) -> _Wanted:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise ApiError(400, "file: give the recording", param="file", code="missing_field")
        self._check_model(form)
        response_format = _field(form, "response_format", "json")
        if response_format not in TRANSCRIPT_FORMATS:
            raise _wrong("response_format", f"choose from {', '.join(TRANSCRIPT_FORMATS)}")
        granularities = frozenset(
            str(value)
            for name in ("timestamp_granularities[]", "timestamp_granularities")
            for value in form.getlist(name)
        )
        if not granularities <= GRANULARITIES:
            raise _wrong("timestamp_granularities", "choose from segment, word")
        if granularities and response_format != "verbose_json":
            raise _wrong("timestamp_granularities", "needs response_format verbose_json")
        stream = _field(form, "stream", "false").lower()
        if stream not in _TRUE | _FALSE:
            raise _wrong("stream", "must be true or false")
        if stream in _TRUE and response_format not in ("json", "text"):
            raise _wrong("stream", "needs response_format json or text")
        data = await file.read()
        if not data:
            raise ApiError(400, "file: is empty", param="file", code="invalid_audio")
        return _Wanted(
            data=data,
            response_format=response_format,
            granularities=granularities or frozenset({"segment"}),
            stream=stream in _TRUE,
        )

    def _check_model(self, form: FormData) -> None:
        names = self._service.recogniser.names
        model = _field(form, "model", names[0])
        if model not in names:
            raise ApiError(
                400,
                f"there is no model {model[:100]!r}: choose from {', '.join(names)}",
                param="model",
                code="model_not_found",
            )
        language = _field(form, "language", "en").lower().partition("-")[0]
        if names[0].endswith(".en") and language not in ("en", "english", ""):
            raise _wrong("language", f"{names[0]} knows English only")
        try:
            temperature = float(_field(form, "temperature", "0") or 0)
        except ValueError:
            temperature = -1.0
        if not 0 <= temperature <= 1:
            raise _wrong("temperature", "must be from 0 to 1")


def _field(form: FormData, name: str, default: str) -> str:
    value = form.get(name, default)
    if not isinstance(value, str):
        raise _wrong(name, "must be text, not a file")
    return value


def _wrong(name: str, why: str) -> ApiError:
    return ApiError(400, f"{name}: {why}", param=name, code="invalid_value")


# --- the forms of a response ---


async def _stream(writer: BodyWriter, recognise: Recognise) -> None:
    """Server-sent events, as OpenAI has them: a delta a part, then the whole."""
    writer.headers.update({"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    texts: list[str] = []
    failure: Exception | None = None
    try:
        async with open_produced(recognise, ahead=PARTS_AHEAD) as parts:
            async for part in parts:
                if part.text:
                    delta = f" {part.text}" if texts else part.text
                    texts.append(part.text)
                    await writer.write(_event({"type": "transcript.text.delta", "delta": delta}))
    except Exception as error:
        failure = error
    if failure is not None:
        if texts:
            await writer.write(_event({"type": "error", **error_body(as_api_error(failure))}))
        raise failure
    await writer.write(_event({"type": "transcript.text.done", "text": " ".join(texts)}))


def _event(value: Any) -> bytes:
    return b"data: " + _json(value) + b"\n\n"


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
