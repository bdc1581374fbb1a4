"""AssemblyAI's SDK: a streaming session with formatted turns, ended by Terminate."""

import json
import sys
import threading
import time
from pathlib import Path

from assemblyai.streaming.v3 import (
    StreamingClient,
    StreamingClientOptions,
    StreamingEvents,
    StreamingParameters,
    StreamingSessionParameters,
)

url, key, path = sys.argv[1:]
audio = Path(path).read_bytes() + b"\0" * 3200  # a shorter last chunk than 50 ms is an error
audio = audio[: len(audio) // 3200 * 3200]
seen, formatted = [], threading.Event()


def note(client, event):
    seen.append(json.loads(event.model_dump_json()) if hasattr(event, "model_dump_json") else str(event))
    if getattr(event, "turn_is_formatted", False) or not hasattr(event, "model_dump_json"):
        formatted.set()  # or it is an error, and nothing will come


client = StreamingClient(StreamingClientOptions(api_key=key, api_host=url))
for event in StreamingEvents:
    client.on(event, note)
client.connect(StreamingParameters(sample_rate=16000, format_turns=True))
client.set_params(StreamingSessionParameters(max_turn_silence=400))
for start in range(0, len(audio), 3200):
    client.stream(audio[start : start + 3200])
    time.sleep(0.02)
client.force_endpoint()
formatted.wait(20)
client.disconnect(terminate=True)
print(json.dumps(seen))
