"""The routes that speak: ``/v1/audio/speech``, ``/v1/audio/voices`` and, under ``/dev``, what OpenAI does
not have."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from operator import methodcaller
from typing import Any, Final, final

import trio
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from voicetrio.errors import ConfigError
from voicetrio.server.speech.bodies import read_json
from voicetrio.server.speech.errors import ApiError, as_api_error, error_body
from voicetrio.server.speech.jobs import BodyWriter, Job
from voicetrio.server.speech.planning import plan, read_script, response_headers
from voicetrio.server.speech.requests import (
    CaptionedRequest,
    DialogueRequest,
    PhonemesRequest,
    PhonemizeRequest,
    SpeakFields,
    SpeechRequest,
    voice_name,
)
from voicetrio.server.speech.service import SpeechService
from voicetrio.services.speech.rendering import Rendering, render, render_whole
from voicetrio.services.speech.speaking import PlacedWord, SpokenPiece
from voicetrio.services.speech_text.script import Item, Pause, Placeholders, Say, Script, parts_to_speak
from voicetrio.services.speech_text.spelling import Pronunciation

__all__ = ["SpeechRoutes", "timestamps"]

BYTES_A_CHAR: Final = 12
"""A character in JSON at most, as a surrogate pair of escapes."""


@final
class SpeechRoutes:
    """Handlers that share one service."""

    def __init__(self, service: SpeechService) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/v1/audio/speech", self.speech, methods=["POST"]),
            Route("/v1/audio/voices", self.voices, methods=["GET"]),
            Route("/dev/captioned_speech", self.captioned, methods=["POST"]),
            Route("/dev/dialogue", self.dialogue, methods=["POST"]),
            Route("/dev/phonemize", self.phonemize, methods=["POST"]),
            Route("/dev/generate_from_phonemes", self.from_phonemes, methods=["POST"]),
        ]

    async def speech(self, request: Request) -> Job:
        """Say a text: audio in chunks, audio in one piece, or server-sent events."""
        client = self._service.client(request)
        fields = await self._read(request, SpeechRequest)
        script = self._script(fields.input, fields)
        rendering = self._plan(script, fields, voice_name(fields.voice))
        if fields.stream_format == "sse":
            work = _Events(self._service, rendering, fields.input).write
        elif fields.stream:
            work = _Audio(self._service, rendering).write
        else:
            work = _Whole(self._service, rendering).write
        return self._service.job("speech", client, work)

    async def captioned(self, request: Request) -> Job:
        """Say a text, with the times of its words: a JSON object a line."""
        client = self._service.client(request)
        fields = await self._read(request, CaptionedRequest)
        rendering = self._plan(self._script(fields.input, fields), fields, voice_name(fields.voice))
        lines = _Lines(self._service, rendering, fields.return_timestamps, with_voice=fields.allow_voice_tags)
        return self._service.job("captioned", client, lines.write if fields.stream else lines.write_whole)

    async def dialogue(self, request: Request) -> Job:
        """Say turns, each in its voice."""
        client = self._service.client(request)
        fields = await self._read(request, DialogueRequest)
        items: list[Item] = []
        pronunciations: dict[str, Pronunciation] = {}
        for number, turn in enumerate(fields.turns or fields.inputs):
            script = self._script(turn.text, fields, param=f"turns.{number}.text")
            if items and fields.pause_between_turns:
                items.append(Pause(fields.pause_between_turns))
            # The placeholders of each turn count from 0: those of the whole are told apart by their turn.
            renamed = {key: f"{key[:-1]}-{number}{key[-1]}" for key in script.pronunciations}
            pronunciations |= {renamed[key]: how for key, how in script.pronunciations.items()}
            for item in script.items:
                if isinstance(item, Say):
                    text = item.text
                    for key, new in renamed.items():
                        text = text.replace(key, new)
                    item = Say(text, item.voice or turn.speaker, item.rate)
                items.append(item)
        most = self._service.settings.max_input_chars
        if sum(len(item.text) for item in items if isinstance(item, Say)) > most:
            raise ApiError(
                400, f"turns have more than {most} characters together", param="turns", code="too_long"
            )
        rendering = self._plan(Script(tuple(items), pronunciations), fields, None)
        whole = _Audio(self._service, rendering) if fields.stream else _Whole(self._service, rendering)
        return self._service.job("dialogue", client, whole.write, param="turns")

    async def from_phonemes(self, request: Request) -> Job:
        """Say phonemes."""
        client = self._service.client(request)
        fields = await self._read(request, PhonemesRequest)
        placeholders = Placeholders()
        words = []
        for word in placeholders.clean(fields.phonemes).split():
            bare = word.strip(".,;:!?…")
            words.append(word.replace(bare, placeholders.add(bare, ipa=bare), 1) if bare else word)
        if len(words) > self._service.settings.max_input_chars:
            raise ApiError(400, "phonemes has too many words", param="phonemes", code="too_long")
        script = Script((Say(" ".join(words)),), placeholders.pronunciations)
        rendering = self._plan(script, fields, voice_name(fields.voice))
        whole = _Audio(self._service, rendering) if fields.stream else _Whole(self._service, rendering)
        return self._service.job("phonemes", client, whole.write, param="phonemes")

    async def phonemize(self, request: Request) -> Job:
        """Tell the phonemes of a text."""
        client = self._service.client(request)
        fields = await self._read(request, PhonemizeRequest)
        script = read_script(
            fields.text, ssml=False, tags=False, most=self._service.settings.max_input_chars, param="text"
        )
        chosen = self._service.engines.choose(fields.model)
        (item,) = script.items
        assert isinstance(item, Say)
        parts = parts_to_speak(
            item.text,
            normalise=fields.normalization_options.normalize,
            pronunciations=script.pronunciations,
            is_first=False,
        )

        async def work(writer: BodyWriter) -> None:
            said = []
            async with self._service.engines.model(chosen.engine).lease() as pool:
                for words in parts:
                    phonemes: str = await pool.run(methodcaller("phonemize", words), name="phonemize")
                    said.append(phonemes)
            writer.headers["Content-Type"] = "application/json"
            await writer.finish(
                _json({"phonemes": " ".join(filter(None, said)), "model": chosen.engine.name})
            )

        return self._service.job("phonemize", client, work, param="text")

    async def voices(self, request: Request) -> JSONResponse:
        """List the voices of every engine."""
        self._service.client(request)
        await trio.lowlevel.checkpoint()
        return JSONResponse(
            {
                "voices": [
                    {
                        "id": voice.name,
                        "name": voice.name,
                        "model": engine.name,
                        "language": voice.language,
                        "description": voice.description,
                        "can_mix": engine.can_mix,
                    }
                    for engine, voice in self._service.engines.voices()
                ]
            }
        )

    async def _read(self, request: Request, kind: type[Any]) -> Any:
        settings = self._service.settings
        most = max(65_536, 2 * BYTES_A_CHAR * settings.max_input_chars)
        return await read_json(request, kind, most=most, stall_s=settings.upload_stall_s)

    def _script(self, text: str, fields: SpeakFields, *, param: str = "input") -> Script:
        try:
            return read_script(
                text,
                ssml=fields.ssml,
                tags=fields.allow_voice_tags,
                most=self._service.settings.max_input_chars,
                param=param,
            )
        except ConfigError as error:
            raise as_api_error(error, param=param) from None

    def _plan(self, script: Script, fields: SpeakFields, voice: str | None) -> Rendering:
        return plan(script, fields, voice, self._service.engines, self._service.settings)


def timestamps(words: Sequence[PlacedWord], rate: int, *, with_voice: bool = False) -> list[dict[str, Any]]:
    """Return the words that are said, as JSON objects, with times in seconds of the whole."""
    return [
        {
            "word": word.text,
            "start_time": round(word.start / rate, 4),
            "end_time": round(word.end / rate, 4),
            "spoken": word.spoken,
        }
        | ({"voice": word.voice} if with_voice else {})
        for word in words
        if word.end > word.start
    ]


class _Output:
    """What the forms of a response have in common."""

    def __init__(self, service: SpeechService, rendering: Rendering) -> None:
        self._service = service
        self._rendering = rendering

    def _count(self, samples: int) -> None:
        chosen = self._rendering.request.voices[None]
        metric = self._service.metrics.audio_s.labels(chosen.engine.name, self._rendering.format.name)
        metric.inc(samples / self._rendering.request.rate)


@final
class _Audio(_Output):
    """The bytes of the audio, as they are made."""

    async def write(self, writer: BodyWriter) -> None:
        writer.headers.update(response_headers(self._rendering))

        async def sink(_piece: SpokenPiece | None, data: bytes) -> None:
            await writer.write(data)

        self._count(await render(self._rendering, self._service.engines, sink))


@final
class _Whole(_Output):
    """The bytes of the audio in one piece, with its length in the header of the file."""

    async def write(self, writer: BodyWriter) -> None:
        body, count, _ = await render_whole(self._rendering, self._service.engines)
        self._count(count)
        writer.headers.update(response_headers(self._rendering))
        await writer.finish(body)


@final
class _Events(_Output):
    """Server-sent events, as OpenAI has them."""

    def __init__(self, service: SpeechService, rendering: Rendering, text: str) -> None:
        super().__init__(service, rendering)
        self._words = len(text.split())

    async def write(self, writer: BodyWriter) -> None:
        writer.headers.update({"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        has_begun = False

        async def sink(_piece: SpokenPiece | None, data: bytes) -> None:
            nonlocal has_begun
            if data:
                has_begun = True
                await writer.write(_event({"type": "speech.audio.delta", "audio": _base64(data)}))
            else:
                await trio.lowlevel.checkpoint()

        failure: Exception | None = None
        count = 0
        try:
            count = await render(self._rendering, self._service.engines, sink)
        except Exception as error:
            failure = error
        if failure is not None:
            if has_begun:
                await writer.write(_event({"type": "error", **error_body(as_api_error(failure))}))
            raise failure
        self._count(count)
        # Of tokens only the words that came in are known; what went out is counted in frames of 20 ms.
        frames = round(count / self._rendering.request.rate * 50)
        usage = {"input_tokens": self._words, "output_tokens": frames, "total_tokens": self._words + frames}
        await writer.write(_event({"type": "speech.audio.done", "usage": usage}))


@final
class _Lines(_Output):
    """A JSON object a line: audio, and the words in it."""

    def __init__(
        self, service: SpeechService, rendering: Rendering, with_words: bool, *, with_voice: bool
    ) -> None:
        super().__init__(service, rendering)
        self._with_words = with_words
        self._with_voice = with_voice

    async def write(self, writer: BodyWriter) -> None:
        writer.headers.update({**response_headers(self._rendering), "Content-Type": "application/x-ndjson"})
        has_begun = False

        async def sink(piece: SpokenPiece | None, data: bytes) -> None:
            nonlocal has_begun
            if data or (piece is not None and piece.words):
                has_begun = True
                await writer.write(self._line(data, piece.words if piece is not None else ()) + b"\n")
            else:
                await trio.lowlevel.checkpoint()

        await trio.lowlevel.checkpoint()
        failure: Exception | None = None
        try:
            self._count(await render(self._rendering, self._service.engines, sink))
        except Exception as error:
            failure = error
        if failure is not None:
            if has_begun:
                await writer.write(_json(error_body(as_api_error(failure))) + b"\n")
            raise failure

    async def write_whole(self, writer: BodyWriter) -> None:
        """One object."""
        body, count, pieces = await render_whole(self._rendering, self._service.engines)
        self._count(count)
        writer.headers["Content-Type"] = "application/json"
        await writer.finish(self._line(body, [word for piece in pieces for word in piece.words]))

    def _line(self, data: bytes, words: Sequence[PlacedWord]) -> bytes:
        value: dict[str, Any] = {
            "audio": _base64(data),
            "audio_format": self._rendering.format.content_type,
        }
        if self._with_words:
            value["timestamps"] = timestamps(words, self._rendering.request.rate, with_voice=self._with_voice)
        return _json(value)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _event(value: Any) -> bytes:
    return b"data: " + _json(value) + b"\n\n"
