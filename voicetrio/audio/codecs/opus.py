"""Opus in Ogg (RFC 7845): exact to the sample, because its last page says where the sound ends."""

from __future__ import annotations

import contextlib
from typing import Any, Final, final

from voicetrio.audio.codecs.base import DecoderBase, EncoderBase
from voicetrio.audio.codecs.formats import AudioFormat
from voicetrio.audio.codecs.library import from_library, library_errors, open_context, to_library
from voicetrio.audio.codecs.ogg import OggPage, OggReader
from voicetrio.audio.codecs.settings import OpusSettings
from voicetrio.errors import AudioError
from voicetrio.frames import Samples

__all__ = ["OpusDecoder", "OpusEncoder"]

OPUS_CLOCK_HZ: Final = 48000
"""Opus counts, and decodes, at 48 kHz whatever went in (RFC 7845, section 4)."""


class _Sink:
    """A file that can only be written to.

    With nothing to seek in, no muxer can go back and patch a header into bytes that are already gone.
    """

    def __init__(self) -> None:
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        self._held += data
        return len(data)

    def take(self) -> bytes:
        data = bytes(self._held)
        self._held.clear()
        return data


@final
class OpusEncoder(EncoderBase):
    """Opus in Ogg pages of ``page_ms``; the first bytes come with the first ``frame_ms`` of input."""

    def __init__(self, fmt: AudioFormat, rate: int, settings: OpusSettings) -> None:
        super().__init__(fmt, rate)
        import av

        self._position = 0
        self._sink = _Sink()
        options = {
            "application": settings.application,
            "compression_level": str(settings.complexity),
            "frame_duration": str(settings.frame_ms),
        }
        with library_errors(f"opus at {rate} Hz, {settings.bit_rate} bit/s"):
            # Without page_duration a page, and so the first byte of sound, takes a second.
            pages = {"page_duration": str(settings.page_ms * 1000)}
            self._container: Any = av.open(self._sink, "w", format="ogg", container_options=pages)
            self._stream: Any = self._container.add_stream(
                "libopus", rate=rate, options=options, layout="mono"
            )
            self._stream.bit_rate = settings.bit_rate
            self._stream.codec_context.thread_count = 1
            self._container.start_encoding()

    def _encode(self, samples: Samples) -> bytes:
        with library_errors("opus"):
            self._container.mux(self._stream.encode(to_library(samples, self.rate, self._position)))
        self._position += samples.size
        return self._sink.take()

    def _finish(self) -> bytes:
        with library_errors("opus"):
            if self._position:
                self._container.mux(self._stream.encode(None))
            # The last page is written by close(), so the sink is read after it.
            self._container.close()
        return self._sink.take()

    def _release(self) -> None:
        container, self._container, self._stream = self._container, None, None
        if container is not None:
            # It writes a last page that nobody reads; a failed encoder may fail here once more.
            with contextlib.suppress(AudioError), library_errors("opus"):
                container.close()


@final
class OpusDecoder(DecoderBase):
    """Opus in Ogg as it arrives, at 48 kHz, cut to the length that the last page declares."""

    def __init__(self, fmt: AudioFormat, *, max_s: float) -> None:
        super().__init__(fmt, rate=None, max_s=max_s)
        self._ogg = OggReader()
        self._context: Any = None
        self._serial: int | None = None
        self._headers_left = 0
        self._pre_skip = 0
        self._start: int | None = None
        self._before = 0
        self._is_over = False

    def _decode(self, data: bytes) -> None:
        for page in self._ogg.feed(bytes(data)):
            self._take_page(page)

    def _finish(self) -> None:
        self._corrupt += self._ogg.corrupt
        if self._context is None:
            raise AudioError("these bytes hold no opus audio: no Ogg page with an Opus header was found")
        if not self._is_over and self._given:
            self._truncated = "ends before its last page"

    def _take_page(self, page: OggPage) -> None:
        if page.is_first and (self._context is None or self._is_over):
            self._open(page)  # the first stream, or the next one of a chain
            return
        if self._context is None:
            raise AudioError("the Ogg stream does not begin at its beginning: no Opus header")
        if page.serial != self._serial or self._is_over:
            return
        samples = []
        for packet in page.packets:
            if self._headers_left:
                self._headers_left -= 1  # the tags
            else:
                samples += self._decode_packet(packet)
        self._give_page(page, samples)
        self._is_over = page.is_last

    def _open(self, page: OggPage) -> None:
        head = page.packets[0] if page.packets else b""
        if head[:8] != b"OpusHead" or len(head) < 19:
            found = head[1:7] if head[:1] == b"\x01" else head[:8]
            raise AudioError(f"the Ogg stream holds no Opus: it begins with {found!r}")
        with library_errors("opus"):
            self._context = open_context("libopus", "r", extradata=head)
        self._set_rate(OPUS_CLOCK_HZ)
        self._pre_skip = int.from_bytes(head[10:12], "little")
        self._serial, self._headers_left = page.serial, 1
        self._start, self._before, self._is_over = None, self._given, False

    def _decode_packet(self, packet: bytes) -> list[Samples]:
        import av

        if not packet:
            return []
        try:
            with library_errors("opus"):
                return [from_library(frame) for frame in self._context.decode(av.Packet(packet))]
        except AudioError:
            self._corrupt += 1
            return []

    def _give_page(self, page: OggPage, samples: list[Samples]) -> None:
        """Hand over a page's samples; of the last page those up to its declared end."""
        for part in samples:
            self._give(part)
        if page.granule < 0 or not samples:
            return
        # The decoder itself drops the pre-skip, which the granule counts.
        end = self._given - self._before + self._pre_skip
        if self._start is None:
            # A stream that was cut out of a longer one does not begin at 0 (RFC 7845, section 4.5).
            self._start = 0 if page.is_last else max(0, page.granule - end)
        self._cut(end + self._start - page.granule if page.is_last else 0)

    def _cut(self, excess: int) -> None:
        """Take back samples that are padding."""
        while excess > 0 and self._parts:
            part = self._parts.pop()
            kept = part[: max(0, part.size - excess)]
            excess -= part.size - kept.size
            self._given -= part.size - kept.size
            if kept.size:
                self._parts.append(kept)

    def _release(self) -> None:
        self._context = None
