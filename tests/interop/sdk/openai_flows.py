"""The openai package's own flows against a stand-in; run in the SDK's environment, prints one JSON object.

Usage: ``openai_flows.py BASE_URL KEY``.  It imports nothing of ours.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import math
import struct
import sys
import wave

import openai
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Look something up.",
        "parameters": {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]},
    },
}


def tone(seconds: float, rate: int) -> bytes:
    """Return s16le samples that a VAD takes for voice."""
    count = int(seconds * rate)
    return b"".join(struct.pack("<h", int(9000 * math.sin(k * 0.1))) for k in range(count))


def chat(client: openai.OpenAI) -> dict[str, object]:
    """Stream an answer, then a call of a tool and the answer to its result; then one whole answer."""
    messages: list = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello there"}]
    options = {"model": "gpt-4o-mini", "stream": True, "stream_options": {"include_usage": True}}
    text, usage = "", None
    for chunk in client.chat.completions.create(messages=messages, **options):
        usage = chunk.usage or usage
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
    with client.chat.completions.stream(model="gpt-4o-mini", messages=messages, tools=[TOOL]) as stream:
        completion = stream.get_final_completion()
    call = completion.choices[0].message.tool_calls[0]
    messages += [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": call.id, "type": "function", "function": call.function.model_dump()}],
        },
        {"role": "tool", "tool_call_id": call.id, "content": "42"},
    ]
    whole = client.chat.completions.create(model="gpt-4o-mini", messages=messages)
    return {
        "text": text,
        "usage": usage.total_tokens if usage else None,
        "call": [call.function.name, json.loads(call.function.arguments)],
        "finish": completion.choices[0].finish_reason,
        "whole": whole.choices[0].message.content,
    }


def speech(client: openai.OpenAI) -> dict[str, object]:
    """Ask for each format, and for events."""
    sizes = {}
    for format in ("mp3", "opus", "aac", "flac", "wav", "pcm"):
        with client.audio.speech.with_streaming_response.create(
            model="tts-1", voice="alloy", input="one two", response_format=format
        ) as response:
            sizes[format] = len(b"".join(response.iter_bytes()))
    with client.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice="alloy", input="one two", response_format="pcm", stream_format="sse"
    ) as response:
        events = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: ")]
    return {"sizes": sizes, "events": sorted({event["type"] for event in events})}


def transcription(client: openai.OpenAI) -> dict[str, object]:
    """Upload a WAV file in each way."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(tone(1.0, 16000))
    upload = ("speech.wav", buffer.getvalue(), "audio/wav")
    plain = client.audio.transcriptions.create(model="whisper-1", file=upload)
    text = client.audio.transcriptions.create(model="whisper-1", file=upload, response_format="text")
    verbose = client.audio.transcriptions.create(
        model="whisper-1",
        file=upload,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    events = client.audio.transcriptions.create(model="gpt-4o-mini-transcribe", file=upload, stream=True)
    return {
        "plain": plain.text,
        "text": text.strip(),
        "words": [[word.word, word.start, word.end] for word in verbose.words],
        "events": [event.type for event in events],
    }


def errors(base_url: str, client: openai.OpenAI) -> dict[str, object]:
    """Make the mistakes that the SDK has classes for."""
    found = {}
    wrong = openai.OpenAI(base_url=base_url, api_key="sk-wrong-wrong-wrong", max_retries=0)
    for name, ask in {
        "key": lambda: wrong.models.list(),
        "model": lambda: client.chat.completions.create(model="no-such", messages=[]),
        "messages": lambda: client.chat.completions.create(model="gpt-4o-mini", messages=[]),
        "voice": lambda: client.audio.speech.create(model="tts-1", voice="nobody", input="hello"),
    }.items():
        try:
            ask()
        except openai.APIStatusError as error:
            found[name] = [type(error).__name__, error.status_code, error.code]
    return found


async def realtime(client: openai.AsyncOpenAI) -> dict[str, object]:
    """A turn by the server's VAD, a barge-in with a truncation, a call of a tool; every event is valid."""
    adapter = TypeAdapter(RealtimeServerEvent)
    seen: list[str] = []
    said = b""

    async with client.realtime.connect(model="gpt-realtime") as connection:

        async def until(kind: str):
            nonlocal said
            while True:
                raw = await connection.recv_bytes()
                event = adapter.validate_python(json.loads(raw))
                seen.append(event.type)
                if event.type == "response.output_audio.delta":
                    said += base64.b64decode(event.delta)
                if event.type == kind:
                    return event

        await until("session.created")
        detection = {"type": "server_vad", "create_response": False, "interrupt_response": False}
        hearing = {"turn_detection": detection, "transcription": {"model": "gpt-4o-mini-transcribe"}}
        await connection.session.update(session={"type": "realtime", "audio": {"input": hearing}})
        await until("session.updated")
        for part in (tone(0.6, 24000), bytes(24000 * 2)):
            audio = base64.b64encode(part).decode()
            await connection.input_audio_buffer.append(audio=audio)
        transcript = await until("conversation.item.input_audio_transcription.completed")
        await connection.response.create()
        item = (await until("response.output_item.added")).item
        await until("response.output_audio.delta")
        await connection.response.cancel()
        done = await until("response.done")
        await connection.conversation.item.truncate(item_id=item.id, content_index=0, audio_end_ms=100)
        truncated = await until("conversation.item.truncated")
        await connection.response.create()
        call = await until("response.function_call_arguments.done")
        await until("response.done")
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "42"}
        await connection.conversation.item.create(item=result)
        await connection.response.create()
        await until("response.done")
        await connection.response.cancel()
        refused = await until("error")
        return {
            "transcript": transcript.transcript,
            "cancelled": [done.response.status, done.response.status_details.reason],
            "truncated_ms": truncated.audio_end_ms,
            "call": [call.name, json.loads(call.arguments)],
            "refused": refused.error.code,
            "said_bytes": len(said),
            "kinds": sorted(set(seen)),
        }


def main() -> None:
    """Run every flow."""
    base_url, key = sys.argv[1:]
    client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0)
    result = {
        "chat": chat(client),
        "speech": speech(client),
        "transcription": transcription(client),
        "errors": errors(base_url, client),
        "realtime": asyncio.run(realtime(openai.AsyncOpenAI(base_url=base_url, api_key=key))),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
