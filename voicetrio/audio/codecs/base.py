"""What every encoder and decoder has in common: the protocols, and the guard around each call.

A codec is a machine without I/O: bytes or samples in, samples or bytes out.  Most of them stand on a C
library that releases the GIL and has no lock, so two calls at once, or a call after the end, would crash
the process or mix two users' audio.  The guard refuses such a call with CodecMisuse before it gets there:

=============  ==========================================================================
state          what is allowed
=============  ==========================================================================
``open``       one call at a time; a second one raises
``finished``   ``close()``
``failed``     ``close()``; the library may be in any condition
``closed``     ``close()``, which does nothing
=============  ==========================================================================

``close()`` is allowed from any thread: it waits for the call in flight, then frees the library's memory.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol, Self

import numpy as np

from voicetrio.audio.codecs.formats import AudioFormat
from voicetrio.errors import AudioError, CodecMisuse
from voicetrio.frames import Samples

__all__ = ["Decoder", "DecoderBase", "Encoder", "EncoderBase"]

DEFAULT_MAX_S = 3600.0


class Encoder(Protocol):
    """Turns samples into the bytes of one stream."""

    @property
    def format(self) -> AudioFormat:
        """What it writes."""

    @property
    def rate(self) -> int:
        """Hertz of the samples that it takes."""

    def encode(self, samples: Samples) -> bytes:
        """Take int16 mono ``samples``, shape ``(n,)``; return the bytes that are complete, maybe none."""

    def finish(self) -> bytes:
        """Return what is left of the stream, with the header if nothing was encoded.  Nothing may follow."""

    def close(self) -> None:
        """Free the library's memory, after the call in flight.  What was not finished is lost."""

    def __enter__(self) -> Self:
        """Close at the end of the block."""

    def __exit__(self, *exc_info: object) -> None: ...


class Decoder(Protocol):
    """Turns the bytes of one stream into samples."""

    @property
    def format(self) -> AudioFormat:
        """What it reads."""

    @property
    def rate(self) -> int | None:
        """Hertz of the samples that it gives; None until the stream has told it."""

    @property
    def damage(self) -> str | None:
        """What was found wrong with the stream so far, though audio could be read; None if nothing."""

    def decode(self, data: bytes) -> Samples:
        """Take any number of bytes; return the int16 mono samples that they complete, shape ``(n,)``."""

    def finish(self) -> Samples:
        """Return the last samples.  Raises AudioError if the whole stream held no audio."""

    def close(self) -> None:
        """Free the library's memory, after the call in flight."""

    def __enter__(self) -> Self:
        """Close at the end of the block."""

    def __exit__(self, *exc_info: object) -> None: ...


class _Guard:
    """One call at a time, none after the end."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self.state: Literal["open", "finished", "failed", "closed"] = "open"

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """Be the only call; an exception inside leaves the codec failed."""
        if not self._lock.acquire(blocking=False):
            raise CodecMisuse(self._what, f"is in a call already: {name}() came from a second user of it")
        try:
            if self.state != "open":
                raise CodecMisuse(self._what, f"is {self.state}: {name}() came too late")
            try:
                yield
            except BaseException:
                self.state = "failed"
                raise
        finally:
            self._lock.release()

    def close(self, release: Callable[[], None]) -> None:
        """Call ``release`` once, when no call is in flight."""
        with self._lock:
            if self.state != "closed":
                self.state = "closed"
                release()


class _Codec:
    """The ending that encoders and decoders share."""

    def __init__(self, fmt: AudioFormat, kind: str) -> None:
        self.format = fmt
        self._guard = _Guard(f"the {fmt.name} {kind}")

    def close(self) -> None:
        """Free the library's memory, after the call in flight.  Any number of times, from any thread."""
        self._guard.close(self._release)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _release(self) -> None:
        """Let go of what the library holds."""


