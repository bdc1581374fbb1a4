"""How well does the embedded agent understand recorded human speech?

Each recording is played to the agent as ``voicetrio talk`` does it: paced, with the VAD, the endpointing and
the recogniser of the live path.  Prints the word error rate with numbers and titles normalised, whether the
first and the last word were understood, and how many turns it took.

Run: ``python benchmarks/word_errors.py [FOLDER]``; FOLDER holds WAV files and a ``transcripts.json`` (a
list of objects with ``file`` and ``transcript``).  Without it, the recordings of the package are used.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import trio

from voicetrio.cli.call.figures import recording_of
from voicetrio.cli.console import make_console, make_table
from voicetrio.cli.embedded import embedded_agent, open_models_with_progress
from voicetrio.cli.measures import count_word_errors, normalise_words
from voicetrio.cli.running import StopRequest
from voicetrio.cli.talk import hold_talk
from voicetrio.data import speech_files

TARGET = 0.10


def recordings(folder: Path | None) -> list[tuple[Path, str]]:
    """Return each recording with what is said in it."""
    if folder is None:
        return [(recording.path, recording.transcript) for recording in speech_files()]
    rows = json.loads((folder / "transcripts.json").read_text(encoding="utf-8"))
    return [(folder / row["file"], row["transcript"]) for row in rows]


async def measure(folder: Path | None) -> int:
    """Play every recording, print the table, and return 0 if all that is wanted holds."""
    table = make_table("recording", "heard", "turns", "word errors", "first and last")
    errors = words = 0
    whole = True
    async with open_models_with_progress(quiet=False) as models:
        for path, said in recordings(folder):
            agent = embedded_agent(models, greeting=None)
            recording = recording_of(await hold_talk(path, agent, StopRequest()))
            heard = " ".join(turn.user_text for turn in recording.turns)
            found = count_word_errors(said, heard)
            errors += found.errors
            words += found.reference_words
            ends = _has_ends(said, heard)
            whole &= ends and len(recording.turns) == 1
            table.add_row(
                path.name, heard, str(len(recording.turns)), f"{found.rate:.1%}", "yes" if ends else "NO"
            )
    console = make_console()
    console.print(table)
    rate = errors / words
    console.print(f"word error rate over the set: {rate:.1%} (wanted: at most {TARGET:.0%})", markup=False)
    return 0 if rate <= TARGET and whole else 1


def _has_ends(said: str, heard: str) -> bool:
    wanted, found = normalise_words(said), normalise_words(heard)
    return bool(found) and found[0] == wanted[0] and found[-1] == wanted[-1]


if __name__ == "__main__":
    sys.exit(trio.run(measure, Path(sys.argv[1]) if len(sys.argv) > 1 else None))
