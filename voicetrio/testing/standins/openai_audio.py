"""Speech and transcription of the stand-in for OpenAI."""

from __future__ import annotations

import base64
import email.parser
import email.policy
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import numpy as np
import trio

from voicetrio.audio.codecs import encode_whole, open_decoder, sniff_format
from voicetrio.audio.wav import read_wav
from voicetrio.errors import AudioError
from voicetrio.frames import Samples
from voicetrio.testing.scripted import ScriptedTTS
from voicetrio.testing.standins.http import Exchange, HttpRequest
from voicetrio.testing.standins.openai_fault import HttpFault, RequestRefused

__all__ = ["RATE", "VOICES", "WORD_S", "answer_speech", "answer_transcription", "speak_words"]

RATE: Final = 24000
WORD_S: Final = 0.25
MAX_CHARACTERS: Final = 4096
MAX_UPLOAD_BYTES: Final = 25 << 20
CHUNK_BYTES: Final = 4801
"""Odd, so that samples are cut in two."""
VOICES: Final = (
    "alloy",
    "ash",
    "coral",
    "echo",
    "fable",
    "marin",
    "onyx",
    "nova",
    "sage",
    "shimmer",
    "verse",
)
CONTENT_TYPES: Final = {
    "mp3": "audio/mpeg",
    "opus": "audio/opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}


def speak_words(text: str) -> Samples:
    """Return int16 samples at ``RATE``: word ``k`` as ``WORD_S`` of the level ``ScriptedTTS.level(k)``."""
    levels = [ScriptedTTS.level(index) for index in range(len(text.split()))]
    return np.repeat(np.array(levels, np.int16), round(WORD_S * RATE))


async def answer_speech(
    exchange: Exchange,
    body: Mapping[str, Any],
    pause: Callable[[], Awaitable[None]],
    fault: HttpFault | None,
) -> None:
    """Speak the input, raw or as events.  Raises RequestRefused."""
    text, format = _check_speech(body)
    audio = encode_whole(format, speak_words(text), RATE)
    as_events = body.get("stream_format") == "sse"
    await exchange.begin(content_type="text/event-stream" if as_events else CONTENT_TYPES[format])
    pieces = [audio[at : at + CHUNK_BYTES] for at in range(0, len(audio), CHUNK_BYTES)]
    for index, piece in enumerate(pieces):
        if fault is not None and await fault.at(exchange, index):
            return
        if index:
            await pause()
        if as_events:
            event = {"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()}
            await exchange.write(f"data: {json.dumps(event)}\n\n".encode())
        else:
            await exchange.write(piece)
    if fault is not None and await fault.at(exchange, len(pieces)):
        return
    if as_events:
        usage = {"input_tokens": len(text.split()), "output_tokens": len(pieces)}
        done = {"type": "speech.audio.done", "usage": {**usage, "total_tokens": sum(usage.values())}}
        await exchange.write(f"data: {json.dumps(done)}\n\n".encode())


def _check_speech(body: Mapping[str, Any]) -> tuple[str, str]:
    text, voice = body.get("input"), body.get("voice")
    format, speed = body.get("response_format") or "mp3", body.get("speed", 1.0)
    if not isinstance(text, str) or not text.strip():
        raise RequestRefused(400, "Invalid 'input': empty string.", code="empty_string", param="input")
    if len(text) > MAX_CHARACTERS:
        message = f"Invalid 'input': string too long. Expected a string with maximum length {MAX_CHARACTERS}."
        raise RequestRefused(400, message, code="string_above_max_length", param="input")
    name = voice.get("id") if isinstance(voice, dict) else voice
    if name not in VOICES:
        message = f"Invalid value: '{name}'. Supported values are: {', '.join(VOICES)}."
        raise RequestRefused(400, message, code="invalid_value", param="voice")
    if format not in CONTENT_TYPES:
        message = f"Invalid value: '{format}'. Supported values are: {', '.join(CONTENT_TYPES)}."
        raise RequestRefused(400, message, code="invalid_value", param="response_format")
    if not 0.25 <= speed <= 4.0:
        message = "Invalid 'speed': expected a value from 0.25 to 4."
        raise RequestRefused(400, message, code="invalid_value", param="speed")
    return text, format


async def answer_transcription(
    exchange: Exchange,
    check_model: Callable[[object], None],
    next_transcript: Callable[[Samples, int], str],
    fault: HttpFault | None,
) -> None:
    """Transcribe an upload as its fields ask.  Raises RequestRefused."""
    await trio.lowlevel.checkpoint()
    fields, data = _parts(exchange.request)
    check_model(fields.get("model"))
    samples, rate = _decode(data)
    text = next_transcript(samples, rate)
    duration = len(samples) / rate
    if fields.get("stream") == "true":
        await _stream_transcript(exchange, text, fault)
        return
    if fault is not None and await fault.at(exchange, 0):
        return
    match fields.get("response_format") or "json":
        case "json":
            usage = {"type": "duration", "seconds": round(duration)}
            await exchange.respond(200, json.dumps({"text": text, "usage": usage}))
        case "text":
            await exchange.respond(200, text + "\n", content_type="text/plain; charset=utf-8")
        case "verbose_json":
            verbose = _verbose(text, duration, fields)
            await exchange.respond(200, json.dumps(verbose))
        case format:
            raise RequestRefused(
                400, f"Invalid value: '{format}'.", code="invalid_value", param="response_format"
            )


async def _stream_transcript(exchange: Exchange, text: str, fault: HttpFault | None) -> None:
    await exchange.begin(content_type="text/event-stream")
    for index, word in enumerate(text.split(" ")):
        if fault is not None and await fault.at(exchange, index):
            return
        delta = {"type": "transcript.text.delta", "delta": word if not index else f" {word}"}
        await exchange.write(f"data: {json.dumps(delta)}\n\n".encode())
    done = {"type": "transcript.text.done", "text": text}
    await exchange.write(f"data: {json.dumps(done)}\n\n".encode())


def _verbose(text: str, duration: float, fields: Mapping[str, str]) -> dict[str, Any]:
    words = text.split()
    step = duration / max(1, len(words))
    answer: dict[str, Any] = {"task": "transcribe", "language": "english", "duration": duration, "text": text}
    granularities = fields.get("timestamp_granularities[]", "segment").split(",")
    if "word" in granularities:
        answer["words"] = [
            {"word": word.strip(".,!?"), "start": index * step, "end": (index + 1) * step}
            for index, word in enumerate(words)
        ]
    if "segment" in granularities:
        answer["segments"] = [{"id": 0, "start": 0.0, "end": duration, "text": text}]
    return answer


def _parts(request: HttpRequest) -> tuple[dict[str, str], bytes]:
    """Return the fields of a form (values of one name joined by commas), and its file."""
    head = f"Content-Type: {request.headers.get('content-type', '')}\r\n\r\n".encode()
    parser = email.parser.BytesParser(policy=email.policy.HTTP)
    fields: dict[str, str] = {}
    file: bytes | None = None
    for part in parser.parsebytes(head + request.body).iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        if name == "file":
            file = payload
        else:
            value = payload.decode()
            fields[name] = f"{fields[name]},{value}" if name in fields else value
    if file is None:
        raise RequestRefused(
            400, "Missing required parameter: 'file'.", code="missing_parameter", param="file"
        )
    if len(file) > MAX_UPLOAD_BYTES:
        raise RequestRefused(413, f"Maximum content size limit ({MAX_UPLOAD_BYTES}) exceeded.", code=None)
    return fields, file


def _decode(data: bytes) -> tuple[Samples, int]:
    try:
        format = sniff_format(data)
        if format is None or format == "wav":
            return read_wav(data)
        with open_decoder(format) as decoder:
            samples = np.concatenate([decoder.decode(data), decoder.finish()])
            return samples, decoder.rate or RATE
    except AudioError as error:
        raise RequestRefused(
            400, f"Invalid file format: {error}", code="invalid_value", param="file"
        ) from None
