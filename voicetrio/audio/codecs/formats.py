"""The formats: names, content types, file endings, sample rates; which ones are work for a thread.

Every format here is mono, 16 bits in and out.
"""

from __future__ import annotations

from typing import Final

import attrs

from voicetrio.errors import AudioError

__all__ = ["FORMATS", "AudioFormat", "audio_format", "nearest_rate", "sniff_format"]


@attrs.frozen
class AudioFormat:
    """What is true of one format, whoever encodes it."""

    name: str
    content_type: str
    """The media type of an HTTP body."""
    extension: str
    """The ending of a file name, with its dot."""
    rates_hz: tuple[int, ...] | None = None
    """The sample rates that it can carry; None for any from 1000 Hz to 655350 Hz."""
    is_heavy: bool = True
    """True if a call costs so much that it belongs in a worker thread."""
    is_exact: bool = True
    """True if decoding gives back the number of samples that went in; False if it adds priming."""
    raw_rate_hz: int | None = None
    """The rate that a decoder assumes where the bytes do not tell it."""


_MPEG_RATES: Final = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # ISO 11172-3, 13818-3
_ADTS_RATES: Final = (7350, *_MPEG_RATES, 64000, 88200, 96000)  # ISO 14496-3, table 1.18
_OPUS_RATES: Final = (8000, 12000, 16000, 24000, 48000)  # RFC 6716, section 2

FORMATS: Final[dict[str, AudioFormat]] = {
    each.name: each
    for each in (
        AudioFormat("wav", "audio/wav", ".wav", is_heavy=False),
        AudioFormat("pcm", "audio/pcm", ".pcm", is_heavy=False),
        AudioFormat("mp3", "audio/mpeg", ".mp3", _MPEG_RATES, is_exact=False),
        AudioFormat("opus", "audio/ogg; codecs=opus", ".opus", _OPUS_RATES),  # RFC 7845, section 9
        AudioFormat("flac", "audio/flac", ".flac"),
        AudioFormat("aac", "audio/aac", ".aac", _ADTS_RATES, is_exact=False),
        AudioFormat("mulaw", "audio/basic", ".ulaw", is_heavy=False, raw_rate_hz=8000),
        AudioFormat("alaw", "audio/x-alaw-basic", ".alaw", is_heavy=False, raw_rate_hz=8000),
        AudioFormat("g722", "audio/G722", ".g722", (16000,), raw_rate_hz=16000),
    )
}
"""Every format by its name: ``aac, alaw, flac, g722, mp3, mulaw, opus, pcm, wav``."""

MIN_RATE_HZ: Final = 1000
MAX_RATE_HZ: Final = 655350
"""The highest rate that a FLAC header can name; no format here needs a higher one."""


def audio_format(name: str) -> AudioFormat:
    """Return the format called ``name``.

    Raises AudioError, listing those that exist, for any other name.
    """
    found = FORMATS.get(name)
    if found is None:
        raise AudioError(f"unknown audio format {name!r}: choose one of {', '.join(sorted(FORMATS))}")
    return found


def nearest_rate(name: str, rate_hz: int) -> int:
    """Return the rate to resample to before encoding audio of ``rate_hz`` as ``name``.

    It is the lowest rate that loses nothing, or the format's highest if there is none.
    """
    rates = audio_format(name).rates_hz
    if rates is None or rate_hz in rates:
        return rate_hz
    return min((rate for rate in rates if rate > rate_hz), default=max(rates))


def check_rate(fmt: AudioFormat, rate_hz: int) -> None:
    """Raise AudioError unless ``fmt`` can carry audio of ``rate_hz``."""
    if fmt.rates_hz is not None and rate_hz not in fmt.rates_hz:
        known = ", ".join(map(str, fmt.rates_hz))
        raise AudioError(
            f"{fmt.name} cannot carry {rate_hz} Hz: resample to {nearest_rate(fmt.name, rate_hz)} Hz "
            f"(it knows {known})"
        )
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise AudioError(f"{rate_hz} Hz is not a sample rate: give {MIN_RATE_HZ} to {MAX_RATE_HZ}")


def sniff_format(head: bytes) -> str | None:
    """Tell the format by the first bytes of a stream (48 are enough), or None.

    Formats without a header (pcm, mulaw, alaw, g722) cannot be told.  An ID3 tag is taken to stand before
    MP3, as it nearly always does.
    """
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"fLaC":
        return "flac"
    if head[:4] == b"OggS":
        return "opus" if b"OpusHead" in head[:48] else None
    if head[:3] == b"ID3":
        return "mp3"
    if len(head) >= 2 and head[0] == 0xFF:
        if head[1] & 0xF6 == 0xF0:  # the layer bits are 00 in ADTS and never in MPEG audio
            return "aac"
        if head[1] & 0xE0 == 0xE0 and head[1] & 0x06 == 0x02:  # layer III
            return "mp3"
    return None
