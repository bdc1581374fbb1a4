"""A recorded session as one self-contained page: what was said, heard, decided, and when."""

from __future__ import annotations

from voicetrio.cli.report.page import render_report, write_report
from voicetrio.cli.report.recording import Figure, Recording, TurnRecord
from voicetrio.cli.report.turn_measures import measure_turns, reply_threshold_db

__all__ = [
    "Figure",
    "Recording",
    "TurnRecord",
    "measure_turns",
    "render_report",
    "reply_threshold_db",
    "write_report",
]
