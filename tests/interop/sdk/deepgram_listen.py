"""Deepgram's SDK: listen v1 with KeepAlive, Finalize and CloseStream; then Flux on the same audio."""

import json
import sys
from pathlib import Path

from deepgram import DeepgramClient
from deepgram.environment import DeepgramClientEnvironment
from deepgram.listen.v2.types import ListenV2Configure, ListenV2ConfigureThresholds

url, key, path = sys.argv[1:]
audio = Path(path).read_bytes()
http = url.replace("ws", "http", 1)
client = DeepgramClient(
    api_key=key, environment=DeepgramClientEnvironment(base=http, production=url, agent=url, agent_rest=http)
)
chunks = [audio[start : start + 2560] for start in range(0, len(audio), 2560)]

finals, kinds = [], []
settings = {"encoding": "linear16", "sample_rate": "16000", "interim_results": "true", "endpointing": "300"}
with client.listen.v1.connect(model="nova-3", **settings) as connection:
    connection.send_keep_alive()
    for chunk in chunks:
        connection.send_media(chunk)
    connection.send_finalize()
    connection.send_close_stream()
    for message in connection:
        kinds.append(message.type)
        if message.type == "Results" and message.is_final:
            words = message.channel.alternatives[0].words
            finals += [[word.word, word.start, word.end] for word in words]

turns = []
with client.listen.v2.connect(
    model="flux-general-en", encoding="linear16", sample_rate="16000"
) as connection:
    connection.send_configure(
        ListenV2Configure(thresholds=ListenV2ConfigureThresholds(eot_timeout_ms=3000), keyterms=["meters"])
    )
    for chunk in chunks:
        connection.send_media(chunk)
    connection.send_force_end_turn()
    connection.send_close_stream()
    for message in connection:
        if message.type == "TurnInfo":
            turns.append([message.event, message.transcript])
        else:
            turns.append([message.type, ""])
print(json.dumps({"finals": finals, "kinds": kinds, "turns": turns}))
