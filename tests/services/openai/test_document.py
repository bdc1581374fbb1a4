"""The programs of ``docs/services/openai.md`` run as they stand, against the stand-in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trio.testing import MockClock

from voicetrio.audio.wav import read_wav
from voicetrio.testing.standins.openai import OpenAIScript, OpenAIStandin, open_openai_standin
from voicetrio.testing.standins.openai_realtime import RealtimeScript

PAGE = Path(__file__).parents[3] / "docs" / "services" / "openai.md"
START = "\n\n\ntrio.run(main)\n"


def program(mark: str) -> str:
    text = PAGE.read_text(encoding="utf-8")
    (source,) = (
        found
        for found in re.findall(r"^```python\n(.+?)^```$", text, flags=re.MULTILINE | re.DOTALL)
        if mark in found
    )
    assert source.endswith(START)
    return source.removesuffix(START)


async def run(mark: str, standin: OpenAIStandin, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("OPENAI_API_KEY", standin.key)
    monkeypatch.setenv("OPENAI_BASE_URL", standin.base_url)
    printed: list[str] = []
    space: dict[str, Any] = {"print": lambda *words: printed.append(" ".join(map(str, words)))}
    exec(compile(program(mark), PAGE.name, "exec"), space)
    await space["main"]()
    return printed


@pytest.mark.models
async def test_the_agent_of_three_services_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with open_openai_standin(OpenAIScript(hears=["go forward ten meters"])) as standin:
        printed = await run("open_services", standin, tmp_path, monkeypatch)
        asked = [request.path for request in standin.requests]
    assert printed == ["user: go forward ten meters", "agent: You said: go forward ten meters"]
    assert asked == ["/v1/audio/transcriptions", "/v1/chat/completions", "/v1/audio/speech"]
    assert np.any(read_wav(tmp_path / "heard.wav")[0])


async def test_the_agent_of_one_model_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    script = RealtimeScript(hears=["go forward ten meters"], answers=["I go forward."])
    async with open_openai_standin(OpenAIScript(realtime=script)) as standin:
        printed = await run("OpenAIRealtime", standin, tmp_path, monkeypatch)
        [server] = standin.sessions
    assert printed == ["user: go forward ten meters", "agent: I go forward."]
    assert [tool["name"] for tool in server.session["tools"]] == ["battery"]
    assert np.any(read_wav(tmp_path / "heard.wav")[0])
