"""Where WebSocket frames lie in a stream of bytes (RFC 6455, section 5.2), and what the plainest hold.

Nearly all that a client sends is *plain*: whole data frames, masked, without extensions.  Their payload is
taken by its place; everything else is the library's.
"""

from __future__ import annotations

try:
    from websockets.speedups import apply_mask
except ImportError:  # the library was built without its extension
    from websockets.utils import apply_mask

__all__ = ["PLAIN_BINARY", "PLAIN_TEXT", "payload_span", "plain_head", "plain_message"]

PLAIN_TEXT = 0x81
"""First byte of a text message in one frame: FIN and opcode 1."""
PLAIN_BINARY = 0x82
"""First byte of a binary message in one frame: FIN and opcode 2."""
MASKED = 0x80
"""Set in the second byte of a frame that is masked."""
NO_MASK = bytes(4)


def payload_span(data: bytes, start: int) -> tuple[int, int] | None:
    """Return where the payload of the frame that begins at ``start`` begins and ends, maybe past what is
    there; None if that is not known yet."""
    there = len(data) - start
    if there < 2:
        return None
    second = data[start + 1]
    begin = start + (6 if second & MASKED else 2)
    size = second & 127
    if size == 126:
        if there < 4:
            return None
        size = data[start + 2] << 8 | data[start + 3]
        begin += 2
    elif size == 127:
        if there < 10:
            return None
        size = int.from_bytes(data[start + 2 : start + 10], "big")
        begin += 8
    return begin, begin + size


def plain_message(data: bytes, start: int, max_bytes: int) -> tuple[bytes | str, int] | None:
    """Return the message in the plain frame that begins at ``start``, and where the frame ends.

    None if the frame is for the library: not plain, not all there, of 64 KiB or more, longer than
    ``max_bytes``, or a text that is no UTF-8.
    """
    there = len(data)
    if there - start < 8:
        return None  # the shortest go the library's way, which saves a case here
    first = data[start]
    size = data[start + 1] - MASKED
    if (first != PLAIN_BINARY and first != PLAIN_TEXT) or not 0 <= size < 127:
        return None
    begin = start + 6
    if size == 126:
        size = data[start + 2] << 8 | data[start + 3]
        begin += 2
    end = begin + size
    if end > there or size > max_bytes:
        return None
    mask, payload = data[begin - 4 : begin], data[begin:end]
    if mask != NO_MASK:
        payload = apply_mask(payload, mask)
    if first == PLAIN_BINARY:
        return payload, end
    try:
        return payload.decode(), end
    except UnicodeDecodeError:
        return None


def plain_head(first: int, size: int) -> bytes:
    """Return the head of a frame of ``size`` bytes that is not masked."""
    if size < 126:
        return bytes((first, size))
    if size < 1 << 16:
        return bytes((first, 126, size >> 8, size & 255))
    return bytes((first, 127)) + size.to_bytes(8, "big")
