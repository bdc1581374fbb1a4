"""Connections to others: the WebSocket layer that both our server and our clients stand on."""
