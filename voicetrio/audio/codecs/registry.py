"""Opening an encoder or a decoder by the name of its format."""

from __future__ import annotations

from typing import Any

from voicetrio.audio.codecs.base import DEFAULT_MAX_S, Decoder, Encoder
from voicetrio.audio.codecs.flac import FlacDecoder, FlacEncoder, with_sample_count
from voicetrio.audio.codecs.formats import audio_format, check_rate
from voicetrio.audio.codecs.g722 import G722Decoder, G722Encoder
from voicetrio.audio.codecs.mpeg import AacEncoder, FrameDecoder, Mp3Encoder
from voicetrio.audio.codecs.opus import OpusDecoder, OpusEncoder
from voicetrio.audio.codecs.plain import RawDecoder, RawEncoder, WavDecoder, WavEncoder
from voicetrio.audio.codecs.settings import (
    AacSettings,
    FlacSettings,
    Mp3Settings,
    OpusSettings,
    WavSettings,
    make_settings,
)
from voicetrio.audio.wav import wav_header
from voicetrio.errors import AudioError
from voicetrio.frames import Samples

__all__ = ["complete_header", "encode_whole", "open_decoder", "open_encoder"]


def open_encoder(format: str, rate: int, **settings: Any) -> Encoder:
    """Return an encoder of one new stream; close it, or use it in a ``with`` block.

    ``format`` is one of FORMATS, ``rate`` the hertz of the samples to come, ``settings`` those of the
    format (for example ``bit_rate``; see Mp3Settings and its like).  Raises AudioError for an unknown format
    or a rate that it cannot carry, and ConfigError for a wrong setting.

    An encoder belongs to one user.  In a trio program open_stream_encoder keeps it so, and keeps the work
    off the event loop.
    """
    fmt = audio_format(format)
    check_rate(fmt, rate)
    match make_settings(format, settings):
        case WavSettings() as wav:
            return WavEncoder(fmt, rate, wav)
        case Mp3Settings() as mp3:
            return Mp3Encoder(fmt, rate, mp3)
        case AacSettings() as aac:
            return AacEncoder(fmt, rate, aac)
        case OpusSettings() as opus:
            return OpusEncoder(fmt, rate, opus)
        case FlacSettings() as flac:
            return FlacEncoder(fmt, rate, flac)
    return G722Encoder(fmt, rate) if format == "g722" else RawEncoder(fmt, rate)


def open_decoder(format: str, *, rate: int | None = None, max_s: float = DEFAULT_MAX_S) -> Decoder:
    """Return a decoder of one new stream; close it, or use it in a ``with`` block.

    ``rate`` (hertz) is needed for pcm, may be given for mulaw and alaw (8000 if not), and must not be given
    where the stream tells it.  ``max_s`` limits what the stream may decode to: a small upload can hold days
    of silence.  Raises AudioError for an unknown format or a missing or needless rate.
    """
    fmt = audio_format(format)
    if format not in ("pcm", "mulaw", "alaw", "g722"):
        if rate is not None:
            raise AudioError(f"a {format} stream tells its rate itself: leave rate out")
        match format:
            case "wav":
                return WavDecoder(fmt, max_s=max_s)
            case "opus":
                return OpusDecoder(fmt, max_s=max_s)
            case "flac":
                return FlacDecoder(fmt, max_s=max_s)
        return FrameDecoder(fmt, max_s=max_s)
    rate = rate if rate is not None else fmt.raw_rate_hz
    if rate is None:
        raise AudioError(f"a {format} stream does not tell its rate: give rate")
    check_rate(fmt, rate)
    if format == "g722":
        return G722Decoder(fmt, rate=rate, max_s=max_s)
    return RawDecoder(fmt, rate=rate, max_s=max_s)


def encode_whole(format: str, samples: Samples, rate: int, **settings: Any) -> bytes:
    """Return int16 mono ``samples`` as one whole file whose header knows its length.

    Takes about a second for 100 s of MP3, so a trio program calls it in a worker thread.  Raises like
    open_encoder and Encoder.encode.
    """
    with open_encoder(format, rate, **settings) as encoder:
        body = encoder.encode(samples) + encoder.finish()
    return complete_header(format, body, samples.size)


def complete_header(format: str, body: bytes, sample_count: int) -> bytes:
    """Return a whole stream with its length in the header, where the format has one (wav, flac).

    ``body`` is all that an encoder gave for ``sample_count`` samples.
    """
    if audio_format(format).name == "flac":
        return with_sample_count(body, sample_count)
    if format == "wav":
        rate = int.from_bytes(body[24:28], "little")
        return wav_header(rate, 1, sample_count * 2) + body[44:]
    return body
