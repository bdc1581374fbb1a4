from __future__ import annotations

import json
import re
import ssl
from pathlib import Path

import pytest
import trio

from tests.server.calls import Handler, read_to_end, serving, until
from voicetrio.connection.websocket import SocketLimits
from voicetrio.connection.websocket.client import open_websocket_client
from voicetrio.errors import ConfigError
from voicetrio.server.listening import is_loopback, open_tls
from voicetrio.server.settings import ServerSettings

FOLDER = Path(__file__).parents[1] / "connection" / "tls"
CERTIFICATE, KEY = FOLDER / "certificate.pem", FOLDER / "key.pem"


async def tls_stream(port: int) -> trio.SSLStream:
    context = ssl.create_default_context(cafile=CERTIFICATE)
    context.check_hostname = False
    tcp = await trio.open_tcp_stream("127.0.0.1", port)
    return trio.SSLStream(tcp, context, server_hostname="localhost", https_compatible=True)


async def test_a_session_over_tls():
    handler = Handler()
    async with serving(handler, tls=open_tls(CERTIFICATE, KEY)) as server:
        assert re.fullmatch(r"wss://127\.0\.0\.1:\d+", server.url)
        stream = await tls_stream(server.port)
        async with open_websocket_client(f"ws://localhost:{server.port}", stream=stream) as socket:
            assert json.loads(await socket.receive())["type"] == "hello"
            await socket.send('{"type": "end"}')
            _messages, closed = await read_to_end(socket)
            assert (closed.code, closed.reason) == (1000, "source_ended")
        await until(lambda: server.statistics().open_sockets == 0)


async def test_what_speaks_no_tls_does_not_reach_anything(caplog):
    handler = Handler()
    async with serving(handler, tls=open_tls(CERTIFICATE, KEY)) as server:
        async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            try:
                while await stream.receive_some():
                    pass
            except trio.BrokenResourceError:
                pass
        await until(lambda: server.statistics().open_sockets == 0)
        assert server.statistics().refused == 1
    assert handler.peers == []
    assert "Traceback" not in caplog.text


async def test_a_tls_handshake_has_the_deadline_of_the_opening_handshake(autojump_clock):
    settings = ServerSettings(limits=SocketLimits(handshake_s=5))
    async with serving(Handler(), tls=open_tls(CERTIFICATE, KEY), settings=settings) as server:
        async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
            assert await stream.receive_some() == b""
            assert trio.current_time() == pytest.approx(5, abs=0.1)


@pytest.mark.parametrize(("certificate", "key"), [("no.pem", None), (KEY, KEY), (CERTIFICATE, CERTIFICATE)])
def test_a_certificate_that_cannot_be_used_is_one_clear_error(certificate, key):
    with pytest.raises(
        ConfigError, match=r"TLS cannot use .*: (No such file|they do not fit, or are not PEM)"
    ):
        open_tls(Path(certificate), None if key is None else Path(key))


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.8.9.1", "::1", "[::1]", "a.localhost"]
)
def test_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "192.0.2.1", "example.com", "localhost.example", "127.0.0.1.x"]
)
def test_not_loopback(host):
    assert not is_loopback(host)
