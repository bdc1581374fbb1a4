"""The program of docs/speech-server.md runs as it stands; its tables name what there is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import attrs

from tests.server.speech.fakes import open_app
from voicetrio.audio.codecs import FORMATS
from voicetrio.server.speech.openapi import openapi_document
from voicetrio.server.speech.routes_models import ModelRoutes
from voicetrio.server.speech.routes_speech import SpeechRoutes
from voicetrio.server.speech.routes_stream import StreamRoutes
from voicetrio.server.speech.routes_transcription import TranscriptionRoutes
from voicetrio.server.speech.settings import SpeechSettings

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "speech-server.md").read_text(encoding="utf-8")
ROUTES = (SpeechRoutes, TranscriptionRoutes, StreamRoutes, ModelRoutes)


def test_the_engine_of_the_page_speaks(tmp_path: Path) -> None:
    ((program, name),) = re.findall(r"^```python\n(# (\w+\.py)\n.+?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / name).write_text(program, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-u", name],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().decode().split()[-1]
            request = urllib.request.Request(
                f"{url}/v1/audio/speech",
                json.dumps({"input": "one two", "response_format": "pcm", "voice": "high"}).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                audio = answer.read()
        finally:
            server.terminate()
    assert len(audio) == 2 * round(6 * 0.05 * 24_000)


def test_the_routes_are_those_that_there_are() -> None:
    named = set(re.findall(r"`(?:GET|POST) (/[^`]+)`", PAGE))
    described = {path.replace("{name}", "{id}") for path in openapi_document()["paths"]}
    assert named == described


async def test_the_description_has_every_route_of_the_application() -> None:
    async with open_app() as (_, service):
        routes = [route for kind in ROUTES for route in kind(service).routes()]
    described = {path.replace("{name}", "{name:path}") for path in openapi_document()["paths"]}
    assert {route.path for route in routes} == described


def test_the_formats_and_the_settings_are_those_that_there_are() -> None:
    section = PAGE.split("## Formats")[1].split("##")[0]
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", section, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"\w+", row)} == set(FORMATS)
    told = dict(re.findall(r"^\| `(\w+)` \| ([\w.]+) \| ", PAGE.split("| Setting |")[1], re.MULTILINE))
    assert told == {name: str(value) for name, value in attrs.asdict(SpeechSettings()).items()}
