"""What only ElevenLabs' wires have."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.services.vendors import finals, listen, plain, speak, speech
from voicetrio.errors import ServiceError
from voicetrio.runtime.keeper import open_keeper
from voicetrio.services.credentials import Secret
from voicetrio.services.elevenlabs import ElevenLabsSTT, ElevenLabsTTS
from voicetrio.services.elevenlabs.hearing import ScribeHearing
from voicetrio.services.elevenlabs.voice import MultiContextVoice
from voicetrio.services.voice_wire import ContextDone, WordTimes
from voicetrio.testing.standins.elevenlabs import ElevenLabsStandin
from voicetrio.testing.standins.server import open_standin

KEY = Secret("standin-key")
RATE = 16000


def voice(standin: ElevenLabsStandin, **options: Any) -> ElevenLabsTTS:
    return ElevenLabsTTS("voice-1", api_key=standin.key, url=standin.url, dial=standin.dial, **options)


async def test_a_context_begins_with_its_settings_and_is_closed(autojump_clock: object) -> None:
    async with open_standin(ElevenLabsStandin()) as standin:
        await speak(voice(standin, stability=0.5, speed=1.1), "Hello there,", "my friend.")
        messages = standin.last.texts
        query = standin.last.request.query
    assert messages[0]["text"] == " "
    assert messages[0]["voice_settings"] == {"stability": 0.5, "speed": 1.1}
    assert [each.get("text") for each in messages[1:4]] == ["Hello there, ", "my friend. ", ""]
    assert not any("voice_settings" in each for each in messages[1:])
    assert messages[3]["flush"]
    assert messages[4]["close_context"]
    assert query["auto_mode"] == query["sync_alignment"] == "true"
    assert query["output_format"] == "pcm_24000"


async def test_the_socket_is_kept_alive_between_replies(autojump_clock: object) -> None:
    async with open_standin(ElevenLabsStandin()) as standin:
        speaker = voice(standin)
        async with open_keeper():
            await speak(speaker, "Hello.")
            await trio.sleep(120)
            await speak(speaker, "Goodbye.")
        assert len(standin.connections) == 1
        assert {"text": ""} in standin.last.texts


async def test_a_context_that_waits_for_text_is_kept_alive_and_not_ended(autojump_clock: object) -> None:
    async with open_standin(ElevenLabsStandin()) as standin:
        spoken = await speak(voice(standin), "Hello there,", 60.0, "my friend.")
        assert plain(spoken.heard) == "hello there, my friend"
        assert len(standin.connections) == 1
        contexts = {each.get("context_id") for each in standin.last.texts if each.get("text", "").strip()}
        assert len(contexts) == 1


async def test_a_sixth_context_waits_for_one_of_five(autojump_clock: object) -> None:
    async with open_standin(ElevenLabsStandin(speed=2.0)) as standin:
        speaker = voice(standin)
        async with open_keeper(), trio.open_nursery() as nursery:
            for number in "one two three four five six seven".split():
                nursery.start_soon(speak, speaker, f"{number}.")
        assert len(standin.connections) == 1


def test_words_are_put_together_across_chunks() -> None:
    wire = MultiContextVoice(1000, {}, KEY)

    def chunk(text: str, audio: str) -> str:
        times = ",".join(str(10 * index) for index in range(len(text)))
        lengths = ",".join("10" for _ in text)
        chars = ",".join(f'"{char}"' for char in text)
        alignment = f'{{"chars":[{chars}],"charStartTimesMs":[{times}],"charDurationsMs":[{lengths}]}}'
        return f'{{"audio":"{audio}","contextId":"a","alignment":{alignment}}}'

    silence = "AAAA" * 20  # 60 bytes: 30 ms
    words = []
    for message in (chunk("he ", silence), chunk("llo", silence), chunk(" me", silence)):
        words += [
            word for answer in wire.read(message) if isinstance(answer, WordTimes) for word in answer.words
        ]
    last = list(wire.read('{"isFinal":true,"contextId":"a"}'))
    assert isinstance(last[0], WordTimes)
    words += last[0].words
    assert isinstance(last[1], ContextDone)
    assert [word for word, _, _ in words] == ["he", "llo", "me"]
    assert [round(start_s, 3) for _, start_s, _ in words] == [0.0, 0.03, 0.07]


@pytest.mark.parametrize(
    "message",
    [
        "<html>",
        b"\0",
        '{"audio":"%%","contextId":"a"}',
        '{"audio":"AAAA","contextId":"a","alignment":{"chars":["a"],"charStartTimesMs":[],"charDurationsMs":[]}}',
    ],
)
def test_a_malformed_message_is_refused(message: str | bytes) -> None:
    with pytest.raises(ServiceError, match="sent what it does not say"):
        MultiContextVoice(16000, {}, KEY).read(message)


async def test_each_stop_is_committed(autojump_clock: object) -> None:
    items, _ = speech(RATE, 1.0, "go forward", 1.0, "yes please", 1.0)
    async with open_standin(ElevenLabsStandin()) as standin:
        stt = ElevenLabsSTT(api_key=standin.key, url=standin.url, dial=standin.dial)
        assert finals(await listen(stt, items)) == ["go forward", "yes please"]
        assert sum(each["commit"] for each in standin.last.texts) == 2


async def test_a_commit_with_too_little_audio_is_answered_by_nothing(autojump_clock: object) -> None:
    wire = ScribeHearing(RATE, KEY)
    wire.opened()
    wire.finalize()
    assert len(list(wire.read('{"message_type":"commit_throttled","error":"too soon"}'))) == 1
    await trio.lowlevel.checkpoint()
