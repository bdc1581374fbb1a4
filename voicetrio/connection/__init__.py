"""Connections to others: the WebSocket layer that both our server and our clients stand on.

Where to look, from the outside in:

- ``connection`` and ``contexts`` are what a service uses; ``recovery`` is what it says again after a loss;
- ``manager`` keeps a connection open, by ``machines.reconnect``; ``streams`` are its sockets, ``wire`` is one
  of them with its two tasks, ``outbound`` what waits to be written on it;
- ``dialling`` and ``proxies`` are the way to a server;
- ``websocket`` is the protocol, for clients and servers;
- ``http`` is the other way to talk to services, ``answers`` and ``error_text`` what theirs mean;
- ``faults`` says whose fault a failure is; ``inbox`` and ``settings`` are shared.
"""
