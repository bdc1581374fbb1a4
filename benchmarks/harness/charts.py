"""One picture a question: every figure with its interval, and the target where it has one.

Figures whose names begin alike (``live: ...``) and that have one unit share an axis; others do not, so that
what takes milliseconds is seen beside what takes seconds.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from harness.sides import CHECKOUT

__all__ = ["FOLDER", "ChartsMissing", "draw", "panels"]

FOLDER = CHECKOUT / "docs" / "benchmarks"
COLOURS = {"pass": "#2a7f62", "fail": "#b3392f", "undecided": "#b8860b", "no target": "#4a5a78"}
ROW_IN = 0.27
TITLE_IN = 0.42
WIDTH_IN = 8.0
BEYOND = 1.6
"""An interval may reach so many times as far as the largest middle; the rest of it is cut off."""


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


def panels(figures: list[dict[str, Any]]) -> dict[tuple[str, str], list[tuple[str, dict[str, Any]]]]:
    """Return the figures by what their names begin with and by unit, each with the rest of its name."""
    heads = Counter((_head(figure["name"]), figure["unit"]) for figure in figures)
    found: dict[tuple[str, str], list[tuple[str, dict[str, Any]]]] = {}
    for figure in figures:
        head, label = _head(figure["name"]), figure["name"]
        if head and heads[head, figure["unit"]] > 1:
            label = label.removeprefix(f"{head}: ")
        else:
            head = ""
        found.setdefault((head, figure["unit"]), []).append((label, figure))
    return found


def _head(name: str) -> str:
    head, colon, _ = name.partition(": ")
    return head if colon else ""


def _draw_question(question: dict[str, Any], path: Path) -> None:
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    parts = panels(question["figures"])
    counts = [len(rows) for rows in parts.values()]
    drawn, axes = plt.subplots(
        len(parts),
        1,
        figsize=(WIDTH_IN, ROW_IN * sum(counts) + TITLE_IN * len(parts) + 0.8),
        gridspec_kw={"height_ratios": [ROW_IN * count + TITLE_IN for count in counts]},
        squeeze=False,
        layout="constrained",
    )
    for each, ((head, unit), rows) in zip(axes[:, 0], parts.items(), strict=True):
        each.set_title(", ".join(filter(None, (head, unit))), loc="left", fontsize=9, fontweight="bold")
        _draw_rows(each, rows)
    asks = question["asks"]
    drawn.suptitle(asks[0].upper() + asks[1:], x=0.01, ha="left", fontsize=10)
    present = {figure["verdict"] for figure in question["figures"]}
    marks: list[Any] = [Patch(color=COLOURS[each], label=each) for each in COLOURS if each in present]
    marks.append(Line2D([], [], color="black", linewidth=1.2, label="95 % interval"))
    if present != {"no target"}:
        marks.append(Line2D([], [], color="black", linestyle=":", linewidth=1.5, label="target"))
    drawn.legend(handles=marks, loc="outside lower left", ncols=len(marks), frameon=False, fontsize=8)
    drawn.savefig(path, metadata={"Date": None})
    plt.close(drawn)


def _draw_rows(axes: Any, rows: list[tuple[str, dict[str, Any]]]) -> None:
    """Draw bars with their intervals, and a dotted line at each target."""
    targets = [float(figure["target"].split()[1]) for _, figure in rows if figure["target"] is not None]
    middles = [figure["median"] for _, figure in rows]
    left, right = min(0.0, *middles, *targets), max(0.0, *middles, *targets) or 1.0
    most = 0.0
    for row, (_, figure) in enumerate(rows):
        colour, middle = COLOURS[figure["verdict"]], figure["median"]
        low, high = (middle if end is None else end for end in figure["interval"])
        low, high = max(low, left * BEYOND), min(high, right * BEYOND)
        most = max(most, high)
        axes.barh(row, middle, height=0.62, color=colour, alpha=0.35 if figure["noisy"] else 0.8)
        axes.plot([low, high], [row, row], color="black", linewidth=1.2, solid_capstyle="butt")
        value = "noisy" if figure["noisy"] else _short(middle)
        place = (max(high, middle, 0.0), row)
        # On a ground of its own: the target's line may run behind it.
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
        axes.annotate(value, place, xytext=(5, 0), textcoords="offset points", va="center", bbox=ground)
        if figure["target"] is not None:
            target = float(figure["target"].split()[1])
            axes.plot([target, target], [row - 0.45, row + 0.45], color="black", linestyle=":", linewidth=1.5)
    axes.set_yticks(range(len(rows)), [label for label, _ in rows])
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.set_xlim(left, max(right, most) * 1.12)
    axes.set_xticks([])  # the values stand beside the bars
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
