"""ElevenLabs' SDK: realtime recognition with a manual commit and word times."""

import asyncio
import base64
import contextlib
import json
import sys
from pathlib import Path

from elevenlabs.client import ElevenLabs
from elevenlabs.realtime.connection import RealtimeEvents
from elevenlabs.realtime.scribe import AudioFormat, CommitStrategy
from websockets.exceptions import ConnectionClosed

url, key, path = sys.argv[1:]
audio = Path(path).read_bytes()


async def main():
    client = ElevenLabs(api_key=key, base_url=url.replace("ws", "http", 1))
    seen, done = [], asyncio.Event()
    connection = await client.speech_to_text.realtime.connect(
        {
            "model_id": "scribe_v2_realtime",
            "audio_format": AudioFormat.PCM_16000,
            "sample_rate": 16000,
            "commit_strategy": CommitStrategy.MANUAL,
            "include_timestamps": True,
        }
    )
    for event in RealtimeEvents:
        connection.on(event, lambda *data, event=event: seen.append((event.value, data[0] if data else None)))
    before = ("session_started", "partial_transcript", "committed_transcript")
    for event in RealtimeEvents:
        if event.value not in before:  # the end, or an error
            connection.on(event, lambda *data: done.set())
    with contextlib.suppress(ConnectionClosed):
        for start in range(0, len(audio), 3200):
            chunk = base64.b64encode(audio[start : start + 3200]).decode()
            await connection.send({"audio_base_64": chunk})
        await connection.commit()
    await asyncio.wait_for(done.wait(), 20)
    await connection.close()
    print(json.dumps(seen))


asyncio.run(main())
