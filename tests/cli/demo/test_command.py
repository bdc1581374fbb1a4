"""``voicetrio demo``, whole: a real server, a real client, the real models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from voicetrio.audio import read_wav
from voicetrio.cli import main


@pytest.mark.models
def test_the_demo_holds_a_conversation_and_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--json", "--out", str(tmp_path)]) == 0
    result = json.loads(capsys.readouterr().out)

    said = [turn["user_text"].lower() for turn in result["turns"]]
    assert len(said) == 3
    assert "go forward" in said[0]
    assert [turn["heard_text"] == turn["reply_text"] for turn in result["turns"]] == [True] * 3
    assert "two nine three four zero" in result["turns"][2]["reply_text"]
    for turn in result["turns"]:
        assert 0 < turn["stt_ms"] < turn["response_ms"]
        assert turn["endpoint_ms"] <= turn["response_ms"]

    barge_in = result["barge_in"]
    assert barge_in["stale_frames"] == 0
    assert 200 <= barge_in["speech_to_duck_ms"] <= barge_in["speech_to_silence_ms"]
    assert barge_in["heard_word_error"] <= 0.25
    assert result["typed"][0]["reply_text"].startswith("You heard me say: Hello")
    assert barge_in["heard_text"].rstrip(",.") in result["typed"][0]["reply_text"]
    assert result["resumed"]["ducked"]
    assert result["resumed"]["heard_whole"]
    assert result["session_end"]["reason"] == "source_ended"
    assert (result["session_end"]["late"], result["session_end"]["abandoned"]) == ([], [])
    assert result["frames_after_end"] == result["tasks_left"] == result["threads_left"] == 0

    both, rate = read_wav(tmp_path / "demo.wav", mono=False)
    assert (rate, both.ndim, both.shape[1]) == (24000, 2, 2)
    assert (np.abs(both).max(axis=0) > 3000).all()
    page = (tmp_path / "demo.html").read_text(encoding="utf-8")
    assert "Go forward" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.models
def test_a_port_in_use_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("earshot")
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["demo", "--port", str(port), "--out", str(tmp_path)]) == 1
    error = capsys.readouterr().err.strip()
    assert "in use" in error
    assert str(port) in error
    assert len(error.splitlines()) == 1
