"""The seam to the codec library: frames in and out of it, its errors as ours.

The library is imported when the first codec that needs it is opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, Final, Literal

import numpy as np

from voicetrio.audio.pcm import from_float, to_mono
from voicetrio.errors import AudioError
from voicetrio.frames import Samples

__all__ = ["from_library", "library_errors", "open_context", "to_library"]

_POINTERS_IN_A_FRAME: Final = 8  # AV_NUM_DATA_POINTERS


def open_context(codec: str, mode: Literal["r", "w"], rate: int | None = None, **attributes: Any) -> Any:
    """Return an open codec context: mono, ``rate`` Hz, one thread."""
    import av

    create: Any = av.CodecContext.create  # typed by lists of codecs and modes, and given plain strings here
    context = create(codec, mode)
    # The library would start a thread for each core; a stream is one core's work.
    context.thread_count = 1
    if rate is not None:
        context.rate = rate
        context.layout = "mono"
    if mode == "w":
        context.format = context.codec.audio_formats[0]
        context.time_base = Fraction(1, rate)
    for name, value in attributes.items():
        setattr(context, name, value)
    context.open()
    return context


def to_library(samples: Samples, rate: int, position: int) -> Any:
    """Return the library's frame of int16 mono ``samples``, the first of which is number ``position``."""
    import av

    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = rate
    frame.time_base = Fraction(1, rate)
    frame.pts = position
    return frame


def from_library(frame: Any) -> Samples:
    """Return a decoded frame as int16 mono, whatever its sample type and channels are."""
    channels = frame.layout.nb_channels
    if frame.format.is_planar and channels >= _POINTERS_IN_A_FRAME:
        frame = _interleaved(frame)
    array = frame.to_ndarray()
    if not frame.format.is_planar:
        array = array.reshape(-1, channels).T
    if array.dtype == np.uint8:
        array = (array.astype(np.int16) - 128) << 8
    elif array.dtype == np.int32:
        array = from_float(array / 2.0**31)
    elif array.dtype != np.int16:
        array = from_float(array)
    mono: Samples = to_mono(array.T)
    return np.ascontiguousarray(mono)


def _interleaved(frame: Any) -> Any:
    """Return the same frame with its channels interleaved.

    The library's Python side counts a frame's planes up to a null pointer, and a frame of 8 channels or more
    has none: reading its planes one by one would crash the process.
    """
    import av

    resampler = av.AudioResampler(frame.format.packed, frame.layout, frame.sample_rate)
    return resampler.resample(frame)[0]


@contextmanager
def library_errors(what: str) -> Iterator[None]:
    """Turn the library's errors into AudioError, which names ``what``."""
    import av

    try:
        yield
    except (av.FFmpegError, ValueError) as error:
        if isinstance(error, AudioError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise AudioError(f"{what}: {reason}") from error
