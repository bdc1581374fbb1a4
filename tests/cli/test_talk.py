"""``voicetrio talk`` on recordings that can be read, and on files that cannot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from voicetrio.audio import WavWriter, read_wav, resample_whole
from voicetrio.cli import main
from voicetrio.data import speech_path


@pytest.mark.models
def test_the_agent_answers_a_recording_of_another_rate_in_stereo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples, rate = read_wav(speech_path("go-forward.wav"))
    other = resample_whole(samples, rate, 44100)
    path = tmp_path / "stereo.wav"
    with WavWriter(path, 44100, channels=2) as writer:
        writer.write(np.stack([other, other], axis=1))
    assert main(["talk", str(path), "--json", "--out", str(tmp_path)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [turn["heard_text"] for turn in result["turns"]] == ["Going forward ten meters."]
    assert result["session_end"]["reason"] == "source_ended"
    assert result["tasks_left"] == result["threads_left"] == result["frames_after_end"] == 0
    assert (tmp_path / "talk.wav").stat().st_size > 44
    assert "Going forward" in (tmp_path / "talk.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("empty.wav", b"", "empty"),
        ("text.wav", b"this is not audio at all, but text", "not a WAV file"),
        ("head.wav", speech_path("go-forward.wav").read_bytes()[:30], "truncated"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line_before_any_model_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, why: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert main(["talk", str(tmp_path / name)]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    error = " ".join(output.err.split())
    assert name in error
    assert why in error


def test_a_missing_file_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["talk", "nowhere.wav"]) == 1
    assert capsys.readouterr().err.strip() == "voicetrio: nowhere.wav: no such file"
