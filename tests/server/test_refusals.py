"""Every refusal of docs/wire.md, over real sockets: who is refused reaches no handler and takes no slot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
import trio

from tests.server.calls import Handler, calling, serving, until
from voicetrio.server.authentication import BearerTokens
from voicetrio.server.entrance import RESUME_PURPOSE
from voicetrio.server.serve import SessionServer
from voicetrio.server.settings import ServerSettings
from voicetrio.server.tokens import TokenSigner

TOKEN = "a token that is long enough"
ADA = f"Authorization: Bearer {TOKEN}"
MARKUP = "<script>alert(1)</script>"
SECRET = b"0123456789abcdef"


@attrs.frozen(kw_only=True)
class Refused:
    """One way to ask that is answered by ``status``."""

    status: int
    target: str = "/"
    headers: tuple[str, ...] = (ADA,)
    method: str = "GET"
    upgrade: str = "Upgrade: websocket"
    before: Callable[[SessionServer], object] = lambda _server: None

    def request(self) -> bytes:
        """Return its bytes."""
        lines = (
            f"{self.method} {self.target} HTTP/1.1",
            "Host: 127.0.0.1",
            self.upgrade,
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            *self.headers,
        )
        return "\r\n".join((*lines, "", "")).encode()


def resume_token(subject: str = "peer-1", ttl_s: float = 86_400.0, secret: bytes = SECRET) -> str:
    return TokenSigner(secret).sign(RESUME_PURPOSE, subject, ttl_s=ttl_s)


REFUSALS = {
    "a rate that there is not": Refused(status=400, target=f"/?input_rate={MARKUP}"),
    "a target that cannot be read": Refused(status=400, target="//[/"),
    "no token": Refused(status=401, headers=()),
    "an unknown token": Refused(status=401, headers=(f"Authorization: Bearer {MARKUP}",)),
    "an unknown token in the query": Refused(status=401, target=f"/?token={MARKUP}", headers=()),
    "a scheme that is not asked for": Refused(status=401, headers=("Authorization: Basic YTpi",)),
    "a foreign page": Refused(status=403, headers=(ADA, "Origin: https://evil.example")),
    "a page without an origin": Refused(status=403, headers=(ADA, "Origin: null")),
    "a resume token that we did not sign": Refused(
        status=403, target=f"/?resume={resume_token(secret=b'another-secret--')}"
    ),
    "a resume token that is over": Refused(status=403, target=f"/?resume={resume_token(ttl_s=-1)}"),
    "a resume token for somebody else": Refused(
        status=403,
        target=f"/?resume={resume_token()}",
        headers=("Authorization: Bearer a token of somebody's",),
    ),
    "a resume token without credentials": Refused(
        status=401, target=f"/?resume={resume_token()}", headers=()
    ),
    "a session that is over": Refused(status=410, target=f"/?resume={resume_token('peer-7')}"),
    "a path that is too long": Refused(status=414, target="/" + "a" * 2000),
    "a request that is too long": Refused(status=431, headers=(ADA, "X-Long: " + "a" * 20_000)),
    "no WebSocket": Refused(status=426, upgrade="Upgrade: h2c"),
    "another method": Refused(status=405, method="POST"),
    "a server that is stopped": Refused(status=503, before=lambda server: server.drain(60)),
}


async def ask(port: int, request: bytes) -> bytes:
    """Return the whole answer."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(request)
        got = b""
        with trio.fail_after(10):
            while data := await stream.receive_some():
                got += bytes(data)
    return got


@pytest.mark.parametrize("refused", REFUSALS.values(), ids=REFUSALS)
async def test_who_is_refused_reaches_nothing(refused, caplog):
    handler = Handler()
    options = {
        "authenticate": BearerTokens({"ada": TOKEN, "bob": "a token of somebody's"}),
        "signer": TokenSigner(SECRET),
        "settings": ServerSettings(max_sessions=2),
    }
    async with serving(handler, **options) as server:
        # Somebody is in, and stays untouched.
        async with calling(server, headers=[("Authorization", f"Bearer {TOKEN}")]):
            await until(lambda: len(handler.sessions) == 1)
            refused.before(server)
            answer = await ask(server.port, refused.request())
            assert answer.startswith(f"HTTP/1.1 {refused.status} ".encode()), answer[:200]
            if refused.status == 503:
                assert b"\r\nRetry-After: 5\r\n" in answer
            # What was sent may be quoted, but never as markup.
            head, _, body = answer.partition(b"\r\n\r\n")
            assert b"text/plain" in head
            assert b"<script>" not in head
            assert b"nosniff" in head or b"<" not in body
            now = server.statistics()
            assert (now.accepted, now.resumed, now.open_sessions, now.admission.taken) == (1, 0, 1, 1)
            assert len(handler.peers) == 1
            assert not handler.sessions[0].ending
    assert TOKEN not in caplog.text
    assert "Traceback" not in caplog.text


def test_the_table_of_the_documentation_is_complete():
    wire = (Path(__file__).parents[2] / "docs" / "wire.md").read_text("utf-8")
    told = {refused.status for refused in REFUSALS.values()} - {405}
    for status in told:
        assert any(
            str(status) in line.split("|")[1] for line in wire.splitlines() if line.startswith("| ")
        ), status
