"""A whole file in any container that the library reads: m4a, webm, Ogg Vorbis, and everything else.

The streaming decoders take bytes as they come; this takes a file that is there, and gives it bit by bit.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, Final, final

import numpy as np

from voicetrio.audio.codecs.base import DEFAULT_MAX_S, _Guard
from voicetrio.audio.codecs.library import from_library, library_errors
from voicetrio.errors import AudioError
from voicetrio.frames import Samples

__all__ = ["ContainerReader"]

# Play lists and their like would make the library open other files and addresses, so only formats that
# carry their sound inside are let in.
_FORMATS: Final = (
    "wav,w64,aiff,au,caf,mp3,flac,ogg,aac,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,amr,asf,avi,flv,mpeg,mpegts"
)


@final
class ContainerReader:
    """Reads the first audio stream of a file.  One call at a time, like every codec.

    Attributes:
        rate: hertz.
        damage: what was found wrong so far, though audio could be read; None if nothing.
    """

    def __init__(self, data: bytes, *, max_s: float = DEFAULT_MAX_S) -> None:
        """Open the file of which ``data`` are the bytes.

        Raises AudioError if it is empty, of no known format, or holds no audio.  It takes as long as the
        file's index does, so a trio program does it in a worker thread.
        """
        import av

        if not data:
            raise AudioError("the audio file is empty")
        self._guard = _Guard("the container reader")
        self._max_s = max_s
        self._given = 0
        self._held: Samples = np.empty(0, np.int16)
        options = {"format_whitelist": _FORMATS, "protocol_whitelist": "none"}
        with library_errors("the audio file cannot be read"):
            self._container: Any = av.open(io.BytesIO(data), "r", options=options)
        try:
            if not self._container.streams.audio:
                raise AudioError("the file holds no audio")
            stream = self._container.streams.audio[0]
            if stream.codec_context is None:
                raise AudioError("the file's audio is of a kind that is not known")
            stream.codec_context.thread_count = 1
            self.rate: int = stream.rate
            if not self.rate:
                raise AudioError("the file does not tell its sample rate")
        except BaseException:
            self._release()
            raise
        self.damage: str | None = None
        self._frames: Iterator[Any] | None = self._container.decode(stream)

    def read(self, sample_count: int) -> Samples:
        """Return up to ``sample_count`` int16 mono samples; fewer only at the end, none after it.

        Raises AudioError if the file holds no sound at all or more than the limit.
        """
        with self._guard.call("read"):
            parts, have = [self._held], self._held.size
            while have < sample_count and (part := self._next()) is not None:
                parts.append(part)
                have += part.size
            joined = np.concatenate(parts)
            self._held = joined[sample_count:]
            return joined[:sample_count]

    def close(self) -> None:
        """Free the library's memory, after the call in flight."""
        self._guard.close(self._release)

    def _next(self) -> Samples | None:
        if self._frames is None:
            return None
        try:
            with library_errors("the audio file"):
                frame = next(self._frames, None)
        except AudioError as error:
            if not self._given:
                raise
            self.damage, self._frames = str(error), None
            return None
        if frame is None:
            self._frames = None
            if not self._given:
                raise AudioError("the file holds no sound")
            return None
        if frame.sample_rate != self.rate:
            raise AudioError(f"the audio file changes from {self.rate} Hz to {frame.sample_rate} Hz")
        samples = from_library(frame)
        self._given += samples.size
        if self._given > self._max_s * self.rate:
            raise AudioError(f"the audio file is longer than the limit of {self._max_s:g} s: raise max_s")
        return samples

    def _release(self) -> None:
        self._frames = None
        self._container.close()
        self._held = np.empty(0, np.int16)
