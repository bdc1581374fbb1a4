"""Where WebSocket frames lie in a stream of bytes (RFC 6455, section 5.2), and what the plainest hold.

Nearly all that a client sends is *plain*: whole data frames, masked, without extensions.  Their payload is
taken by its place; everything else is the library's.
"""

from __future__ import annotations

try:
    from websockets.speedups import apply_mask
except ImportError:  # the library was built without its extension
    from websockets.utils import apply_mask

__all__ = ["PLAIN_BINARY", "PLAIN_TEXT", "frame_end", "plain_head", "unmasked"]

PLAIN_TEXT = 0x81
"""First byte of a text message in one frame: FIN and opcode 1."""
PLAIN_BINARY = 0x82
"""First byte of a binary message in one frame: FIN and opcode 2."""
MASKED = 0x80
MASK_BYTES = 4
NO_MASK = bytes(MASK_BYTES)


def frame_end(data: bytes, start: int) -> int | None:
    """Return where the frame that begins at ``start`` ends, maybe past what is there; None if that is not
    known yet."""
    there = len(data) - start
    if there < 2:
        return None
    second = data[start + 1]
    head = start + 2 + (MASK_BYTES if second & MASKED else 0)
    size = second & 127
    if size < 126:
        return head + size
    width = 2 if size == 126 else 8
    if there < 2 + width:
        return None
    return head + width + int.from_bytes(data[start + 2 : start + 2 + width], "big")


def unmasked(data: bytes, start: int, end: int) -> bytes | None:
    """Return the payload of the masked frame from ``start`` to ``end``; None if the frame is not masked."""
    second = data[start + 1]
    if not second & MASKED:
        return None
    size = second & 127
    payload = start + (2 if size < 126 else 4 if size == 126 else 10) + MASK_BYTES
    mask = data[payload - MASK_BYTES : payload]
    return data[payload:end] if mask == NO_MASK else apply_mask(data[payload:end], mask)


def plain_head(first: int, size: int) -> bytes:
    """Return the head of a frame of ``size`` bytes that is not masked."""
    if size < 126:
        return bytes((first, size))
    if size < 1 << 16:
        return bytes((first, 126, size >> 8, size & 255))
    return bytes((first, 127)) + size.to_bytes(8, "big")
