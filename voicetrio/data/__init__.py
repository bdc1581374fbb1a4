"""What the package ships beside code: a few recordings of human speech, with their transcripts.

The recordings are 16 kHz, mono, 16-bit WAV files; ``speech/LICENSE`` names where they come from.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import attrs

from voicetrio.errors import ConfigError

__all__ = ["SpeechFile", "speech_files", "speech_path"]

_SPEECH = Path(str(files(__package__))) / "speech"


@attrs.frozen
class SpeechFile:
    """One recording of somebody who speaks."""

    name: str
    """The file's name, for ``speech_path``."""
    transcript: str
    """What is said, in lower case, without punctuation, numbers as words."""
    rate_hz: int
    channels: int
    duration_s: float

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return _SPEECH / self.name


def speech_files() -> tuple[SpeechFile, ...]:
    """Return every recording that the package ships, sorted by name."""
    rows = json.loads((_SPEECH / "transcripts.json").read_text(encoding="utf-8"))
    recordings = (
        SpeechFile(row["file"], row["transcript"], row["rate_hz"], row["channels"], row["seconds"])
        for row in rows
    )
    return tuple(sorted(recordings, key=lambda recording: recording.name))


def speech_path(name: str) -> Path:
    """Return where the recording ``name`` lies, for example ``go-forward.wav``.

    Raises ConfigError, with the names that there are, when there is none of that name.
    """
    known = [recording.name for recording in speech_files()]
    if name not in known:
        raise ConfigError(f"no recording is named {name!r}: the package has {', '.join(known)}")
    return _SPEECH / name
