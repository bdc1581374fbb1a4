"""The programs in the README and in the tutorial run as they stand."""

from __future__ import annotations

import re
import runpy
import shutil
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from voicetrio.audio import read_wav, room_tone
from voicetrio.audio.codecs import encode_whole
from voicetrio.data import speech_path
from voicetrio.testing.reference_client import open_reference_client
from voicetrio.testing.scripted import ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD

WORD_S = 0.05
ROOT = Path(__file__).parent.parent


def programs(document: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.+?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def run_program(source: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a program as a script of its own in ``folder``."""
    monkeypatch.chdir(folder)
    script = folder / "program.py"
    script.write_text(source, encoding="utf-8")
    runpy.run_path(str(script), run_name="__main__")


def length_s(path: Path) -> float:
    with wave.open(str(path), "rb") as file:
        return file.getnframes() / file.getframerate()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(speech_path("go-forward.wav"), tmp_path / "in.wav")
    return tmp_path


def test_the_pipeline_of_the_readme_makes_a_file_louder_and_leaves_its_quiet_frames_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (program,) = (text for text in programs("README.md") if "wav.source" in text)
    run_program(program, folder, monkeypatch)
    spoken, made = folder / "in.wav", folder / "out.wav"
    assert 1.0 < length_s(made) < length_s(spoken)
    assert loudest(made) == pytest.approx(2 * loudest(spoken), rel=0.01)


def test_the_pipeline_of_the_tutorial_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = (text for text in programs("docs/tutorial.md") if "wav.source" in text)
    run_program(program, folder, monkeypatch)
    spoken, made = folder / "in.wav", folder / "out.wav"
    assert length_s(made) == pytest.approx(length_s(spoken), abs=0.041)
    assert loudest(made) <= loudest(spoken) / 2 + 1


def loudest(path: Path) -> int:
    with wave.open(str(path), "rb") as file:
        samples = memoryview(file.readframes(file.getnframes())).cast("h")
    return max(max(samples), -min(samples))


# --- the agents ------------------------------------------------------------------------------------


class ScriptedModels:
    """What an agent needs of its models, from scripts."""

    def vad(self) -> ScriptedVAD:
        return ScriptedVAD(threshold=500)

    def stt(self) -> ScriptedSTT:
        return ScriptedSTT(["go forward ten meters"])

    def llm(self) -> ScriptedLLM:
        return ScriptedLLM(lambda messages: f"Yes: {messages[-1].text}.")

    def tts(self) -> ScriptedTTS:
        return ScriptedTTS(word_s=WORD_S)


@asynccontextmanager
async def open_scripted_models() -> AsyncIterator[ScriptedModels]:
    await trio.lowlevel.checkpoint()
    yield ScriptedModels()


async def talk_to_the_readmes_agent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Serve the README's agent, say one sentence, hang up; return the reply and what was printed last."""
    (program,) = (text for text in programs("README.md") if "serve_sessions" in text)
    (folder / "office.ogg").write_bytes(encode_whole("opus", room_tone(24000), 24000))
    monkeypatch.chdir(folder)
    source, start = program.rsplit("\n\n\n", 1)
    assert start == "trio.run(main)\n"
    send, printed = trio.open_memory_channel[str](10)
    space = {"print": lambda *words: send.send_nowait(" ".join(map(str, words)))}
    exec(compile(source.replace("8765", "0"), "README.md", "exec"), space)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(space["main"])
        url = (await printed.receive()).removeprefix("talk to ")
        async with open_reference_client(url) as client:
            greeting = await client.wait_event("reply_ended")
            assert greeting.fields["heard"] == "Hello, how can I help?"
            client.speak(read_wav(speech_path("go-forward.wav"))[0])
            reply = await client.wait_event("reply_ended")
            await client.hang_up()
            await client.wait_closed()
        last = await printed.receive()
        nursery.cancel_scope.cancel()
    return reply.fields["text"], last


async def test_the_agent_of_the_readme_answers_on_a_socket(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voicetrio.services.local.open_models", open_scripted_models)
    text, reason = await talk_to_the_readmes_agent(folder, monkeypatch)
    assert text == "Yes: go forward ten meters."
    assert reason == "source_ended"


@pytest.mark.models
async def test_the_agent_of_the_readme_understands_speech_with_the_embedded_models(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, reason = await talk_to_the_readmes_agent(folder, monkeypatch)
    assert "forward" in text
    assert reason == "source_ended"


def test_the_agent_of_the_tutorial_answers_a_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("voicetrio.services.local.open_models", open_scripted_models)
    monkeypatch.setattr(trio, "run", partial(trio.run, clock=MockClock(autojump_threshold=0)))
    (program,) = (text for text in programs("docs/tutorial.md") if "wav_peer" in text)
    run_program(program, folder, monkeypatch)
    assert capsys.readouterr().out.splitlines() == [
        "user: go forward ten meters",
        "agent: Yes: go forward ten meters.",
        "ended: source_ended",
    ]
    assert length_s(folder / "heard.wav") >= 5 * WORD_S
