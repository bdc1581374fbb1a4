"""The pictures: which figures share an axis, and that the same results give the same file."""

import pytest
from harness import charts


def a_figure(name, unit, *, target=None, median=1.0, interval=(0.9, 1.1), verdict="no target", noisy=False):
    return {
        "name": name,
        "unit": unit,
        "target": target,
        "median": median,
        "interval": list(interval),
        "verdict": verdict,
        "noisy": noisy,
    }


def test_figures_that_begin_alike_and_have_one_unit_share_an_axis():
    figures = [
        a_figure("live: ours", "us"),
        a_figure("live: theirs", "us"),
        a_figure("live: ratio", "x"),
        a_figure("alone", "us"),
    ]
    found = {key: [label for label, _ in rows] for key, rows in charts.panels(figures).items()}
    assert found == {("live", "us"): ["ours", "theirs"], ("", "x"): ["live: ratio"], ("", "us"): ["alone"]}


def test_the_same_results_give_the_same_picture(tmp_path):
    pytest.importorskip("matplotlib")
    figures = [
        a_figure("live: ours", "us", target="<= 7", verdict="pass"),
        a_figure("live: theirs", "us", median=4000.0, interval=(None, None), noisy=True),
        a_figure("loss", "dB", median=-3.0, interval=(-4.0, -2.0), target=">= -6", verdict="undecided"),
        a_figure("stale", "frames", median=0.0, interval=(0.0, 0.0), target="<= 0", verdict="pass"),
    ]
    results = {"questions": {"q": {"asks": "how much?", "figures": figures}}}
    assert charts.draw(results, tmp_path / "a") == {"q"}
    charts.draw(results, tmp_path / "b")
    first, second = ((tmp_path / folder / "q.svg").read_bytes() for folder in ("a", "b"))
    assert first == second
    assert first.startswith(b"<?xml")
