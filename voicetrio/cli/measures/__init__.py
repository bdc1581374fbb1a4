"""Figures measured from what was recorded: audio, times and words.  Pure functions, no I/O."""

from __future__ import annotations

from voicetrio.cli.measures.audio import (
    Span,
    falls_silent_s,
    frame_levels_db,
    outside,
    speech_threshold_db,
    voice_threshold_db,
    voiced_end_s,
    voiced_onset_s,
    voiced_spans,
)
from voicetrio.cli.measures.statistics import percentile
from voicetrio.cli.measures.words import WordErrors, count_word_errors, normalise_words, word_error_rate

__all__ = [
    "Span",
    "WordErrors",
    "count_word_errors",
    "falls_silent_s",
    "frame_levels_db",
    "normalise_words",
    "outside",
    "percentile",
    "speech_threshold_db",
    "voice_threshold_db",
    "voiced_end_s",
    "voiced_onset_s",
    "voiced_spans",
    "word_error_rate",
]
