"""The questions of this checkout, and the command that asks them."""

from pathlib import Path

import pytest
from harness import questions
from harness.run import MINUTES

from voicetrio.cli import main
from voicetrio.cli.bench import find_benchmarks
from voicetrio.errors import ConfigError


def test_every_question_has_the_name_of_its_file():
    files = {path.stem for path in questions.FOLDER.glob("*.py")}
    every = questions.find_all()
    assert every
    assert {question.name for question in every} <= files


def test_every_question_says_what_its_numbers_do_not_say():
    for question in questions.find_all():
        assert question.asks.endswith("?"), question.name
        assert "\n" not in question.asks
        assert question.does_not_say.endswith("."), question.name
        assert all(Path(side.file).is_file() for side in question.sides), question.name


def test_the_list_has_a_line_a_question(capsys, monkeypatch):
    monkeypatch.chdir(questions.FOLDER.parent)
    assert main(["bench", "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(questions.find_all())


def test_everything_fits_in_twenty_minutes_beside_setting_up_the_peers():
    planned_s = sum(question.planned_s() for question in questions.find_all())
    assert planned_s <= MINUTES * 60


def test_an_unknown_question_is_a_wrong_command_line(capsys, monkeypatch):
    monkeypatch.chdir(questions.FOLDER.parent)
    assert main(["bench", "nothing"]) == 2
    assert "no question nothing" in capsys.readouterr().err


def test_without_a_checkout_the_command_says_where_to_run_it(tmp_path, monkeypatch):
    monkeypatch.setattr("voicetrio.cli.bench.__file__", str(tmp_path / "a" / "b" / "c" / "bench.py"))
    with pytest.raises(ConfigError, match="in a checkout"):
        find_benchmarks(tmp_path)
