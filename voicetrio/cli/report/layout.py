"""Placing labels so that none covers another."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["LABEL_PADDING_PX", "label_width_px", "stack_labels"]

CHARACTER_PX = 7.7
"""The width of an average character of the labels' font, on the wide side."""
LABEL_PADDING_PX = 12.0


def label_width_px(text: str) -> float:
    """Return the width that a label of ``text`` is given, in pixels."""
    return len(text) * CHARACTER_PX + LABEL_PADDING_PX


def stack_labels(labels: Sequence[tuple[float, float]]) -> list[int]:
    """Return the row of each label, 0 first, such that no two in a row overlap.

    Args:
        labels: the left edge and the width of each, in the same unit, sorted by left edge.
    """
    ends: list[float] = []
    rows: list[int] = []
    for left, width in labels:
        row = next((row for row, end in enumerate(ends) if end <= left), len(ends))
        if row == len(ends):
            ends.append(0.0)
        ends[row] = left + width
        rows.append(row)
    return rows
