"""Sounds for beds and one-shots: from any file that FFmpeg decodes, or made here.

A clip is a plain array, int16 mono at the rate of the mixer that plays it, made once and shared by every
session.  Loading reads and decodes a whole file: do it before a session, or in a worker thread.
"""

from __future__ import annotations

import io
import math
import os
from typing import Any, BinaryIO, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from voicetrio.audio.fades import seamless_loop
from voicetrio.audio.pcm import db_to_gain, from_float
from voicetrio.audio.resample import resample_whole
from voicetrio.errors import AudioError, ConfigError
from voicetrio.frames import Samples

__all__ = ["load_bed", "load_clip", "room_tone"]

ClipSource: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview
"""Where a clip comes from: a path, or the bytes of a file."""

_DEFAULT_MAX_S: Final = 600.0


def load_clip(source: ClipSource, rate: int, *, max_s: float = _DEFAULT_MAX_S) -> Samples:
    """Decode ``source`` and return it as int16 mono at ``rate`` hertz.

    Takes the file's first audio track in any format that FFmpeg decodes; channels are mixed down.
    Raises AudioError, naming the file and the reason, when it is missing, empty, holds no audio that can be
    decoded, or plays longer than ``max_s`` seconds (a small file can unpack to hours).
    """
    if rate <= 0:
        raise ConfigError(f"a clip's rate must be positive: {rate}")
    import av  # imported when first used: it loads the codecs of FFmpeg

    file, name = _open(source)
    with file:
        if not file.read(1):
            raise AudioError(f"{name}: the file is empty")
        file.seek(0)
        try:
            with av.open(file, "r") as container:
                samples, native_hz = _decode(container, name, max_s)
        except av.error.FFmpegError as error:
            raise AudioError(f"{name}: not audio that can be decoded ({error.strerror})") from error
    return resample_whole(samples, native_hz, rate)


def load_bed(
    source: ClipSource, rate: int, *, seam_s: float = 0.05, max_s: float = _DEFAULT_MAX_S
) -> Samples:
    """Load a clip and make it loop: its last ``seam_s`` seconds are cross-faded into its beginning."""
    return seamless_loop(load_clip(source, rate, max_s=max_s), round(seam_s * rate))


def room_tone(rate: int, duration_s: float = 10.0, *, seed: int = 1, level_dbfs: float = -42.0) -> Samples:
    """Return the quiet noise of a large room, int16 mono, that loops without a seam.

    Air conditioning rather than people: noise that falls 4.5 dB an octave above 120 Hz, darker above
    2.5 kHz, and swells slowly by about 2 dB.  ``level_dbfs`` is its RMS.  The same arguments give
    the same samples.
    """
    count = round(rate * duration_s)
    if count < 2 or rate <= 0:
        raise ConfigError(f"room tone of {duration_s} s at {rate} Hz has no samples")
    random = np.random.default_rng(seed)
    # Made from its spectrum: the inverse transform of a whole period repeats by itself.
    hertz = np.fft.rfftfreq(count, 1.0 / rate)
    phases = random.uniform(0.0, 2.0 * math.pi, hertz.size)
    noise = np.fft.irfft(_room_spectrum(hertz) * np.exp(1j * phases), count)
    noise *= _swell(count, random)
    noise *= db_to_gain(level_dbfs) / math.sqrt(float(np.mean(noise**2)))
    return from_float(noise)


def _open(source: ClipSource) -> tuple[BinaryIO, str]:
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source), "the audio data"
    name = os.fspath(source)
    try:
        return open(name, "rb"), name
    except OSError as error:
        why = (
            "no such file" if isinstance(error, FileNotFoundError) else (error.strerror or str(error)).lower()
        )
        raise AudioError(f"{name}: {why}") from error


def _decode(container: Any, name: str, max_s: float) -> tuple[Samples, int]:
    """Return the first audio track, mixed down, at its own rate."""
    import av

    if not container.streams.audio:
        raise AudioError(f"{name}: holds no audio track")
    rate = 0
    total = 0
    parts: list[Samples] = []
    to_mono = av.AudioResampler(format="s16", layout="mono")
    for frame in container.decode(audio=0):
        if rate and frame.sample_rate != rate:
            raise AudioError(
                f"{name}: changes its sample rate from {rate} to {frame.sample_rate} Hz on the way"
            )
        rate = frame.sample_rate
        total += frame.samples
        if total > max_s * rate:
            raise AudioError(f"{name}: plays longer than {max_s:g} s")
        parts += (mono.to_ndarray()[0] for mono in to_mono.resample(frame))
    if not total:
        raise AudioError(f"{name}: holds no samples")
    return np.concatenate(parts), rate


def _room_spectrum(hertz: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Return the amplitude at each frequency."""
    falling = (np.maximum(hertz, 120.0) / 120.0) ** -0.75  # power falls 4.5 dB an octave
    walls = 1.0 / np.sqrt(1.0 + (hertz / 2500.0) ** 4)
    rumble = hertz**2 / (hertz**2 + 60.0**2)  # small loudspeakers cannot play it, and it would eat headroom
    spectrum: npt.NDArray[np.float64] = falling * walls * rumble
    return spectrum


def _swell(count: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return a slow envelope around 1 that is periodic in ``count`` samples."""
    turn = np.arange(count) * (2.0 * math.pi / count)
    envelope = np.ones(count)
    for cycles, depth in ((1, 0.12), (2, 0.08), (3, 0.05)):
        envelope += depth * np.sin(cycles * turn + random.uniform(0.0, 2.0 * math.pi))
    return envelope
