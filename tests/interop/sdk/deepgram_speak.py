"""Deepgram's SDK: speech of two texts, each with a Flush; and one that is cleared."""

import base64
import json
import sys

from deepgram import DeepgramClient
from deepgram.environment import DeepgramClientEnvironment
from deepgram.speak.v1.types import SpeakV1Text

url, key, first, second = sys.argv[1:]
http = url.replace("ws", "http", 1)
client = DeepgramClient(
    api_key=key, environment=DeepgramClientEnvironment(base=http, production=url, agent=url, agent_rest=http)
)
parts, kinds, audio = [], [], b""
with client.speak.v1.connect(
    model="aura-2-thalia-en", encoding="linear16", sample_rate="16000"
) as connection:
    for text in (first, second):
        connection.send_text(SpeakV1Text(type="Speak", text=text))
        connection.send_flush()
    for message in connection:
        if isinstance(message, bytes):
            audio += message
            continue
        kinds.append(message.type)
        if message.type == "Flushed":
            parts.append(base64.b64encode(audio).decode())
            audio = b""
            if len(parts) == 2:
                connection.send_text(SpeakV1Text(type="Speak", text=first))
                connection.send_clear()
        if message.type == "Cleared":
            connection.send_close()
print(json.dumps({"parts": parts, "kinds": kinds}))
