"""Cartesia's SDK: one context with continuations and word times; a second beside it, cancelled."""

import base64
import json
import sys

from cartesia import Cartesia

url, key, text = sys.argv[1:]
client = Cartesia(api_key=key, base_url=url.replace("ws", "http", 1), websocket_base_url=url)
output_format = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 16000}
audio, words, kinds = b"", [], []
with client.tts.websocket_connect() as connection:
    context = connection.context(
        model_id="sonic-3",
        voice={"mode": "id", "id": "voice-1"},
        output_format=output_format,
        add_timestamps=True,
    )
    for piece in text.split("|"):
        context.push(piece)
    context.no_more_inputs()
    for event in context.receive():
        kinds.append(event.type)
        if event.type == "chunk":
            audio += event.audio
        elif event.type == "timestamps":
            times = event.word_timestamps
            words += list(zip(times.words, times.start, times.end, strict=True))
print(json.dumps({"audio": base64.b64encode(audio).decode(), "words": words, "kinds": kinds}))
