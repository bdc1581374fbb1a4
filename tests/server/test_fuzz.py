"""Changed requests and changed frames: nothing crashes, nothing leaks, nobody unknown reaches a handler."""

from __future__ import annotations

import json
import random
from contextlib import suppress

import pytest
import trio
import trio.testing
from websockets.frames import BINARY, CLOSE, CONT, PING, PONG, TEXT, Close, Frame
from websockets.server import ServerProtocol

from tests.connection.websocket.raw import REQUEST
from tests.server.calls import Handler, calling, serving, until
from voicetrio.connection.websocket import HandshakeFailed, Refusal, SocketLimits, accept_websocket
from voicetrio.connection.websocket.driver import Driver
from voicetrio.server.admission import Admission
from voicetrio.server.authentication import BearerTokens
from voicetrio.server.entrance import Entrance, Newcomer
from voicetrio.server.origins import OriginRule
from voicetrio.server.settings import ServerSettings
from voicetrio.server.tokens import TokenSigner
from voicetrio.transports.serializers import Malformed
from voicetrio.transports.serializers.native import NativeWire

TOKEN = "a token that is long enough"
ASKED = REQUEST[:-2] + b"Authorization: Bearer " + TOKEN.encode() + b"\r\nOrigin: http://test\r\n\r\n"
PIECES = [b"\r\n", b"\r\n\r\n", b"\x00", b"\xff", b" ", b":", b"%", b"?", b"&", b"\t", b"a" * 300, b"\x7f"]
QUICK, LONG = 5000, 100_000


def changed(source: random.Random, data: bytes) -> bytes:
    """Return ``data`` after a few small accidents."""
    found = bytearray(data)
    for _ in range(source.randint(1, 4)):
        at = source.randrange(len(found) + 1)
        match source.randrange(6):
            case 0 if found:
                found[at % len(found)] = source.randrange(256)
            case 1:
                del found[at : at + source.randrange(1, 20)]
            case 2:
                found[at:at] = source.choice(PIECES)
            case 3:
                found[at:at] = found[at : at + source.randrange(1, 60)]
            case 4:
                found[at:at] = source.randbytes(source.randrange(1, 8))
            case 5:
                del found[at:]
    return bytes(found)


def entrance() -> tuple[Admission, Entrance]:
    admission = Admission(max_sessions=10**9, retry_after_s=1, overload=lambda: None)
    return admission, Entrance(
        admission=admission,
        origins=OriginRule(["http://test"]),
        authenticate=BearerTokens({"ada": TOKEN}),
        signer=TokenSigner(),
        peers={},
        make_wire=NativeWire.from_query,
    )


async def shake(request: bytes, door: Entrance) -> Newcomer | None:
    """Offer ``request``; return who was let in."""
    near, far = trio.testing.memory_stream_pair()
    let_in: list[Newcomer] = []

    def refuse(asked):
        verdict = door.judge(asked)
        if isinstance(verdict, Refusal):
            return verdict
        let_in.append(verdict)
        return None

    await far.send_all(request)
    await far.send_eof()
    try:
        await accept_websocket(near, SocketLimits(), refuse=refuse)
    except HandshakeFailed:
        assert not let_in
    await near.aclose()
    answer = b""
    while data := await far.receive_some():
        answer += bytes(data)
    assert not answer or answer.startswith(b"HTTP/1.1 ")
    assert answer.startswith(b"HTTP/1.1 101 ") == bool(let_in)
    return let_in[0] if let_in else None


async def fuzz_handshakes(seed: int, count: int) -> None:
    source = random.Random(seed)
    admission, door = entrance()
    assert await shake(ASKED, door) is not None
    for _ in range(count):
        request = changed(source, ASKED)
        newcomer = await shake(request, door)
        if newcomer is not None:
            assert newcomer.credentials.subject == "ada"
            assert TOKEN.encode() in request
            newcomer.ticket.release()
    assert admission.statistics().taken == 1


async def test_no_changed_request_comes_in_without_its_token():
    await fuzz_handshakes(1, QUICK)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4))
