"""Tones to encode, and how to find them again."""

from __future__ import annotations

import io

import av
import numpy as np

from voicetrio.audio.codecs import FORMATS, open_decoder, open_encoder

HEADERLESS = ("pcm", "mulaw", "alaw")
RATES = {name: 8000 if name in ("mulaw", "alaw") else 16000 if name == "g722" else 24000 for name in FORMATS}
PRIMING = {"mp3": 2304, "aac": 2048}
"""The most samples that decoding may add."""


def tone(sample_count: int, rate: int, hz: float = 440.0) -> np.ndarray:
    phase = 2 * np.pi * hz / rate * np.arange(sample_count)
    return np.rint(8000 * np.sin(phase)).astype(np.int16)


def pieces(whole, size: int):
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def encode(format: str, samples: np.ndarray, rate: int, piece: int = 480, **settings) -> bytes:
    with open_encoder(format, rate, **settings) as encoder:
        return b"".join([encoder.encode(part) for part in pieces(samples, piece)] + [encoder.finish()])


def decode(format: str, body: bytes, rate: int, piece: int = 4096) -> tuple[np.ndarray, int, str | None]:
    with open_decoder(format, rate=rate if format in HEADERLESS else None) as decoder:
        parts = [decoder.decode(part) for part in pieces(body, piece)] + [decoder.finish()]
        return np.concatenate(parts), decoder.rate, decoder.damage


def foreign_decode(format: str, body: bytes, rate: int) -> tuple[int, int]:
    """Decode with the library's own demuxers; return the number of samples and the rate."""
    raw = {"pcm": "s16le", "mulaw": "mulaw", "alaw": "alaw", "g722": "g722"}
    name = raw.get(format, {"opus": "ogg"}.get(format, format))
    options = {"sample_rate": str(rate)} if format in HEADERLESS else {}
    with av.open(io.BytesIO(body), format=name, options=options) as container:
        frames = list(container.decode(audio=0))
    return sum(frame.samples for frame in frames), frames[0].sample_rate


def assert_length(format: str, decoded: int, decoded_rate: int, expected: int, rate: int) -> None:
    if format in PRIMING:
        assert 0 <= decoded - expected <= PRIMING[format]
    elif format == "g722":
        assert decoded == expected + expected % 2  # one byte stands for two samples
    else:
        assert decoded == expected * decoded_rate // rate


def loudest_hz(samples: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return float(np.argmax(spectrum)) * rate / samples.size
