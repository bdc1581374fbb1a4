"""Opus in Ogg (RFC 7845): exact to the sample, because its last page says where the sound ends."""

from __future__ import annotations

from typing import Any, Final, final

from voicetrio.audio.codecs.base import DecoderBase, EncoderBase
from voicetrio.audio.codecs.formats import AudioFormat
from voicetrio.audio.codecs.library import from_library, library_errors, open_context, to_library
from voicetrio.audio.codecs.ogg import OggPage, OggReader, OggWriter
from voicetrio.audio.codecs.settings import OpusSettings
from voicetrio.errors import AudioError
from voicetrio.frames import Samples

__all__ = ["OpusDecoder", "OpusEncoder"]

OPUS_CLOCK_HZ: Final = 48000
"""Opus counts, and decodes, at 48 kHz whatever went in (RFC 7845, section 4)."""

_VENDOR: Final = b"voicetrio"
_TAGS: Final = b"OpusTags" + len(_VENDOR).to_bytes(4, "little") + _VENDOR + bytes(4)


@final
class OpusEncoder(EncoderBase):
    """Opus in Ogg pages of ``page_ms``; the first sound comes out with the first ``frame_ms`` of input.

    The pages are made here because a general muxer keeps each one back until the next is full.
    """

    def __init__(self, fmt: AudioFormat, rate: int, settings: OpusSettings) -> None:
        super().__init__(fmt, rate)
        options = {
            "application": settings.application,
            "compression_level": str(settings.complexity),
            "frame_duration": str(settings.frame_ms),
        }
        with library_errors(f"opus at {rate} Hz, {settings.bit_rate} bit/s"):
            self._context = open_context("libopus", "w", rate, bit_rate=settings.bit_rate, options=options)
        head = bytes(self._context.extradata)
        self._pre_skip = int.from_bytes(head[10:12], "little")
        self._frame_ticks = settings.frame_ms * OPUS_CLOCK_HZ // 1000
        self._page_packets = max(1, settings.page_ms // settings.frame_ms)
        self._ogg = OggWriter(settings.serial)
        self._header = self._ogg.page([head], 0, is_first=True) + self._ogg.page([_TAGS], 0)
        self._position = 0
        self._coded_ticks = 0
        self._packets: list[bytes] = []

    def _encode(self, samples: Samples) -> bytes:
        with library_errors("opus"):
            packets = self._context.encode(to_library(samples, self.rate, self._position))
        self._position += samples.size
        return self._take_header() + self._take(packets)

    def _finish(self) -> bytes:
        body = self._take_header()
        if self._position:
            with library_errors("opus"):
                body += self._take(self._context.encode(None), keep=1)
        # The last page ends where the sound does, within its last packet (RFC 7845, section 4.4).
        end = self._pre_skip + self._position * OPUS_CLOCK_HZ // self.rate if self._position else 0
        return body + self._ogg.page(self._packets, end, is_last=True)

    def _take(self, packets: list[Any], keep: int = 0) -> bytes:
        """Return the pages that are full, leaving at least ``keep`` packets for a later page."""
        self._packets += [data for packet in packets if (data := bytes(packet))]
        pages = []
        while True:
            fitting = OggWriter.fitting(self._packets)
            if len(self._packets) < self._page_packets + keep and fitting == len(self._packets):
                break
            some = self._packets[: min(self._page_packets, fitting)]
            del self._packets[: len(some)]
            self._coded_ticks += len(some) * self._frame_ticks
            pages.append(self._ogg.page(some, self._coded_ticks))
        return b"".join(pages)

    def _take_header(self) -> bytes:
        header, self._header = self._header, b""
        return header

    def _release(self) -> None:
        self._context = None


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
