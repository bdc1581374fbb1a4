"""The command line as its user meets it: help, versions, statuses, and errors of one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import trio
from cyclopts import App

import voicetrio.cli.command_line as command_line
from voicetrio.errors import ConfigError
from voicetrio.version import __version__


def subcommands() -> list[str]:
    return [name for name in command_line.app if not name.startswith("-")]


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in subcommands())


@pytest.mark.parametrize("name", subcommands())
def test_each_commands_help_gives_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main([name, "--help"]) == 0
    assert f"Example: voicetrio {name}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("arguments", [["nonsense"], ["doctor", "--jsn"], ["doctor", "extra"]])
def test_wrong_usage_is_one_line_and_status_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("voicetrio: ")
    assert captured.err.count("\n") == 1
    assert f"(see: voicetrio {'doctor ' if arguments[0] == 'doctor' else ''}--help)" in captured.err


@pytest.mark.parametrize("command", [["demo"], ["talk", "any.wav"]])
def test_a_file_in_the_place_of_a_folder_is_told(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for name in ("file", "file/inside"):
        assert command_line.main([*command, "--out", str(tmp_path / name)]) == 1
        assert capsys.readouterr().err.endswith("a file of that name is in the way: name a folder\n")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConfigError("the port is wrong:\n use 8765"), "voicetrio: the port is wrong: use 8765\n"),
        (
            FileNotFoundError(2, "No such file or directory", "a.wav"),
            "voicetrio: a.wav: No such file or directory\n",
        ),
        (ExceptionGroup("g", [ConfigError("one"), ConfigError("two")]), "voicetrio: one\nvoicetrio: two\n"),
    ],
)
def test_an_error_is_one_line_and_status_1(
    error: Exception, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command_line, "app", app_that_raises(error))
    assert command_line.main([]) == 1
    assert capsys.readouterr() == ("", line)


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "app", app_that_raises(KeyError("bug")))
    with pytest.raises(KeyError):
        command_line.main([])


@pytest.mark.parametrize("group", [False, True])
def test_ctrl_c_is_status_130_wherever_it_was_met(group: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    error: BaseException = KeyboardInterrupt()
    if group:
        error = BaseExceptionGroup("nursery", [BaseExceptionGroup("inner", [error])])
    monkeypatch.setattr(command_line, "app", app_that_raises(error))
    assert command_line.main([]) == 130


def test_another_group_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "app", app_that_raises(BaseExceptionGroup("g", [GeneratorExit()])))
    with pytest.RaisesGroup(GeneratorExit):
        command_line.main([])


def app_that_raises(error: BaseException) -> App:
    app = App(
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )

    @app.default
    def fail() -> None:
        raise error

    return app


def test_python_m_voicetrio_is_the_same_command() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{__version__}\n", "")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the installed package says that it requires; the tests may run from the source alone."""
    requirements = ["trio>=0.31", "pytest>=8; extra == 'test'", "voicetrio[local]; extra == 'test'"]
    monkeypatch.setattr("importlib.metadata.requires", lambda package: requirements)
    return requirements


def test_doctor_prints_one_object_and_nothing_else(
    installed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    installed.append('trio>=0.31; python_version > "3" and extra == "local"')
    assert command_line.main(["doctor", "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    report = json.loads(captured.out)
    assert report["voicetrio"] == __version__
    assert report["packages"] == {"trio": trio.__version__}
    assert report["extras"]["local"] == {
        "complete": True,
        "packages": {"trio": trio.__version__},
        "mend": None,
    }
    assert report["extras"]["test"]["packages"] == {"pytest": pytest.__version__}
    assert 0 <= report["timers"]["median_ms"] <= report["timers"]["p99_ms"] <= report["timers"]["worst_ms"]


def test_doctor_says_how_to_mend_an_extra_that_is_missing(
    installed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    installed.append("no-such-package-as-this==1; extra == 'local'")
    assert command_line.main(["doctor"]) == 0
    assert "pip install 'voicetrio[local]'" in capsys.readouterr().out


def test_doctor_of_a_source_that_is_not_installed_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def requires(package: str) -> list[str]:
        raise PackageNotFoundError(package)

    monkeypatch.setattr("importlib.metadata.requires", requires)
    assert command_line.main(["doctor"]) == 1
    assert "pip install -e ." in capsys.readouterr().err


def test_a_reader_that_leaves_early_is_no_traceback() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "voicetrio", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 1


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "voicetrio", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.models
def test_doctor_loads_the_models_when_asked_to(
    installed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main(["doctor", "--models", "--json"]) == 0
    loaded = json.loads(capsys.readouterr().out)["models"]
    assert loaded
    assert all(seconds > 0 for seconds in loaded.values())
