"""One picture a question: every figure with its interval, and the target where it has one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.sides import CHECKOUT

__all__ = ["FOLDER", "ChartsMissing", "draw"]

FOLDER = CHECKOUT / "docs" / "benchmarks"
COLOURS = {"pass": "#2a7f62", "fail": "#b3392f", "undecided": "#b8860b", "no target": "#4a5a78"}
ROW_IN = 0.42
WIDTH_IN = 8.0


class ChartsMissing(Exception):
    """There is no library to draw with."""


def draw(results: dict[str, Any], folder: Path = FOLDER) -> frozenset[str]:
    """Draw every question's picture as SVG; return the names of those drawn.  Raises ChartsMissing."""
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise ChartsMissing("charts need matplotlib: pip install 'voicetrio[bench]'") from error
    mpl.use("svg")
    # The same results give the same file.
    mpl.rcParams.update({"svg.hashsalt": "voicetrio", "svg.fonttype": "path", "font.size": 9})
    folder.mkdir(parents=True, exist_ok=True)
    for name, question in results["questions"].items():
        _draw_question(question, folder / f"{name}.svg")
    return frozenset(results["questions"])


def _draw_question(question: dict[str, Any], path: Path) -> None:
    """A row of axes for each unit: figures of different units share no axis."""
    import matplotlib.pyplot as plt

    units: dict[str, list[dict[str, Any]]] = {}
    for figure in question["figures"]:
        units.setdefault(figure["unit"], []).append(figure)
    heights = [len(figures) for figures in units.values()]
    drawn, rows = plt.subplots(
        len(units),
        1,
        figsize=(WIDTH_IN, ROW_IN * sum(heights) + 0.75 * len(units) + 0.5),
        gridspec_kw={"height_ratios": heights},
        squeeze=False,
        layout="constrained",
    )
    for axes, (unit, figures) in zip(rows[:, 0], units.items(), strict=True):
        _draw_figures(axes, unit, figures)
    asks = question["asks"]
    drawn.suptitle(asks[0].upper() + asks[1:], x=0.01, ha="left", fontsize=10, wrap=True)
    drawn.savefig(path, metadata={"Date": None})
    plt.close(drawn)


def _draw_figures(axes: Any, unit: str, figures: list[dict[str, Any]]) -> None:
    largest = max(abs(figure["median"]) for figure in figures) or 1.0
    for row, figure in enumerate(figures):
        colour = COLOURS[figure["verdict"]]
        middle = figure["median"]
        low, high = (middle if end is None else end for end in figure["interval"])
        axes.barh(row, middle, height=0.6, color=colour, alpha=0.35 if figure["noisy"] else 0.8)
        axes.plot([low, high], [row, row], color="black", linewidth=1.2, solid_capstyle="butt")
        value = "noisy" if figure["noisy"] else f"{middle:.3g}"
        axes.annotate(value, (max(high, middle), row), xytext=(5, 0), textcoords="offset points", va="center")
        if figure["target"] is not None:
            target = float(figure["target"].split()[1])
            axes.plot([target, target], [row - 0.42, row + 0.42], color="black", linestyle=":", linewidth=1.5)
            largest = max(largest, target)
    axes.set_yticks(range(len(figures)), [figure["name"] for figure in figures])
    axes.invert_yaxis()
    axes.set_xlim(left=min(0.0, *(figure["median"] for figure in figures)), right=largest * 1.2)
    axes.set_xlabel(unit)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
