from __future__ import annotations

import pytest

from tests.server.calls import request
from voicetrio.errors import ConfigError
from voicetrio.server.origins import OriginRule


def passes(rule: OriginRule, **headers: str) -> bool:
    refusal = rule(request(**headers))
    assert refusal is None or refusal.status == 403
    return refusal is None


def test_what_is_no_browser_passes():
    assert passes(OriginRule(), host="anything.example")


@pytest.mark.parametrize("host", ["localhost:8765", "127.0.0.1:8765", "[::1]:8765"])
def test_the_servers_own_page_passes(host):
    assert passes(OriginRule(), host=host, origin=f"http://{host}")


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://localhost:9999",
        "null",
        "",
        "file://",
        "http://",
        "http://a:b",
        "http://x/y",
        "http://[x",
    ],
)
def test_other_pages_do_not(origin):
    assert not passes(OriginRule(), host="localhost:8765", origin=origin)
    assert not passes(OriginRule(loopback_only=False), host="voice.example", origin=origin)


def test_a_foreign_name_that_resolves_to_this_machine_does_not_pass():
    assert not passes(OriginRule(), host="evil.example:8765", origin="http://evil.example:8765")
    assert passes(
        OriginRule(loopback_only=False), host="voice.example:8765", origin="http://voice.example:8765"
    )


def test_allowed_origins_pass_however_they_are_written():
    rule = OriginRule(["https://App.example:443", "http://dev.example:3000"])
    assert passes(rule, host="voice.example", origin="https://app.example")
    assert passes(rule, host="voice.example", origin="http://dev.example:3000")
    assert not passes(rule, host="voice.example", origin="http://app.example")
    assert not passes(rule, host="voice.example", origin="https://app.example.evil")


def test_a_star_lets_every_page_in():
    assert passes(OriginRule(["*"]), host="x", origin="null")


@pytest.mark.parametrize(
    "origin", ["app.example", "https://app.example/path", "ftp://x", "https://x:nan", ""]
)
def test_what_no_browser_would_send_is_a_mistake_of_ours(origin):
    with pytest.raises(ConfigError, match="is not an origin"):
        OriginRule([origin])
