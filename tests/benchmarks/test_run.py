"""The command: what it asks, and how it ends."""

import pytest
from harness import run
from harness.sides import SideFailed


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (KeyboardInterrupt(), 130, "mixing: interrupted; it and those after it were not asked"),
        (SideFailed("numpy: it broke"), 1, "mixing: numpy: it broke"),
    ],
    ids=["Ctrl-C", "a side that fails"],
)
def test_its_status_tells_how_it_ended(raised, status, said, monkeypatch, capsys):
    def ask(*_arguments, **_named):
        raise raised

    monkeypatch.setattr(run, "ask", ask)
    assert run.bench(["mixing"], write=False) == status
    assert said in capsys.readouterr().err


def test_a_question_that_does_not_exist_is_wrong_usage(capsys):
    assert run.bench(["mixin"]) == 2
    assert "mixin" in capsys.readouterr().err
