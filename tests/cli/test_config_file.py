from __future__ import annotations

from pathlib import Path

import pytest

from voicetrio.cli import config_file, serve
from voicetrio.cli.command_line import main
from voicetrio.cli.serve_options import ServeOptions, read_tokens
from voicetrio.errors import ConfigError


@pytest.fixture
def served(monkeypatch) -> list[ServeOptions]:
    """The options that ``voicetrio serve`` would have run with."""
    found: list[ServeOptions] = []
    monkeypatch.setattr(serve, "run_command", lambda command: found.append(command.args[0]) or 0)
    return found


def write(folder: Path, text: str) -> str:
    path = folder / "serve.toml"
    path.write_text(text)
    return str(path)


def test_a_file_has_the_names_of_the_flags(served, tmp_path):
    file = write(
        tmp_path,
        """
        port = 9000
        max_sessions = 7
        max-lag-ms = 12.5      # as the flag is written
        bed = false
        allowed_origin = ["https://a.example", "https://b.example"]
        token_file = "tokens.txt"
        """,
    )
    assert main(["serve", "--config", file]) == 0
    (options,) = served
    assert (options.port, options.max_sessions, options.bed, options.greeting) == (9000, 7, False, True)
    assert options.allowed_origin == ("https://a.example", "https://b.example")
    assert options.token_file == Path("tokens.txt")
    assert options.settings().max_lag_s == pytest.approx(0.0125)
    assert options.settings().max_sessions == 7


def test_the_command_line_goes_before_the_file(served, tmp_path):
    file = write(tmp_path, "port = 9000\nbed = true\nmax_sessions = 7\n")
    assert main(["serve", "--port", "9001", "--config", file, "--no-bed"]) == 0
    assert (served[0].port, served[0].bed, served[0].max_sessions) == (9001, False, 7)


def test_without_a_file_the_defaults_are_those_of_the_server(served):
    assert main(["serve"]) == 0
    assert served[0] == ServeOptions()


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("port = 9000\n\nmax_sesions = 7\n", 3, ["max_sesions"]),
        ("# a comment\nport = 'abc'\n", 2, ["abc", "int"]),
        ("host = 'localhost'\nmax_sessions = 0\n", 2, ["0", "max_sessions"]),
        ("port = 9000\nbed = maybe\n", 2, ["Invalid value"]),
        ("port = 9000\nport = 9001\n", 2, ["overwrite"]),
        ("port = 9000\n[server]\nhost = 'x'\n", 2, ["not in a table"]),
        ("a = '''\nport = 5\n", 3, []),
        ("port = 9000\nconfig = 'other.toml'\n", 2, ["another"]),
    ],
    ids=["unknown", "type", "range", "syntax", "twice", "table", "unclosed", "nested"],
)
def test_what_is_wrong_is_told_with_its_line(served, tmp_path, capsys, text, line, words):
    file = write(tmp_path, text)
    assert main(["serve", "--config", file]) in (1, 2)
    assert not served
    told = "".join(capsys.readouterr().err.split("\n"))
    assert f"serve.toml:{line}" in told
    for word in words:
        assert word in told


def test_a_missing_file_is_one_line(served, tmp_path, capsys):
    assert main(["serve", "--config", str(tmp_path / "no.toml")]) == 1
    assert "No such file" in capsys.readouterr().err


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        config_file.read_options(tmp_path / "x.toml")


def test_tokens_are_read_by_name(tmp_path):
    file = tmp_path / "tokens.txt"
    file.write_text("# who may come\nada: a long token: with a colon\n\n bob : another long token\n")
    assert read_tokens(file) == {"ada": "a long token: with a colon", "bob": "another long token"}


@pytest.mark.parametrize(("text", "line"), [("ada\n", 1), ("ada: x\nada: y\n", 2), ("\n: x", 2)])
def test_bad_tokens_are_told_with_their_line(tmp_path, text, line):
    file = tmp_path / "tokens.txt"
    file.write_text(text)
    with pytest.raises(ConfigError, match=rf"tokens\.txt:{line}: "):
        read_tokens(file)
