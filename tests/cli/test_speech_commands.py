"""``say``, ``transcribe`` and ``speech`` as their user meets them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import voicetrio.cli.command_line as command_line
from voicetrio.audio import read_wav
from voicetrio.cli.measures import word_error_rate

COMMAND = (sys.executable, "-m", "voicetrio")


def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run((*COMMAND, *arguments), input=stdin, capture_output=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["say", "hi", "-o", "x.zzz"], "x.zzz: which format?"),
        (["say", "hi", "--speed", "9"], "--speed is from 0.25 to 4"),
        (["say", "...", "-o", "x.wav"], "nothing that can be said"),
        (["say", "hi", "--voice", "zork", "-o", "x.wav"], "there is no voice 'zork'"),
        (["say", "<speak>", "--ssml", "-o", "x.wav"], "SSML, line 1"),
        (["say", "hi", "--bit-rate", "5", "-o", "x.mp3"], "bit_rate"),
        (["say", "hi", "--bit-rate", "64000", "-o", "x.wav"], "wav has no setting 'bit_rate'"),
        (["say", "--bogus"], "there is no option --bogus"),
        (["transcribe", "--bogus"], "there is no option --bogus"),
        (["transcribe", "missing.wav"], "missing.wav: No such file or directory"),
        (["transcribe", "missing.wav", "--words"], "--words needs --format verbose_json"),
        (["speech", "--host", "0.0.0.0"], "--allow-anonymous"),
        (["speech", "--workers", "0"], "at least 1 worker, not 0"),
        (["speech", "--engine", "zork"], "there is no engine 'zork'"),
        (["speech", "--max-active", "0"], "max_active"),
        (["speech", "--max-active-a-key", "0"], "max_active_a_key"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(arguments, told, capsys, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert command_line.main(arguments) == 1
    error = capsys.readouterr().err
    assert told in error
    assert error.count("voicetrio: ") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["say", "hi"], ["transcribe", "missing.wav"]])
def test_a_file_that_cannot_be_written_is_told_before_the_work(
    command, capsys, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.wav").mkdir()
    assert command_line.main([*command, "-o", "folder.wav"]) == 1
    assert capsys.readouterr().err == "voicetrio: folder.wav: it is a folder: name a file in it\n"
    assert command_line.main([*command, "-o", "missing/a.wav"]) == 1
    assert capsys.readouterr().err == "voicetrio: missing/a.wav: there is no folder missing\n"


def test_what_is_no_text_is_told(capsys, tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_bytes(b"sch\xfcssel-of-some-length")
    assert command_line.main(["speech", "--keys-file", str(keys)]) == 1
    assert capsys.readouterr().err == f"voicetrio: {keys}: it is not UTF-8 text\n"
    said = run("say", "-", "-o", str(tmp_path / "a.wav"), stdin=b"sch\xfcssel")
    assert (said.returncode, said.stderr) == (1, b"voicetrio: standard input: it is not UTF-8 text\n")


def test_a_file_that_is_no_recording_is_told(capsys, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"no audio")
    assert command_line.main(["transcribe", str(tmp_path / "a.wav"), "--quiet"]) == 1
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.models
def test_what_is_said_through_a_pipe_is_transcribed() -> None:
    text = "Hello there, this is a test of the pipe."
    said = run("say", "-", "-o", "-", "--format", "opus", stdin=text.encode())
    assert said.returncode == 0, said.stderr
    heard = run("transcribe", "--format", "json", "--quiet", stdin=said.stdout)
    assert heard.returncode == 0, heard.stderr
    assert word_error_rate(text, json.loads(heard.stdout)["text"]) <= 0.2


@pytest.mark.models
def test_it_says_what_it_wrote(tmp_path: Path) -> None:
    said = run("say", "One two three.", "-o", str(tmp_path / "a.wav"))
    assert said.returncode == 0
    samples, rate = read_wav(tmp_path / "a.wav")
    assert said.stderr.decode() == f"{tmp_path / 'a.wav'}: {samples.size / rate:.1f} s\n"
    said = run("say", "One two three.", "-o", str(tmp_path / "a.wav"), "--quiet")
    assert (said.returncode, said.stderr) == (0, b"")


@pytest.mark.models
def test_a_pipe_whose_reader_leaves_ends_the_speaking_without_a_traceback() -> None:
    text = "one two three four five six. " * 20
    with subprocess.Popen(
        (*COMMAND, "say", "-", "-o", "-"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as voice:
        assert voice.stdin is not None
        assert voice.stdout is not None
        assert voice.stderr is not None
        voice.stdin.write(text.encode())
        voice.stdin.close()
        assert voice.stdout.read(4) == b"RIFF"
        voice.stdout.close()
        assert voice.wait(60) == 1
        assert b"Traceback" not in voice.stderr.read()


@pytest.mark.models
def test_the_server_serves_until_it_is_interrupted() -> None:
    with subprocess.Popen(
        (*COMMAND, "speech", "--port", "0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"COLUMNS": "200", "PYTHONUNBUFFERED": "1"},
    ) as server:
        assert server.stdout is not None
        line = server.stdout.readline().decode()
        url = line.split()[2]
        with urllib.request.urlopen(f"{url}/readyz", timeout=60) as answer:
            assert answer.read() == b"ready\n"
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
