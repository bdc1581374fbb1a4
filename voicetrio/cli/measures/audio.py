"""Where there is voice in a recording that may have a background under it.

Levels are the RMS of 20 ms, every 5 ms, in dB relative to full scale.  A stretch is *voiced* where its
level exceeds a threshold; ``voice_threshold_db`` sets one above what the background alone reaches.
All arrays are int16, shape ``(n,)``; all times are seconds from the array's first sample.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from voicetrio.frames import Samples

__all__ = [
    "Span",
    "falls_silent_s",
    "frame_levels_db",
    "outside",
    "speech_threshold_db",
    "voice_threshold_db",
    "voiced_end_s",
    "voiced_onset_s",
    "voiced_spans",
]

Span: TypeAlias = tuple[float, float]
"""Start and end, in seconds."""

WINDOW_S = 0.020
HOP_S = 0.005
FULL_SCALE = 32768.0
SILENCE_DB = -120.0
QUIETEST_VOICE_DB = -50.0
MARGIN_DB = 6.0
BELOW_PEAK_DB = 20.0
MERGE_GAP_S = 0.3
MIN_VOICE_S = 0.030


def frame_levels_db(samples: Samples, rate: int) -> npt.NDArray[np.float64]:
    """Return the RMS level of each 20 ms window, a window every 5 ms, in dB of full scale (at least -120)."""
    window, hop = round(WINDOW_S * rate), round(HOP_S * rate)
    if len(samples) < window:
        return np.empty(0)
    energy = np.concatenate(([0.0], np.cumsum(np.square(samples, dtype=np.float64))))
    starts = np.arange(0, len(samples) - window + 1, hop)
    mean_square = (energy[starts + window] - energy[starts]) / window
    floor = FULL_SCALE**2 * 10 ** (SILENCE_DB / 10)
    return 10.0 * np.log10(np.maximum(mean_square, floor) / FULL_SCALE**2)


def voice_threshold_db(background: Samples, rate: int, margin_db: float = MARGIN_DB) -> float:
    """Return the level above which something is voice: ``margin_db`` over what the background reaches.

    ``background`` holds no voice.  The threshold is at least -50 dB, so that a silent background works too.
    """
    levels = frame_levels_db(background, rate)
    if not len(levels):
        return QUIETEST_VOICE_DB
    return max(QUIETEST_VOICE_DB, float(np.percentile(levels, 99)) + margin_db)


def speech_threshold_db(speech: Samples, rate: int, below_peak_db: float = BELOW_PEAK_DB) -> float:
    """Return the level above which ``speech`` is voiced: ``below_peak_db`` under its loudest 20 ms.

    The noise of the room that somebody spoke in is not their voice.  At least -50 dB.
    """
    return max(
        QUIETEST_VOICE_DB, float(frame_levels_db(speech, rate).max(initial=SILENCE_DB)) - below_peak_db
    )


def outside(samples: Samples, rate: int, spans: Iterable[Span], margin_s: float = 0.1) -> Samples:
    """Return the samples that lie in none of ``spans``, nor within ``margin_s`` of one, joined together."""
    keep = np.ones(len(samples), dtype=bool)
    for start_s, end_s in spans:
        keep[max(0, round((start_s - margin_s) * rate)) : max(0, round((end_s + margin_s) * rate))] = False
    return samples[keep]


def voiced_spans(
    samples: Samples,
    rate: int,
    threshold_db: float = QUIETEST_VOICE_DB,
    *,
    merge_gap_s: float = MERGE_GAP_S,
    min_voice_s: float = MIN_VOICE_S,
) -> list[Span]:
    """Return the stretches of voice, in order.

    Args:
        samples: int16, shape ``(n,)``.
        rate: hertz.
        threshold_db: what a window's level must exceed.
        merge_gap_s: stretches with a shorter gap between them are one.
        min_voice_s: shorter stretches (a click) are none; judged before merging.
    """
    voiced = frame_levels_db(samples, rate) > threshold_db
    edges = np.flatnonzero(np.diff(np.concatenate(([0], voiced.astype(np.int8), [0]))))
    spans: list[Span] = []
    for first, stop in zip(edges[::2], edges[1::2], strict=True):
        # The first window above the threshold holds the onset near its end, the last one holds the
        # end near its start: that is how the times come to be exact to a hop, not to a window.
        start_s = first * HOP_S + (WINDOW_S - HOP_S if first else 0.0)
        end_s = (stop - 1) * HOP_S + (HOP_S if stop < len(voiced) else WINDOW_S)
        if end_s - start_s < min_voice_s:
            continue
        if spans and start_s - spans[-1][1] < merge_gap_s:
            spans[-1] = (spans[-1][0], float(end_s))
        else:
            spans.append((float(start_s), float(end_s)))
    return spans


def voiced_onset_s(
    samples: Samples, rate: int, threshold_db: float = QUIETEST_VOICE_DB, *, after_s: float = 0.0
) -> float | None:
    """Return when the first voice after ``after_s`` begins, None if none does.

    Voice that is already there at ``after_s`` counts as beginning then.
    """
    for start_s, end_s in voiced_spans(samples, rate, threshold_db, merge_gap_s=0.0):
        if end_s > after_s:
            return max(start_s, after_s)
    return None


def voiced_end_s(
    samples: Samples, rate: int, threshold_db: float = QUIETEST_VOICE_DB, *, before_s: float | None = None
) -> float | None:
    """Return when the last voice before ``before_s`` (before the end if None) ends, None if there is none."""
    before_s = len(samples) / rate if before_s is None else before_s
    spans = voiced_spans(samples, rate, threshold_db)
    ends = [min(end_s, before_s) for start_s, end_s in spans if start_s < before_s]
    return ends[-1] if ends else None


def falls_silent_s(
    samples: Samples,
    rate: int,
    threshold_db: float = QUIETEST_VOICE_DB,
    *,
    after_s: float,
    for_s: float = 0.3,
) -> float | None:
    """Return when the voice that is there at ``after_s`` ends and stays away for ``for_s`` seconds.

    It is ``after_s`` itself if there is no voice then; None if the recording ends before that is certain.
    """
    for start_s, end_s in voiced_spans(samples, rate, threshold_db, merge_gap_s=for_s):
        if end_s > after_s:
            if start_s > after_s:
                break
            return end_s if len(samples) / rate - end_s >= for_s else None
    return after_s if len(samples) / rate - after_s >= for_s else None
