"""What can be chosen for each format.  The defaults get the first byte out early at good speech quality."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import attrs
from attrs.validators import and_, ge, in_, instance_of, le, optional

from voicetrio.errors import ConfigError

__all__ = [
    "AacSettings",
    "FlacSettings",
    "Mp3Settings",
    "OpusSettings",
    "Settings",
    "WavSettings",
    "make_settings",
]


def _between(low: int, high: int) -> Any:
    return and_(instance_of(int), ge(low), le(high))


@attrs.frozen
class PlainSettings:
    """Nothing can be chosen: pcm, mulaw, alaw, g722."""


@attrs.frozen
class WavSettings:
    """WAV."""

    sample_count: int | None = attrs.field(default=None, validator=optional(_between(0, 2**30)))
    """How many samples will come, if that is known: the header then tells the true size.  Without it the
    header says ``0xFFFFFFFF``, which players read as *until the end*."""


@attrs.frozen
class Mp3Settings:
    """MP3, constant bit rate, without the Xing frame that a stream cannot fill in."""

    bit_rate: int = attrs.field(default=128_000, validator=_between(8_000, 320_000))
    """Bits per second; the encoder takes the nearest that exists at the sample rate."""
    compression_level: int = attrs.field(default=7, validator=_between(0, 9))
    """0 is the best quality, 9 the fastest; 7 costs half of the library's default of 5."""


@attrs.frozen
class AacSettings:
    """AAC-LC in ADTS frames of 1024 samples."""

    bit_rate: int = attrs.field(default=64_000, validator=_between(8_000, 256_000))
    """Bits per second."""
    coder: Literal["fast", "twoloop"] = attrs.field(default="fast", validator=in_(("fast", "twoloop")))
    """``twoloop`` is better below 48 kbit/s and five times slower."""


@attrs.frozen
class OpusSettings:
    """Opus in Ogg pages."""

    bit_rate: int = attrs.field(default=48_000, validator=_between(6_000, 256_000))
    """Bits per second, on the average."""
    application: Literal["audio", "voip", "lowdelay"] = attrs.field(
        default="audio", validator=in_(("audio", "voip", "lowdelay"))
    )
    complexity: int = attrs.field(default=5, validator=_between(0, 10))
    """0 is the fastest, 10 the best; above 5 speech hardly gains and costs twice as much."""
    frame_ms: int = attrs.field(default=20, validator=in_((5, 10, 20, 40, 60)))
    page_ms: int = attrs.field(default=20, validator=_between(5, 1000))
    """Audio in one Ogg page.  Longer pages cost fewer bytes (28 each) and delay every byte by as much."""
    serial: int = attrs.field(default=1, validator=_between(0, 2**32 - 1))
    """The stream's number in its Ogg file; give each its own if you join streams."""


@attrs.frozen
class FlacSettings:
    """FLAC."""

    compression_level: int = attrs.field(default=2, validator=_between(0, 12))
    """0 to 2 make blocks of about 25 ms, 3 and more of about 100 ms, which are some 20 % smaller."""


Settings: TypeAlias = PlainSettings | WavSettings | Mp3Settings | AacSettings | OpusSettings | FlacSettings
"""The settings of any format."""

_CLASSES: Final[dict[str, type[Settings]]] = {
    "wav": WavSettings,
    "mp3": Mp3Settings,
    "aac": AacSettings,
    "opus": OpusSettings,
    "flac": FlacSettings,
}


def make_settings(format_name: str, values: dict[str, Any]) -> Settings:
    """Return the settings of one format.

    Raises ConfigError, which names the setting, for one that the format does not have or a value that it
    cannot take.
    """
    cls = _CLASSES.get(format_name, PlainSettings)
    known = [field.name for field in attrs.fields(cls)]
    for name in values:
        if name not in known:
            choice = f"choose from {', '.join(known)}" if known else "it has none"
            raise ConfigError(f"{format_name} has no setting {name!r}: {choice}")
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{format_name}: {error.args[0]}") from None
