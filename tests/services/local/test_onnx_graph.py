from __future__ import annotations

import pytest

from voicetrio.services.local.onnx_graph import find_durations, with_output


def varint(value: int) -> bytes:
    low = value & 0x7F
    return bytes([low | 0x80]) + varint(value >> 7) if value >> 7 else bytes([low])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def node(operation: bytes, output: bytes) -> bytes:
    return field(1, field(1, b"input") + field(2, output) + field(4, operation))


def model(*nodes: bytes) -> bytes:
    version = bytes([1 << 3 | 0]) + varint(300)
    fixed = bytes([30 << 3 & 0x7F | 0x80 | 5, 1]) + bytes(4)
    return version + fixed + field(2, b"producer" * 40) + field(7, b"".join(nodes))


def test_the_durations_are_what_the_only_ceil_gives() -> None:
    assert find_durations(model(node(b"Add", b"a"), node(b"Ceil", b"/Ceil_output_0"))) == "/Ceil_output_0"
    assert find_durations(model(node(b"Add", b"a"))) is None
    assert find_durations(model(node(b"Ceil", b"a"), node(b"Ceil", b"b"))) is None


def test_an_output_is_added_by_a_message_behind_the_model() -> None:
    before = model(node(b"Ceil", b"x"))
    after = with_output(before, "x" * 200)
    assert after == before + field(7, field(12, field(1, b"x" * 200)))
    assert find_durations(after) == "x"


def test_what_is_no_model_is_told() -> None:
    with pytest.raises(ValueError, match="not an ONNX file"):
        find_durations(bytes([1 << 3 | 3]))
