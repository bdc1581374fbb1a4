"""The service in docs/write-a-service.md works as it stands."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.services.vendors import plain, speak
from voicetrio.connection.websocket import Refusal, UpgradeRequest
from voicetrio.conversation import RecogniserTurns
from voicetrio.errors import ConfigError, ServiceError
from voicetrio.testing.standins.fault import Drop, Fault, Garble
from voicetrio.testing.standins.server import Standin, StandinConnection, open_standin
from voicetrio.testing.standins.speech import speak_words, word_times

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "write-a-service.md"


class Acme(Standin):
    """The vendor of the page."""

    name = "acme"

    def check(self, request: UpgradeRequest) -> Refusal | None:
        is_known = request.headers.get("authorization") == f"Bearer {self.key}"
        return None if is_known else Refusal(401, "who are you?")

    async def talk(self, connection: StandinConnection) -> None:
        while True:
            message = json.loads(await connection.receive() or "{}")
            name = message["id"]
            if "unpronounceable" in message.get("text", ""):
                await connection.send({"id": name, "error": "cannot say that"})
            elif "text" in message:
                # Each text is a chunk, and times count from the context's first sample.
                before = [text.get("text", "") for text in connection.texts[:-1] if text["id"] == name]
                offset_s = sum(len(text) for text in before) * 0.06
                words = [
                    (word.text, offset_s + word.start_s, offset_s + word.end_s)
                    for word in word_times(message["text"])
                ]
                audio = base64.b64encode(speak_words(message["text"], 24000).tobytes()).decode()
                await connection.send({"id": name, "words": words, "audio": audio})
            elif message.get("end"):
                await connection.send({"id": name, "done": True})

    async def fail(self, connection: StandinConnection, error: str) -> None:
        await connection.send({"id": "", "error": error})


def programs(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.+?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def program() -> str:
    (source,) = programs(PAGE)
    return source


@pytest.fixture
def make(program: str) -> Any:
    names: dict[str, Any] = {"__name__": "acme"}
    exec(compile(program, str(PAGE), "exec"), names)
    return names["AcmeTTS"]


def test_it_is_short(program: str) -> None:
    assert len(program.splitlines()) < 80


async def test_it_speaks(make: Any, autojump_clock: object) -> None:
    async with open_standin(Acme()) as standin:
        voice = make("amy", api_key=standin.key, url=standin.url, dial=standin.dial)
        spoken = await speak(voice, "Hello there,", "my friend.")
        assert spoken.text == "Hello there, my friend."
        assert plain(spoken.heard) == "hello there, my friend"
        assert [word.start for word in spoken.words] == [
            round(word.start_s * 24000) for word in word_times("Hello there, my friend.")
        ]
        assert standin.last.request.query == {"voice": "amy"}


@pytest.mark.parametrize("fault", [Drop(after=1), Garble(after=1)], ids=str)
async def test_it_comes_back(make: Any, fault: Fault, autojump_clock: object) -> None:
    async with open_standin(Acme(faults=[fault])) as standin:
        voice = make("amy", api_key=standin.key, url=standin.url, dial=standin.dial)
        with trio.fail_after(10):
            spoken = await speak(voice, "Hello there.", 1.0, "How are you?")
        assert plain(spoken.heard) == "hello there how are you?"
        assert len(standin.connections) == 2


async def test_it_says_whose_fault_it_is(
    make: Any, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ACME_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="ACME_API_KEY"):
        make("amy")
    async with open_standin(Acme()) as standin:
        with pytest.raises(ServiceError, match="cannot say that"):
            await speak(
                make("amy", api_key=standin.key, url=standin.url, dial=standin.dial), "unpronounceable"
            )
        with pytest.raises(ServiceError) as caught:
            await speak(make("amy", api_key="wrong", url=standin.url, dial=standin.dial), "Hello.")
        assert caught.value.fault == "credentials"


@pytest.mark.parametrize("vendor", ["assemblyai", "cartesia", "deepgram", "elevenlabs"])
def test_the_agent_on_the_page_of_a_vendor_can_be_made(vendor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ASSEMBLYAI", "CARTESIA", "DEEPGRAM", "ELEVENLABS"):
        monkeypatch.setenv(f"{name}_API_KEY", "a-key")
    for source in programs(DOCS / "services" / f"{vendor}.md"):
        names: dict[str, Any] = {}
        exec(compile(source, vendor, "exec"), names)
        agent = names["agent"]
        if agent.turn_source is None:
            assert agent.stt().rate == 16000
        else:
            assert isinstance(agent.turn_source(), RecogniserTurns)
        assert agent.tts().rate == 24000
