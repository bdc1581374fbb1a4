"""G.711: mu-law and A-law by table.

One look-up a sample in each direction.  The tables follow ITU-T G.711 the way that Sun's public ``g711.c``
and CPython's ``audioop`` read it: 14 significant bits for mu-law, 13 for A-law, dropped bits truncated
towards minus infinity.  FFmpeg rounds differently, so the two must not be mixed in one test.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from voicetrio.frames import Samples


__all__ = ["alaw_decode", "alaw_encode", "mulaw_decode", "mulaw_encode"]

_MULAW_BIAS: Final = 33  # of the 14-bit magnitude; makes every segment start at a power of two
_MULAW_CLIP: Final = 8159
_MULAW_SEGMENT_ENDS: Final = (0x3F, 0x7F, 0xFF, 0x1FF, 0x3FF, 0x7FF, 0xFFF, 0x1FFF)
_ALAW_SEGMENT_ENDS: Final = (0x1F, 0x3F, 0x7F, 0xFF, 0x1FF, 0x3FF, 0x7FF, 0xFFF)


def mulaw_encode(samples: Samples) -> bytes:
    """Return one mu-law byte for each int16 sample."""
    return _mulaw_encoding()[_as_index(samples)].tobytes()


def mulaw_decode(data: bytes | bytearray | memoryview) -> Samples:
    """Return one int16 sample for each mu-law byte."""
    return _mulaw_decoding()[np.frombuffer(data, np.uint8)]


def alaw_encode(samples: Samples) -> bytes:
    """Return one A-law byte for each int16 sample."""
    return _alaw_encoding()[_as_index(samples)].tobytes()


def alaw_decode(data: bytes | bytearray | memoryview) -> Samples:
    """Return one int16 sample for each A-law byte."""
    return _alaw_decoding()[np.frombuffer(data, np.uint8)]


def _as_index(samples: Samples) -> npt.NDArray[np.uint16]:
    return samples.astype(np.int16, copy=False).view(np.uint16)


def _all_samples() -> npt.NDArray[np.int32]:
    """Return every int16 value, in the order of its bits read as unsigned: 0..32767, -32768..-1."""
    return np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)


# The tables are made when first used: making them costs a few milliseconds that an import should not.


@cache
def _mulaw_encoding() -> npt.NDArray[np.uint8]:
    value = _all_samples() >> 2
    mask = np.where(value < 0, 0x7F, 0xFF)
    magnitude = np.minimum(np.abs(value), _MULAW_CLIP) + _MULAW_BIAS
    segment = np.searchsorted(_MULAW_SEGMENT_ENDS, magnitude)
    code = (segment << 4) | ((magnitude >> (segment + 1)) & 0x0F)
    code = np.where(segment > 7, 0x7F, code)  # a clipped magnitude lies one past the last segment
    return _frozen((code ^ mask).astype(np.uint8))


@cache
def _mulaw_decoding() -> Samples:
    code = ~np.arange(256) & 0xFF
    segment = (code >> 4) & 0x07
    magnitude = ((((code & 0x0F) << 3) + (_MULAW_BIAS << 2)) << segment) - (_MULAW_BIAS << 2)
    return _frozen_samples(np.where(code & 0x80, -magnitude, magnitude))


@cache
def _alaw_encoding() -> npt.NDArray[np.uint8]:
    value = _all_samples() >> 3
    mask = np.where(value < 0, 0x55, 0xD5)
    magnitude = np.where(value < 0, -value - 1, value)
    segment = np.searchsorted(_ALAW_SEGMENT_ENDS, magnitude)
    code = (segment << 4) | ((magnitude >> np.maximum(segment, 1)) & 0x0F)
    return _frozen((code ^ mask).astype(np.uint8))


@cache
def _alaw_decoding() -> Samples:
    code = np.arange(256) ^ 0x55
    segment = (code >> 4) & 0x07
    step = ((code & 0x0F) << 4) + 8
    magnitude = np.where(segment == 0, step, (step + 0x100) << np.maximum(segment - 1, 0))
    return _frozen_samples(np.where(code & 0x80, magnitude, -magnitude))


def _frozen(table: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    table.flags.writeable = False
    return table


def _frozen_samples(table: npt.NDArray[np.int64]) -> Samples:
    samples = table.astype(np.int16)
    samples.flags.writeable = False
    return samples
