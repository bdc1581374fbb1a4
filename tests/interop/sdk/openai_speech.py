"""The openai package's audio flows against our speech server; run in the SDK's environment, prints one JSON
object.

Usage: ``openai_speech.py BASE_URL KEY WORK_FOLDER RECORDING``.  It imports nothing of ours, and decodes what
it gets with libsndfile, which the server does not use.
"""

from __future__ import annotations

import base64
import io
import json
import sys
from pathlib import Path

import openai
import soundfile

TELEPHONE = {"mulaw": "ULAW", "alaw": "ALAW"}
FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm", *TELEPHONE)
TEXT = "one two three four five. six seven eight nine ten."
RATE = 24_000


def length_s(name: str, body: bytes) -> float | None:
    """Return the seconds of audio in ``body``; None for what libsndfile cannot read."""
    if name == "pcm":
        return len(body) / 2 / RATE
    if name == "aac":
        return None
    raw = {"format": "RAW", "subtype": TELEPHONE.get(name), "samplerate": 8000, "channels": 1}
    with soundfile.SoundFile(io.BytesIO(body), **(raw if name in TELEPHONE else {})) as file:
        return len(file.read()) / file.samplerate


def speech(client: openai.OpenAI, folder: Path) -> dict[str, object]:
    """Every format, as a stream and as a whole; then events."""
    streamed, whole, pieces = {}, {}, {}
    for name in FORMATS:
        arguments = {"model": "tts-1", "voice": "alloy", "input": TEXT, "response_format": name}
        with client.audio.speech.with_streaming_response.create(**arguments) as response:
            parts = list(response.iter_bytes())
        (folder / f"streamed.{name}").write_bytes(b"".join(parts))
        pieces[name] = len(parts)
        # libsndfile cannot read a FLAC stream that does not tell its length: the page's test does.
        streamed[name] = None if name == "flac" else length_s(name, b"".join(parts))
        body = client.audio.speech.create(**arguments, extra_body={"stream": False}).content
        (folder / f"whole.{name}").write_bytes(body)
        whole[name] = length_s(name, body)
    return {"streamed": streamed, "whole": whole, "pieces": pieces, "events": events(client)}


def events(client: openai.OpenAI) -> dict[str, object]:
    arguments = {"model": "gpt-4o-mini-tts", "voice": "nova", "input": TEXT, "response_format": "pcm"}
    kinds, audio = [], b""
    with client.audio.speech.with_streaming_response.create(**arguments, stream_format="sse") as response:
        for line in response.iter_lines():
            if line.startswith("data: "):
                event = json.loads(line[6:])
                kinds.append(event["type"])
                audio += base64.b64decode(event.get("audio", ""))
    return {"kinds": sorted(set(kinds)), "last": kinds[-1], "seconds": length_s("pcm", audio)}


def transcription(client: openai.OpenAI, recording: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for name in ("json", "text", "srt", "vtt"):
        with recording.open("rb") as file:
            answer = client.audio.transcriptions.create(model="whisper-1", file=file, response_format=name)
        found[name] = answer.text if name == "json" else str(answer)
    with recording.open("rb") as file:
        verbose = client.audio.transcriptions.create(
            model="whisper-1",
            file=file,
            response_format="verbose_json",
            timestamp_granularities=["word", "segment"],
        )
    found["verbose"] = {
        "duration": verbose.duration,
        "words": [[word.word, word.start, word.end] for word in verbose.words or []],
        "segments": [segment.text for segment in verbose.segments or []],
    }
    with recording.open("rb") as file:
        stream = client.audio.transcriptions.create(
            model="gpt-4o-mini-transcribe", file=file, response_format="json", stream=True
        )
        found["events"] = [event.type for event in stream]
    return found


def errors(client: openai.OpenAI, base_url: str) -> dict[str, object]:
    """Return the class, the status, the code and the field of each error."""
    say = {"model": "tts-1", "voice": "alloy", "input": "hello"}
    hear = {"model": "whisper-1", "file": ("a.wav", b"no audio")}
    stranger = openai.OpenAI(base_url=base_url, api_key="wrong", max_retries=0)
    calls = {
        "key": lambda: stranger.audio.speech.create(**say),
        "model": lambda: client.audio.speech.create(**say | {"model": "zork"}),
        "voice": lambda: client.audio.speech.create(**say | {"voice": "zork"}),
        "format": lambda: client.audio.speech.create(**say, response_format="midi"),
        "speed": lambda: client.audio.speech.create(**say, speed=9),
        "input": lambda: client.audio.speech.create(**say | {"input": "..."}),
        "file": lambda: client.audio.transcriptions.create(**hear),
        "retrieve": lambda: client.models.retrieve("zork"),
    }
    found: dict[str, object] = {}
    for name, call in calls.items():
        try:
            call()
        except openai.APIStatusError as error:
            found[name] = [type(error).__name__, error.status_code, error.code, error.param]
    return found


def broken(client: openai.OpenAI) -> str:
    """Return what the client sees when the server fails after its first byte."""
    arguments = {"model": "tts-1", "voice": "alloy", "input": "one two. FAIL now.", "response_format": "pcm"}
    try:
        with client.audio.speech.with_streaming_response.create(**arguments) as response:
            for _ in response.iter_bytes():
                pass
    except Exception as error:
        return type(error).__name__
    return "nothing"


def main() -> None:
    base_url, key, folder, recording = sys.argv[1:]
    client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0)
    result = {
        "models": [model.id for model in client.models.list()],
        "model": client.models.retrieve("gpt-4o-mini-tts").id,
        "speech": speech(client, Path(folder)),
        "transcription": transcription(client, Path(recording)),
        "errors": errors(client, base_url),
        "broken": broken(client),
    }
    print(json.dumps(result))


main()
