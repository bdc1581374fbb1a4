"""A WebSocket layer of our own: a sans-I/O driver, one reader, one writer at a time, bounded everywhere."""

from __future__ import annotations

from voicetrio.connection.websocket.adopted import adopt_trio_websocket
from voicetrio.connection.websocket.client import open_websocket_client
from voicetrio.connection.websocket.handshake import (
    AnsweredPlainly,
    PlainAnswer,
    Refusal,
    UpgradeRequest,
    accept_websocket,
)
from voicetrio.connection.websocket.socket import (
    HandshakeFailed,
    MessageSocket,
    SocketClosed,
    SocketLimits,
    SocketStatistics,
)
from voicetrio.connection.websocket.stream_socket import StreamSocket, open_stream_socket

__all__ = [
    "AnsweredPlainly",
    "HandshakeFailed",
    "MessageSocket",
    "PlainAnswer",
    "Refusal",
    "SocketClosed",
    "SocketLimits",
    "SocketStatistics",
    "StreamSocket",
    "UpgradeRequest",
    "accept_websocket",
    "adopt_trio_websocket",
    "open_stream_socket",
    "open_websocket_client",
]
