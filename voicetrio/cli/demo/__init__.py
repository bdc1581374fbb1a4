"""The demo: an agent on a real WebSocket, and a caller who talks to it with recorded speech."""