async def test_no_changed_request_comes_in_without_its_token_for_long(seed):
    await fuzz_handshakes(seed, LONG)


MESSAGES = [
    {"type": "hello", "client": "fuzz"},
    {"type": "played", "epoch": 0, "position": 480},
    {"type": "text", "text": "go forward ten metres"},
    {"type": "dtmf", "digit": "#"},
    {"type": "message", "data": {"a": [1, 2.5, None, True]}},
    {"type": "end"},
]


def frames(source: random.Random) -> bytes:
    """Return a stretch of the frames that a client may send."""
    found = b""
    for _ in range(source.randint(1, 6)):
        match source.randrange(6):
            case 0:
                frame = Frame(BINARY, source.randbytes(2 * source.randrange(400)))
            case 1:
                frame = Frame(TEXT, json.dumps(source.choice(MESSAGES)).encode())
            case 2:
                frame = Frame(source.choice([PING, PONG]), source.randbytes(source.randrange(126)))
            case 3:
                frame = Frame(TEXT, changed(source, json.dumps(source.choice(MESSAGES)).encode()))
            case 4:
                frame = Frame(source.choice([BINARY, TEXT, CONT]), b"part", fin=source.random() < 0.5)
            case 5:
                frame = Frame(CLOSE, Close(source.choice([1000, 1001, 4000]), "bye").serialize())
        found += frame.serialize(mask=True)
    return found


def fuzz_messages(seed: int, count: int) -> None:
    source = random.Random(seed)
    limits = SocketLimits(max_message_bytes=2000, max_fragments=10)
    understood = 0
    for _ in range(count):
        protocol = ServerProtocol(max_size=limits.max_message_bytes)
        protocol.receive_data(REQUEST)
        protocol.send_response(protocol.accept(protocol.events.pop(0)))
        protocol.data_to_send()
        driver, wire = Driver(protocol, limits), NativeWire()
        data = frames(source)
        if source.random() < 0.7:
            data = changed(source, data)
        for start in range(0, len(data), 97):
            for message in driver.receive(data[start : start + 97]):
                assert len(message) <= limits.max_message_bytes
                received = wire.decode(message)
                if isinstance(received, Malformed):
                    wire.complain(received).encode()
                understood += received is not None
            assert len(driver.take_output()[0]) <= 1 << 17
        driver.receive(b"")
        assert driver.outcome().by in ("peer", "us", "network")
    assert understood > count / 10


def test_no_changed_frame_breaks_a_connection_that_is_ours():
    fuzz_messages(1, QUICK)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4))
def test_no_changed_frame_breaks_a_connection_that_is_ours_for_long(seed):
    fuzz_messages(seed, LONG)


async def test_a_server_survives_them_and_serves_the_next(caplog):
    handler = Handler()
    source = random.Random(3)
    before = trio.lowlevel.current_statistics().tasks_living
    who = BearerTokens({"ada": TOKEN})
    options = {
        "authenticate": who,
        "allowed_origins": ["http://test"],
        "settings": ServerSettings(resume_s=0),
    }
    async with serving(handler, **options) as server:

        async def offend(data: bytes) -> None:
            async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
                with suppress(trio.BrokenResourceError):
                    await stream.send_all(data)
                    await stream.send_eof()
                    while await stream.receive_some():
                        pass

        for _ in range(15):
            with trio.fail_after(20):
                async with trio.open_nursery() as nursery:
                    for _ in range(20):
                        whole = ASKED if source.random() < 0.5 else changed(source, ASKED)
                        nursery.start_soon(offend, whole + changed(source, frames(source)))
        await until(lambda: server.statistics().open_sessions + server.statistics().open_sockets == 0)
        assert {peer.credentials.subject for peer in handler.peers} == {"ada"}
        assert server.statistics().admission.taken == 0
        assert server.statistics().failed == 0
        async with calling(server, headers=[("Authorization", f"Bearer {TOKEN}")]):
            pass
    assert trio.lowlevel.current_statistics().tasks_living == before
    assert "Traceback" not in caplog.text
