"""Cartesia's SDK: manual finalization, and turns, of the audio on standard input's file."""

import json
import sys
from pathlib import Path

from cartesia import Cartesia

url, key, path = sys.argv[1:]
audio = Path(path).read_bytes()
client = Cartesia(api_key=key, base_url=url.replace("ws", "http", 1), websocket_base_url=url)
settings = {"model": "ink-2", "encoding": "pcm_s16le", "sample_rate": 16000}


def chunks():
    for start in range(0, len(audio), 3200):
        yield audio[start : start + 3200]


text, kinds = "", []
with client.stt.manual_finalize.websocket(**settings) as connection:
    for chunk in chunks():
        connection.send_raw(chunk)
    connection.send("finalize")
    for event in connection:
        kinds.append(event.type)
        if event.type == "transcript" and event.is_final:
            text += event.text
        if event.type == "flush_done":
            connection.send("close")
        if event.type == "done":
            break

turns = []
with client.stt.auto_finalize.websocket(**settings) as connection:
    for chunk in [*chunks(), b"\0" * 32000]:
        connection.send_raw(chunk)
    for event in connection:
        turns.append(event.type)
        if event.type == "turn.end":
            turns.append(event.transcript)
            break
print(json.dumps({"text": text, "kinds": kinds, "turns": turns}))
