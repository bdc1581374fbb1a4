"""The recordings that the package ships."""

from __future__ import annotations

import wave

import pytest

from voicetrio.data import speech_files, speech_path
from voicetrio.errors import ConfigError


def test_every_recording_is_what_its_entry_says() -> None:
    recordings = speech_files()
    assert len(recordings) == 7
    for recording in recordings:
        with wave.open(str(recording.path), "rb") as file:
            assert file.getframerate() == recording.rate_hz == 16000
            assert file.getnchannels() == recording.channels == 1
            assert file.getsampwidth() == 2
            assert file.getnframes() / file.getframerate() == pytest.approx(recording.duration_s, abs=0.01)
        assert recording.transcript == recording.transcript.lower()


def test_a_recording_is_found_by_its_name() -> None:
    assert speech_path("go-forward.wav").is_file()


def test_the_recordings_come_with_their_licence() -> None:
    licence = speech_path("go-forward.wav").with_name("LICENSE").read_text(encoding="utf-8")
    assert "Carnegie Mellon University" in licence


def test_an_unknown_name_is_answered_with_the_names_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no recording is named '../x'.*go-forward\.wav"):
        speech_path("../x")
