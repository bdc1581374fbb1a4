"""Services that hang or fail at the n-th call of a phase."""

from __future__ import annotations

import numpy as np
import pytest
import trio
from trio.testing import MockClock

from voicetrio.errors import ServiceError
from voicetrio.frames import TextFrame
from voicetrio.services.stt import SpeechBoundary
from voicetrio.testing.faults.services import FaultyLLM, FaultySTT, FaultyTTS, FaultyVAD, ServiceFault
from voicetrio.testing.scripted import ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD


async def speak(tts: FaultyTTS, clauses: int = 2) -> int:
    """Return how many items the voice sent for so many clauses of one word."""
    text, inlet = trio.open_memory_channel[TextFrame](10)
    outlet, audio = trio.open_memory_channel[object](100)
    for _ in range(clauses):
        text.send_nowait(TextFrame("word"))
    text.close()
    try:
        with inlet, outlet:
            await tts.speak(inlet, outlet)
    finally:
        count = audio.statistics().current_buffer_used
        audio.close()
    return count


async def test_what_is_not_due_goes_by(autojump_clock: MockClock) -> None:
    tts = FaultyTTS(ScriptedTTS(), ServiceFault("connect", call=1))
    assert tts.rate == 24000
    assert await speak(tts) == 8
    with pytest.raises(ServiceError, match="faulty TTS: failed to connect on purpose"):
        await speak(tts)
    assert await speak(tts) == 8


@pytest.mark.parametrize("phase", ["connect", "send", "receive", "close"])
async def test_a_voice_fails_in_each_phase(phase: str, autojump_clock: MockClock) -> None:
    with pytest.raises(ServiceError, match=f"failed to {phase}") as caught:
        await speak(FaultyTTS(ScriptedTTS(), ServiceFault(phase)))  # type: ignore[arg-type]
    assert caught.value.transient


@pytest.mark.parametrize("phase", ["connect", "send", "receive", "close"])
async def test_a_voice_hangs_in_each_phase_and_can_be_cancelled(
    phase: str, autojump_clock: MockClock
) -> None:
    with trio.move_on_after(50) as scope:
        await speak(FaultyTTS(ScriptedTTS(), ServiceFault(phase, how="hang")))  # type: ignore[arg-type]
    assert scope.cancelled_caught


async def test_a_recogniser_fails_at_its_second_result(autojump_clock: MockClock) -> None:
    stt = FaultySTT(ScriptedSTT(["one", "two"]), ServiceFault("receive", call=1))
    assert stt.rate == 16000
    boundaries, inlet = trio.open_memory_channel[SpeechBoundary](10)
    outlet, transcripts = trio.open_memory_channel[object](10)
    for second in range(2):
        boundaries.send_nowait(SpeechBoundary("start", second * 16000))
        boundaries.send_nowait(SpeechBoundary("stop", second * 16000 + 8000))
    boundaries.close()
    with inlet, outlet, transcripts:
        with pytest.RaisesGroup(ServiceError):
            await stt.listen(inlet, outlet)  # type: ignore[arg-type]
        assert transcripts.receive_nowait().text == "one"  # type: ignore[attr-defined]
        with pytest.raises(trio.WouldBlock):
            transcripts.receive_nowait()


async def test_a_model_fails_so_many_times_in_a_row(autojump_clock: MockClock) -> None:
    llm = FaultyLLM(ScriptedLLM(["yes"]), ServiceFault("send", times=2))
    outlet, text = trio.open_memory_channel[object](10)
    with outlet, text:
        for _ in range(2):
            with pytest.raises(ServiceError, match="failed to send"):
                await llm.answer([], [], outlet)  # type: ignore[arg-type]
        await llm.answer([], [], outlet)  # type: ignore[arg-type]
        assert text.receive_nowait() == TextFrame("yes")


def test_a_vad_fails_at_its_window() -> None:
    vad = FaultyVAD(ScriptedVAD(), at_window=1)
    window = np.zeros(vad.window, np.int16)
    assert vad.rate == 16000
    assert vad.probability(window) < 0.5
    with pytest.raises(ServiceError):
        vad.probability(window)
    vad.reset()
    assert vad.probability(window) < 0.5
