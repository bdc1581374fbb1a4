"""A waveform as an SVG that stretches to any size: the lowest and the highest sample of each column."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from voicetrio.cli.report.html import Html, tag
from voicetrio.frames import Samples

__all__ = ["draw_waveform", "envelope"]

COLUMNS_PER_S = 80
MOST_COLUMNS = 9000
HALF_HEIGHT = 100
QUIETEST_PEAK = 3277.0
"""A recording that never exceeds a tenth of full scale is drawn as quiet as it is."""
HEADROOM = 1.25
"""What is drawn above the usual peak; louder bursts are cut at the edge, so that speech stays readable."""


def envelope(samples: Samples, columns: int) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]:
    """Return the lowest and the highest sample of each of ``columns`` equal stretches of ``samples``.

    Both have the shape ``(columns,)``, or fewer when there are fewer samples.
    """
    if not len(samples):
        return np.zeros(0, np.int16), np.zeros(0, np.int16)
    starts = np.linspace(0, len(samples), min(columns, len(samples)), endpoint=False).astype(np.intp)
    return np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)


def draw_waveform(
    samples: Samples, rate: int, duration_s: float, *, columns_per_s: float = COLUMNS_PER_S, label: str
) -> Html:
    """Return an SVG of ``samples`` on an axis of ``duration_s`` seconds, as wide as its box.

    ``label`` is what it is called for those who cannot see it.
    """
    width = max(1, min(MOST_COLUMNS, round(duration_s * columns_per_s)))
    columns = max(1, round(width * len(samples) / rate / duration_s)) if duration_s else 1
    lowest, highest = envelope(samples, columns)
    scale = HALF_HEIGHT / _peak(lowest, highest)
    # At least a line's width each way: silence is a line, not nothing.
    upper = HALF_HEIGHT - np.clip(np.rint(highest * scale), 1, HALF_HEIGHT)
    lower = HALF_HEIGHT - np.clip(np.rint(lowest * scale), -HALF_HEIGHT, -1)
    there = [f"{column} {y:.0f}" for column, y in enumerate(upper)]
    back = [f"{column} {y:.0f}" for column, y in reversed(list(enumerate(lower)))]
    path = f"M{'L'.join([*there, *back])}Z" if there else ""
    return Html(
        f'<svg class="wave" viewBox="0 0 {width} {2 * HALF_HEIGHT}" preserveAspectRatio="none" role="img">'
        f'{tag("title", label)}<path d="{path}"/></svg>'
    )


def _peak(lowest: npt.NDArray[np.int16], highest: npt.NDArray[np.int16]) -> float:
    """Return the sample drawn at the edge: nine in ten of the loud columns stay well below it."""
    peaks = np.maximum(highest.astype(np.float64), -lowest.astype(np.float64))
    loud = peaks[peaks > peaks.max(initial=0.0) / 10]
    usual = float(np.percentile(loud, 90)) * HEADROOM if len(loud) else 0.0
    return max(QUIETEST_PEAK, min(usual, float(peaks.max(initial=0.0))))
