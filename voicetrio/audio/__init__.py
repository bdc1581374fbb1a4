"""Sound as arrays: PCM, G.711, WAV, resampling, framing, fades, clips and the mixer.

Nothing here knows trio or a session: plain functions and small stateful objects over int16 numpy arrays.
PyAV is imported when a resampler or a clip first needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicetrio.audio.clip import load_bed, load_clip, room_tone
from voicetrio.audio.fades import GainRamp, fade_in_gains, fade_out_gains, seamless_loop
from voicetrio.audio.mixer import Mixer, OneShot
from voicetrio.audio.pcm import (
    add_saturating,
    db_to_gain,
    dbfs,
    from_float,
    gain_to_db,
    rms,
    to_float,
    to_mono,
    voiced_span,
)
from voicetrio.audio.resample import FrameResampler, Resampler, resample_whole, scale_position
from voicetrio.late import late_names

if TYPE_CHECKING:
    from voicetrio.audio.framing import Reframer, frame_samples
    from voicetrio.audio.g711 import alaw_decode, alaw_encode, mulaw_decode, mulaw_encode
    from voicetrio.audio.wav import WavReader, WavWriter, read_wav, wav_bytes, wav_header

__all__ = [
    "FrameResampler",
    "GainRamp",
    "Mixer",
    "OneShot",
    "Reframer",
    "Resampler",
    "WavReader",
    "WavWriter",
    "add_saturating",
    "alaw_decode",
    "alaw_encode",
    "db_to_gain",
    "dbfs",
    "fade_in_gains",
    "fade_out_gains",
    "frame_samples",
    "from_float",
    "gain_to_db",
    "load_bed",
    "load_clip",
    "mulaw_decode",
    "mulaw_encode",
    "read_wav",
    "resample_whole",
    "rms",
    "room_tone",
    "scale_position",
    "seamless_loop",
    "to_float",
    "to_mono",
    "voiced_span",
    "wav_bytes",
    "wav_header",
]

_LATE = {
    "voicetrio.audio.framing": ("Reframer", "frame_samples"),
    "voicetrio.audio.g711": ("alaw_decode", "alaw_encode", "mulaw_decode", "mulaw_encode"),
    "voicetrio.audio.wav": ("WavReader", "WavWriter", "read_wav", "wav_bytes", "wav_header"),
}

__getattr__ = late_names(__name__, _LATE)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
