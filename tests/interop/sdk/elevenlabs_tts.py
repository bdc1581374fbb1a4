"""ElevenLabs' SDK: realtime speech, and its own models of what a multi-context socket says."""

import base64
import json
import sys

from elevenlabs import VoiceSettings, WebsocketTtsClientMessageMulti, WebsocketTtsServerMessageMulti
from elevenlabs.client import ElevenLabs
from websockets.sync.client import connect

url, key, text = sys.argv[1:]
client = ElevenLabs(api_key=key, base_url=url.replace("ws", "http", 1))
client.text_to_speech._ws_base_url = url  # it insists on TLS otherwise
stream = client.text_to_speech.convert_realtime(
    "voice-1",
    text=iter(text.split("|")),
    model_id="eleven_flash_v2_5",
    output_format="pcm_16000",
    voice_settings=VoiceSettings(stability=0.5, similarity_boost=0.8),
)
single = b"".join(stream)

# The SDK has no client for several contexts, but it has their types.
multi, finals = {}, []
target = f"{url}/v1/text-to-speech/voice-1/multi-stream-input?model_id=eleven_flash_v2_5"
target += "&output_format=pcm_16000&sync_alignment=true"
with connect(target, additional_headers={"xi-api-key": key}) as socket:

    def send(**fields):
        message = WebsocketTtsClientMessageMulti(**fields)
        name = fields.get("context_id")
        data = message.dict(exclude_none=True)
        data.pop("contextId", None)
        socket.send(json.dumps({**data, **({"context_id": name} if name else {})}))

    for name in ("a", "b"):
        send(text=" ", context_id=name)
        send(text=text.replace("|", ""), context_id=name, flush=True)
        send(context_id=name, close_context=True)
    while len(finals) < 2:
        raw = json.loads(socket.recv())
        message = WebsocketTtsServerMessageMulti(**raw)
        if raw.get("isFinal"):
            finals.append(message.context_id)
        else:
            assert len(message.alignment.chars) == len(message.alignment.char_start_times_ms)
            multi[message.context_id] = multi.get(message.context_id, b"") + base64.b64decode(message.audio)
    send(close_socket=True)
encoded = {name: base64.b64encode(audio).decode() for name, audio in multi.items()}
print(json.dumps({"single": base64.b64encode(single).decode(), "multi": encoded, "finals": finals}))
