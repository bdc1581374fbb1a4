"""Adding an output to an ONNX file, without a library: the file is a protobuf message.

The field numbers of ``onnx.proto``: ModelProto.graph = 7; GraphProto.node = 1 and .output = 12;
NodeProto.output = 2 and .op_type = 4; ValueInfoProto.name = 1.  Two messages written one after the other
are read as one, with the fields of both (protobuf's encoding guide: embedded messages are merged, repeated
fields are joined).  So a model with one output more is the model, followed by one that holds that output.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["find_durations", "with_output"]


def find_durations(model: bytes) -> str | None:
    """Return the name of the tensor of frames a phoneme: in VITS it is what the only ``Ceil`` gives."""
    names: list[str] = []
    for field, graph in _fields(memoryview(model)):
        for kind, node in _fields(graph) if field == 7 else ():
            if kind != 1:
                continue
            parts = list(_fields(node))
            if any(part == 4 and bytes(value) == b"Ceil" for part, value in parts):
                names.extend(bytes(value).decode() for part, value in parts if part == 2)
    return names[0] if len(names) == 1 else None


def with_output(model: bytes, name: str) -> bytes:
    """Return ``model`` with the tensor ``name`` among its outputs."""

    def message(field: int, content: bytes) -> bytes:
        return _varint(field << 3 | 2) + _varint(len(content)) + content

    return model + message(7, message(12, message(1, name.encode())))


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the number and the content of each field of ``message`` that has a length."""
    position = 0
    while position < len(message):
        key, position = _read_varint(message, position)
        match key & 7:
            case 0:
                _, position = _read_varint(message, position)
            case 1:
                position += 8
            case 2:
                length, position = _read_varint(message, position)
                yield key >> 3, message[position : position + length]
                position += length
            case 5:
                position += 4
            case _:
                raise ValueError("it is not an ONNX file")


def _read_varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
