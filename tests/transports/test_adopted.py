"""A session on a connection that an application's own trio-websocket server accepted."""

from __future__ import annotations

import json
from functools import partial

import pytest
import trio_websocket

from voicetrio.connection.websocket import SocketClosed, open_websocket_client
from voicetrio.errors import ConfigError
from voicetrio.runtime.session import open_session
from voicetrio.transports.websocket import open_adopted_peer


async def until_the_end(context) -> None:
    async for _frame in context.inlet:
        pass


async def test_a_session_closes_the_connection_and_leaves_the_server_running(nursery):
    results = []

    async def handle(request: trio_websocket.WebSocketRequest) -> None:
        connection = await request.accept()
        try:
            async with open_adopted_peer(connection, headers=request.headers) as peer:
                async with open_session(peer, until_the_end) as session:
                    await session.wait_ended()
            results.append((session.result.reason, peer.request.path, peer.request.headers["x-token"]))
        except ConfigError as error:
            results.append(error)

    server = await nursery.start(
        partial(trio_websocket.serve_websocket, handle, "127.0.0.1", 0, ssl_context=None)
    )
    url = f"ws://127.0.0.1:{server.port}"
    for _ in range(2):
        target = url + "/room?output_rate=16000"
        async with open_websocket_client(target, headers=[("X-Token", "t")]) as client:
            hello = json.loads(await client.receive())
            assert (hello["type"], hello["output_rate"]) == ("hello", 16000)
            await client.send('{"type": "end"}')
            messages = [await client.receive() for _ in range(4)]
            assert json.loads(messages[-1]) == {"type": "bye", "reason": "source_ended"}
            with pytest.raises(SocketClosed) as caught:
                await client.receive()
            assert caught.value.code == 1000
    async with open_websocket_client(url + "/?output_rate=1") as client:
        with pytest.raises(SocketClosed) as caught:
            await client.receive()
        assert caught.value.code == 1001
    assert results[:2] == [("source_ended", "/room", "t")] * 2
    assert "output_rate" in str(results[2])
