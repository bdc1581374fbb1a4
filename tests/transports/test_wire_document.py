"""What docs/wire.md promises is what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import attrs
import pytest

from voicetrio.connection.websocket import SocketLimits
from voicetrio.events import Event
from voicetrio.runtime.ending import SessionSettings
from voicetrio.server.settings import ServerSettings
from voicetrio.transports.serializers import Malformed
from voicetrio.transports.serializers.event_json import EVENT_NAMES
from voicetrio.transports.serializers.native import RATES_HZ, WIRE_VERSION, NativeWire
from voicetrio.transports.websocket import MAX_MALFORMED

PAGE = (Path(__file__).parents[2] / "docs" / "wire.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.split(f"# {title}\n", 1)[1].split("\n## ", 1)[0]


def rows(title: str) -> dict[str, str]:
    """Return the first table of a section: its first cell's names, and the rest of the row."""
    found = {}
    for line in section(title).split("\n### ", 1)[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `"):
            for name in re.findall(r"`(\w+)`", cells[0]):
                found[name] = " | ".join(cells[1:])
    return found


def test_every_event_has_its_row_with_its_fields():
    table = rows("Events")
    assert set(table) == set(EVENT_NAMES.values())
    for kind, name in EVENT_NAMES.items():
        fields = {field.name for field in attrs.fields(kind)} - {field.name for field in attrs.fields(Event)}
        assert fields <= set(re.findall(r"`(\w+)`", table[name])), name


def test_the_example_is_understood_line_by_line():
    wire = NativeWire()
    lines = re.findall(r"^> (\{.*?\})(?:\s|$)", PAGE, re.MULTILINE)
    assert len(lines) == 5
    assert not [line for line in lines if isinstance(wire.decode(line), Malformed)]
    answers = [json.loads(line) for line in re.findall(r"^< (\{.*?\})(?:\s{2}|$)", PAGE, re.MULTILINE)]
    assert json.loads(wire.greet("peer-1")[0]) == answers[0]
    assert {answer["type"] for answer in answers} <= set(rows("What the server sends"))


@pytest.mark.parametrize("kind", ["hello", "played", "text", "dtmf", "message", "end"])
def test_every_type_of_a_client_has_its_row(kind):
    assert kind in rows("What you send")
    wrong = NativeWire().decode(json.dumps({"type": kind}))
    assert not isinstance(wrong, Malformed) or wrong.code == "bad_field"


def test_the_numbers_are_the_codes():
    limits, settings, server = SocketLimits(), SessionSettings(), ServerSettings()
    rates = re.search(r"A rate is one of (.*) and (\d+)\.", PAGE)
    assert [int(rate) for rate in (*rates[1].split(", "), rates[2])] == list(RATES_HZ)
    for promise in (
        f"The protocol's version is {WIRE_VERSION};",
        f"After more than {MAX_MALFORMED} such messages",
        f"waits for your close frame for {limits.close_s:g} s",
        f"| {limits.max_message_bytes:,} bytes".replace(",", " "),
        f"| {limits.max_fragments} |",
        f"| {limits.handshake_s:g} s |",
        f"every {limits.keepalive_s:g} s; answer it within {limits.keepalive_timeout_s:g} s",
        f"| {limits.max_inbox_bytes >> 20} MiB |",
        f"takes nothing for {settings.stall_s:g} s is gone",
        f"{limits.max_handshake_bytes:,} bytes".replace(",", " "),
        f"| {server.limits.max_bytes_per_s:,} a second".replace(",", " "),
        f" a second, {server.limits.burst_bytes >> 20} MiB at once |",
        f"| {server.limits.max_messages_per_s} a second, {server.limits.burst_messages} at once |",
        f"| without a message of yours | {server.idle_s:g} s |",
        f"| {server.max_session_s:g} s; {server.warn_s:g} s before its end",
    ):
        assert promise in PAGE


def test_a_client_that_comes_back_is_told_what_the_page_says():
    wire = NativeWire()
    wire.offer_resume("TOKEN", 20)
    wire.came_back(1, 28320)
    hello = json.loads(wire.greet("peer-1")[0])
    told = section("When your network was lost")
    for field in hello.keys() - json.loads(NativeWire().greet("peer-1")[0]).keys():
        assert f"`{field}`" in told
