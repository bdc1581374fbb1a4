"""The stand-in for OpenAI refuses what the API refuses, and hears what was sent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
import trio

from voicetrio.audio.codecs import encode_whole
from voicetrio.connection.http import HttpClient, open_http
from voicetrio.connection.websocket import HandshakeFailed, StreamSocket, open_websocket_client
from voicetrio.errors import ServiceError
from voicetrio.services.llm import ToolCall
from voicetrio.testing.standins.openai import OpenAIScript, OpenAIStandin, open_openai_standin
from voicetrio.testing.standins.openai_realtime import RealtimeScript

USER = {"role": "user", "content": "hello"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c", "content": "x"}
SPEECH = {"model": "tts-1", "voice": "alloy", "input": "one two", "response_format": "pcm"}


@asynccontextmanager
async def open_client(
    script: OpenAIScript | None = None, key: str | None = None
) -> AsyncIterator[tuple[HttpClient, OpenAIStandin]]:
    async with open_openai_standin(script) as standin:
        headers = {"Authorization": f"Bearer {key or standin.key}"}
        async with open_http(standin.base_url, service="test", headers=headers) as client:
            yield client, standin


async def refusal(path: str, **options: Any) -> str:
    async with open_client() as (client, _standin):
        with pytest.raises(ServiceError) as caught:
            await client.request("POST", path, **options)
        return str(caught.value)


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "empty array"),
        ([{"role": "robot", "content": "x"}], "'robot'"),
        ([USER, RESULT], "must be a response to a preceding"),
        ([USER, CALLING], "did not have response messages"),
        ([USER, CALLING, USER], "did not have response messages"),
        ([{"role": "assistant", "content": None}], "expected a string, got null"),
    ],
)
async def test_messages_that_the_api_refuses(messages: list[Any], said: str) -> None:
    assert said in await refusal("chat/completions", json={"model": "gpt-4o-mini", "messages": messages})


async def test_messages_that_the_api_takes() -> None:
    async with open_client() as (client, _standin):
        body = {"model": "gpt-4o-mini", "messages": [USER, CALLING, RESULT]}
        answer = await client.request_json("POST", "chat/completions", json=body)
    assert answer["choices"][0]["message"]["content"] == "You said: hello"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"input": " "}, "empty string"),
        ({"input": "x" * 5000}, "too long"),
        ({"voice": "nobody"}, "'nobody'"),
        ({"response_format": "midi"}, "'midi'"),
        ({"speed": 9}, "0.25 to 4"),
        ({"model": "no-such"}, "does not exist"),
    ],
)
async def test_speech_that_the_api_refuses(change: dict[str, Any], said: str) -> None:
    assert said in await refusal("audio/speech", json={**SPEECH, **change})


async def test_uploads_that_the_api_refuses() -> None:
    fields = {"model": "whisper-1"}
    noise = {"file": ("a.wav", b"RIFF and nothing more", "audio/wav")}
    assert "Invalid file format" in await refusal("audio/transcriptions", data=fields, files=noise)
    other = {"other": ("a.wav", b"", "audio/wav")}
    assert "'file'" in await refusal("audio/transcriptions", data=fields, files=other)
    good = {"file": ("a.wav", encode_whole("wav", np.zeros(800, np.int16), 8000), "audio/wav")}
    wrong = {**fields, "response_format": "vtt"}
    assert "'vtt'" in await refusal("audio/transcriptions", data=wrong, files=good)


@pytest.mark.parametrize("format", ["wav", "flac", "opus", "mp3"])
async def test_uploads_are_heard_in_each_format(format: str) -> None:
    heard: list[tuple[int, int]] = []
    script = OpenAIScript(hears=lambda samples, rate: heard.append((len(samples), rate)) or "yes")
    body = encode_whole(format, np.full(24000, 500, np.int16), 24000)
    async with open_client(script) as (client, _standin):
        files = {"file": (f"a.{format}", body, "audio/any")}
        answer = await client.request_json(
            "POST", "audio/transcriptions", data={"model": "whisper-1"}, files=files
        )
    assert answer["text"] == "yes"
    [(samples, rate)] = heard
    assert samples / rate == pytest.approx(1.0, abs=0.1)


async def test_requests_that_lead_nowhere() -> None:
    assert "Invalid URL" in await refusal("nothing/here", json={})
    assert "parse the JSON" in await refusal("chat/completions", content=b"{")
    async with open_client(key="sk-another-key") as (client, _standin):
        with pytest.raises(ServiceError, match="Incorrect API key"):
            await client.request("GET", "models")


# --- realtime -----------------------------------------------------------------------------------------


class Client:
    """Says events to a session, and waits for its answers."""

    def __init__(self, socket: StreamSocket) -> None:
        self._socket = socket

    async def say(self, kind: str, **fields: Any) -> None:
        await self._socket.send(json.dumps({"type": kind, "event_id": "mine", **fields}))

    async def until(self, kind: str) -> dict[str, Any]:
        while True:
            event: dict[str, Any] = json.loads(await self._socket.receive())
            if event["type"] == kind:
                return event

    async def refused(self, kind: str, **fields: Any) -> str:
        await self.say(kind, **fields)
        error = (await self.until("error"))["error"]
        assert error["event_id"] == "mine"
        return str(error["code"])


@asynccontextmanager
async def open_realtime(script: RealtimeScript | None = None) -> AsyncIterator[tuple[Client, OpenAIStandin]]:
    async with open_openai_standin(OpenAIScript(realtime=script or RealtimeScript())) as standin:
        url = f"{standin.base_url.replace('http', 'ws')}/realtime?model=gpt-realtime"
        async with open_websocket_client(url, headers=[("Authorization", f"Bearer {standin.key}")]) as socket:
            client = Client(socket)
            await client.until("session.created")
            yield client, standin


@pytest.mark.parametrize(
    ("kind", "fields", "code"),
    [
        ("nothing.known", {}, "invalid_value"),
        ("session.update", {"session": {}}, "missing_required_parameter"),
        (
            "session.update",
            {"session": {"type": "realtime", "audio": {"input": {"format": {"type": "audio/mp3"}}}}},
            "invalid_value",
        ),
        ("input_audio_buffer.append", {"audio": "?"}, "invalid_value"),
        ("input_audio_buffer.append", {"audio": "AAAA"}, "invalid_value"),
        ("input_audio_buffer.commit", {}, "input_audio_buffer_commit_empty"),
        ("response.cancel", {}, "response_cancel_not_active"),
        ("conversation.item.delete", {"item_id": "x"}, "item_not_found"),
        ("conversation.item.truncate", {"item_id": "x", "audio_end_ms": 1}, "item_not_found"),
        ("conversation.item.create", {"item": {"type": "poem"}}, "invalid_value"),
        ("conversation.item.create", {"item": {"type": "message", "role": "user"}}, "invalid_value"),
        (
            "conversation.item.create",
            {"item": {"type": "function_call_output", "call_id": "x"}},
            "invalid_tool_call_id",
        ),
    ],
)
async def test_events_that_the_api_refuses_leave_the_session_as_it_is(
    kind: str, fields: dict[str, Any], code: str
) -> None:
    async with open_realtime() as (client, standin):
        assert await client.refused(kind, **fields) == code
        await client.say("session.update", session={"type": "realtime", "instructions": "Go on."})
        updated = await client.until("session.updated")
        assert updated["session"]["instructions"] == "Go on."
        assert not standin.sessions[0].items


async def test_what_is_no_json_is_refused() -> None:
    async with open_realtime() as (client, _standin):
        await client._socket.send("{")
        assert (await client.until("error"))["error"]["code"] == "invalid_json"
        await client._socket.send("[]")
        assert (await client.until("error"))["error"]["code"] == "invalid_json"


async def test_only_one_response_is_made_at_a_time_in_the_conversation() -> None:
    script = RealtimeScript(answers=["one two"], word_s=0.05)
    async with open_realtime(script) as (client, _standin):
        await client.say("response.create")
        code = await client.refused("response.create")
        assert code == "conversation_already_has_active_response"
        await client.say("response.create", response={"conversation": "none"})
        for _ in range(2):
            await client.until("response.done")


async def test_a_truncation_past_the_end_is_refused() -> None:
    async with open_realtime(RealtimeScript(answers=["one two"])) as (client, standin):
        await client.say("response.create")
        done = await client.until("response.done")
        [item] = done["response"]["output"]
        assert (
            await client.refused("conversation.item.truncate", item_id=item["id"], audio_end_ms=501)
            == "invalid_value"
        )
        await client.say("conversation.item.truncate", item_id=item["id"], audio_end_ms=500)
        await client.until("conversation.item.truncated")
        await client.say("conversation.item.retrieve", item_id=item["id"])
        kept = await client.until("conversation.item.retrieved")
        assert "transcript" not in kept["item"]["content"][0]
        assert standin.sessions[0].audio_ms == {item["id"]: 500}


async def test_an_item_is_not_made_twice() -> None:
    item = {"id": "a", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}
    async with open_realtime() as (client, _standin):
        await client.say("conversation.item.create", item=item)
        await client.until("conversation.item.done")
        code = await client.refused("conversation.item.create", item=item)
    assert code == "item_create_duplicate_id"


async def test_a_session_left_as_it_is_answers_and_interrupts_by_itself() -> None:
    script = RealtimeScript(answers=["one two three four"], word_s=0.05)
    async with open_realtime(script) as (client, standin):
        import base64

        voice = base64.b64encode(np.full(12000, 5000, "<i2").tobytes()).decode()
        still = base64.b64encode(bytes(48000)).decode()
        await client.say("input_audio_buffer.append", audio=voice)
        await client.say("input_audio_buffer.append", audio=still)
        await client.until("response.output_audio.delta")
        await client.say("input_audio_buffer.append", audio=voice)
        done = await client.until("response.done")
        assert done["response"]["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
        assert standin.sessions[0].heard_samples == 12000 + 24000 + 12000


async def test_without_a_vad_audio_waits_to_be_committed_or_cleared() -> None:
    async with open_realtime(RealtimeScript(hears=["yes"])) as (client, _standin):
        hearing = {"turn_detection": None, "transcription": {"model": "gpt-4o-mini-transcribe"}}
        await client.say("session.update", session={"type": "realtime", "audio": {"input": hearing}})
        await client.say("input_audio_buffer.append", audio="AAAAAAAA")
        await client.say("input_audio_buffer.clear")
        await client.until("input_audio_buffer.cleared")
        assert await client.refused("input_audio_buffer.commit") == "input_audio_buffer_commit_empty"
        await client.say("input_audio_buffer.append", audio="AAAAAAAA")
        await client.say("input_audio_buffer.commit")
        heard = await client.until("conversation.item.input_audio_transcription.completed")
    assert heard["transcript"] == "yes"


async def test_a_session_may_answer_in_text() -> None:
    async with open_realtime(RealtimeScript(answers=["one two"])) as (client, _standin):
        await client.say("response.create", response={"output_modalities": ["text"]})
        done = await client.until("response.output_text.done")
    assert done["text"] == "one two"


async def test_a_call_is_answered_by_its_result() -> None:
    script = RealtimeScript(answers=[[0.01, ToolCall("c", "f", {})]])
    async with open_realtime(script) as (client, _standin):
        await client.say("response.create")
        await client.until("response.done")
        item = {"type": "function_call_output", "call_id": "c", "output": "x"}
        await client.say("conversation.item.create", item=item)
        added = await client.until("conversation.item.added")
    assert added["item"]["output"] == "x"


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("realtime?model=gpt-realtime", "sk-wrong", 401),
        ("realtime?model=no-such", None, 404),
        ("elsewhere?model=gpt-realtime", None, 404),
    ],
)
async def test_upgrades_that_the_api_refuses(path: str, key: str | None, status: int) -> None:
    async with open_openai_standin() as standin:
        url = f"{standin.base_url.replace('http', 'ws')}/{path}"
        headers = [("Authorization", f"Bearer {key or standin.key}")]
        with pytest.raises(HandshakeFailed) as caught:
            async with open_websocket_client(url, headers=headers):
                pass
    assert caught.value.status == status


async def test_a_client_that_speaks_no_http_is_dropped() -> None:
    async with open_openai_standin() as standin:
        stream = await trio.open_tcp_stream("127.0.0.1", standin.server.port)
        async with stream:
            await stream.send_all(b"this is no http\r\n\r\n")
            while await stream.receive_some():
                pass
        await trio.testing.wait_all_tasks_blocked()
        assert standin.server.open_connections == 0
