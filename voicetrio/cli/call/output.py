"""A measured call on the terminal and in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from voicetrio.audio import WavWriter
from voicetrio.cli.console import make_console, make_table
from voicetrio.cli.report import Recording, write_report

__all__ = ["show_call", "write_call"]


def write_call(recording: Recording, wav: Path, page: Path) -> None:
    """Write both sides as a stereo WAV file, and the picture of the session as one page."""
    with WavWriter(wav, recording.heard_rate, channels=2) as writer:
        writer.write(recording.stereo())
    write_report(recording, page)


def show_call(result: dict[str, Any], recording: Recording) -> None:
    """Print the tables of what was measured."""
    console = make_console()
    names = ("endpoint_ms", "stt_ms", "first_audio_ms", "response_ms")
    headings = ("wait for the turn's end", "STT", "first audio", "response")
    table = make_table("turn", *headings, title="Each turn, in milliseconds", numbers=headings)
    for turn in result["turns"]:
        table.add_row(turn["user_text"], *("" if turn[n] is None else f"{turn[n]:.0f}" for n in names))
    console.print(table)
    summary = make_table("measured", "", "wanted", numbers=("",))
    for figure in recording.figures:
        colour = {True: "green", False: "red", None: "default"}[figure.good]
        summary.add_row(figure.label, f"[{colour}]{figure.value}[/]", figure.note)
    console.print(summary)
    console.print(f"The session ended: {result['session_end'].get('reason', 'unknown')}.", markup=False)
