"""Ways to reach a peer: memory, a WAV file, a WebSocket."""