class EncoderBase(_Codec):
    """The calls of an encoder, guarded; a format fills in ``_encode`` and ``_finish``."""

    def __init__(self, fmt: AudioFormat, rate: int) -> None:
        super().__init__(fmt, "encoder")
        self.rate = rate

    def encode(self, samples: Samples) -> bytes:
        """Take int16 mono ``samples``, shape ``(n,)``; return the bytes that are complete, maybe none.

        Raises CodecMisuse when another call is running or the stream has ended, and AudioError when the
        array is not mono int16 or the library fails.
        """
        check_samples(samples)
        with self._guard.call("encode"):
            return self._encode(np.ascontiguousarray(samples)) if samples.size else b""

    def finish(self) -> bytes:
        """Return what is left of the stream, with the header if nothing was encoded.  Nothing may follow."""
        with self._guard.call("finish"):
            rest = self._finish()
            self._guard.state = "finished"
            self._release()
            return rest

    @abstractmethod
    def _encode(self, samples: Samples) -> bytes: ...

    @abstractmethod
    def _finish(self) -> bytes: ...


class DecoderBase(_Codec):
    """The calls of a decoder, guarded, with the limit on what a stream may decode to.

    A format fills in ``_decode`` and ``_finish``, which hand samples over with ``_give``.
    """

    def __init__(self, fmt: AudioFormat, *, rate: int | None, max_s: float) -> None:
        super().__init__(fmt, "decoder")
        self._rate = rate
        self._max_s = max_s
        self._parts: list[Samples] = []
        self._given = 0
        self._corrupt = 0
        self._truncated: str | None = None

    @property
    def rate(self) -> int | None:
        """Hertz of the samples; None until the stream has told it."""
        return self._rate

    @property
    def sample_count(self) -> int:
        """Samples decoded so far."""
        return self._given

    @property
    def damage(self) -> str | None:
        """What was found wrong with the stream so far, though audio could be read; None if nothing."""
        found = [f"{self._corrupt} corrupt packets were left out"] if self._corrupt else []
        if self._truncated is not None:
            found.append(self._truncated)
        return "; ".join(found) or None

    def decode(self, data: bytes) -> Samples:
        """Take any number of bytes; return the int16 mono samples that they complete, shape ``(n,)``.

        Raises CodecMisuse like an encoder, and AudioError for bytes that are not this format, or that
        decode to more than the limit.
        """
        with self._guard.call("decode"):
            if data:
                self._decode(data)
            return self._taken()

    def finish(self) -> Samples:
        """Return the last samples.  Raises AudioError if the whole stream held no audio."""
        with self._guard.call("finish"):
            self._finish()
            if self._rate is None:
                raise AudioError(f"these bytes hold no {self.format.name} audio")
            self._guard.state = "finished"
            self._release()
            return self._taken()

    @abstractmethod
    def _decode(self, data: bytes) -> None: ...

    @abstractmethod
    def _finish(self) -> None: ...

    def _set_rate(self, rate: int) -> None:
        if self._rate is None:
            self._rate = rate
        elif rate != self._rate:
            raise AudioError(f"the {self.format.name} stream changes from {self._rate} Hz to {rate} Hz")

    def _give(self, samples: Samples) -> None:
        """Hand over samples; refuse them once they exceed the limit, before they pile up in memory."""
        assert self._rate is not None
        self._given += samples.size
        if self._given > self._max_s * self._rate:
            raise AudioError(
                f"the {self.format.name} stream is longer than the limit of {self._max_s:g} s: raise max_s"
            )
        self._parts.append(samples)

    def _taken(self) -> Samples:
        parts, self._parts = self._parts, []
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty(0, np.int16)


def check_samples(samples: Any) -> None:
    """Raise AudioError unless ``samples`` is an int16 array of shape ``(n,)``."""
    if not isinstance(samples, np.ndarray) or samples.dtype != np.int16 or samples.ndim != 1:
        is_array = isinstance(samples, np.ndarray)
        got = f"{samples.dtype} {samples.shape}" if is_array else type(samples).__name__
        raise AudioError(f"an encoder takes mono int16 samples, shape (n,): got {got}")
