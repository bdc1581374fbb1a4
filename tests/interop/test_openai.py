"""The openai package completes its flows against our stand-in, so the stand-in is a fair one."""

from __future__ import annotations

from tests.interop.running import needs_sdks, run_sdk
from voicetrio.services.llm import ToolCall
from voicetrio.testing.standins.openai import OpenAIScript, open_openai_standin
from voicetrio.testing.standins.openai_realtime import RealtimeScript

pytestmark = needs_sdks

CALL = ToolCall("call_1", "look_up", {"what": "the answer to everything"})
SCRIPT = OpenAIScript(
    answers=["Good morning to you.", [CALL], "It is 42."],
    hears=["one two three"] * 4,
    realtime=RealtimeScript(
        hears=["tell me a story"],
        answers=["once upon a time there was a house by the river", [CALL], "It is 42."],
        word_s=0.01,
    ),
)


async def test_the_openai_package_completes_its_flows() -> None:
    async with open_openai_standin(SCRIPT) as standin:
        result = await run_sdk("openai_flows", standin.base_url, standin.key)
    chat, speech, heard = result["chat"], result["speech"], result["transcription"]
    assert chat["text"] == "Good morning to you."
    assert chat["usage"] == 4 + 4
    assert chat["call"] == ["look_up", {"what": "the answer to everything"}]
    assert chat["finish"] == "tool_calls"
    assert chat["whole"] == "It is 42."
    assert set(speech["sizes"]) == {"mp3", "opus", "aac", "flac", "wav", "pcm"}
    assert all(speech["sizes"].values())
    assert speech["sizes"]["pcm"] == 24000
    assert speech["events"] == ["speech.audio.delta", "speech.audio.done"]
    assert heard["plain"] == heard["text"] == "one two three"
    assert [word for word, _, _ in heard["words"]] == ["one", "two", "three"]
    assert heard["events"] == ["transcript.text.delta"] * 3 + ["transcript.text.done"]
    assert result["errors"] == {
        "key": ["AuthenticationError", 401, "invalid_api_key"],
        "model": ["NotFoundError", 404, "model_not_found"],
        "messages": ["BadRequestError", 400, "empty_array"],
        "voice": ["BadRequestError", 400, "invalid_value"],
    }
    realtime = result["realtime"]
    assert realtime["transcript"] == "tell me a story"
    assert realtime["cancelled"] == ["cancelled", "client_cancelled"]
    assert realtime["truncated_ms"] == 100
    assert realtime["call"] == ["look_up", {"what": "the answer to everything"}]
    assert realtime["refused"] == "response_cancel_not_active"
    assert realtime["said_bytes"] > 0
