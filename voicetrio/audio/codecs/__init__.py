"""Encoders and decoders of audio streams: bytes in and out, no I/O, no tasks.

    >>> with open_encoder("opus", 24_000, bit_rate=32_000) as encoder:
    ...     body = encoder.encode(samples) + encoder.finish()

Formats: wav, pcm, mp3, opus (Ogg), flac, aac (ADTS), mulaw, alaw, g722; all mono, 16 bits.  What comes out
of a decoder has exactly the length of what went into the encoder, except for mp3 and aac, which add priming.
``voicetrio.runtime.encoding`` runs them in a trio program.
"""

from __future__ import annotations

from voicetrio.audio.codecs.base import Decoder, DecoderBase, Encoder, EncoderBase
from voicetrio.audio.codecs.container import ContainerReader
from voicetrio.audio.codecs.formats import FORMATS, AudioFormat, audio_format, nearest_rate, sniff_format
from voicetrio.audio.codecs.registry import complete_header, encode_whole, open_decoder, open_encoder
from voicetrio.audio.codecs.settings import (
    AacSettings,
    FlacSettings,
    Mp3Settings,
    OpusSettings,
    Settings,
    WavSettings,
)

__all__ = [
    "FORMATS",
    "AacSettings",
    "AudioFormat",
    "ContainerReader",
    "Decoder",
    "DecoderBase",
    "Encoder",
    "EncoderBase",
    "FlacSettings",
    "Mp3Settings",
    "OpusSettings",
    "Settings",
    "WavSettings",
    "audio_format",
    "complete_header",
    "encode_whole",
    "nearest_rate",
    "open_decoder",
    "open_encoder",
    "sniff_format",
]
