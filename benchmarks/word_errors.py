"""How well does the embedded agent understand recorded human speech?

Each recording is played to the agent as ``voicetrio talk`` does it: paced, with the VAD, the endpointing and
the recogniser of the live path.  Prints the word error rate with numbers and titles normalised, whether the
first and the last word were understood, and how many turns it took.

    python benchmarks/word_errors.py [FOLDER]

FOLDER holds WAV files and a ``transcripts.json`` (a list of objects with ``file`` and ``transcript``).
Without it, the recordings of the package are used.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import attrs
import trio
from harness.question import Figure, Question, Side, Target

from voicetrio.cli.call.figures import recording_of
from voicetrio.cli.console import make_console, make_table
from voicetrio.cli.embedded import embedded_agent, open_models_with_progress
from voicetrio.cli.measures import WordErrors, count_word_errors, normalise_words
from voicetrio.cli.running import StopRequest
from voicetrio.cli.talk import hold_talk
from voicetrio.data import speech_files

TARGET = 0.10
AT_ONCE = 2
"""Sessions: each needs a core for its decode, or it ends before its words are known."""


@attrs.frozen
class Heard:
    """What came of one recording."""

    name: str
    text: str
    turns: int
    found: WordErrors
    has_ends: bool
    """The first and the last word were understood."""


def recordings(folder: Path | None) -> list[tuple[Path, str]]:
    """Return each recording with what is said in it."""
    if folder is None:
        return [(recording.path, recording.transcript) for recording in speech_files()]
    rows = json.loads((folder / "transcripts.json").read_text(encoding="utf-8"))
    return [(folder / row["file"], row["transcript"]) for row in rows]


async def measure(folder: Path | None, *, quiet: bool) -> list[Heard]:
    """Play every recording to a session of its own."""
    found: dict[Path, Heard] = {}
    limiter = trio.CapacityLimiter(AT_ONCE)
    async with open_models_with_progress(quiet=quiet) as models:

        async def listen(path: Path, said: str) -> None:
            async with limiter:
                call = await hold_talk(path, embedded_agent(models, greeting=None), StopRequest())
            turns = recording_of(call).turns
            text = " ".join(turn.user_text for turn in turns)
            errors = count_word_errors(said, text)
            found[path] = Heard(path.name, text, len(turns), errors, _has_ends(said, text))

        async with trio.open_nursery() as nursery:
            for path, said in recordings(folder):
                nursery.start_soon(listen, path, said)
    return [found[path] for path, _ in recordings(folder)]


def _has_ends(said: str, heard: str) -> bool:
    wanted, found = normalise_words(said), normalise_words(heard)
    return bool(found) and found[0] == wanted[0] and found[-1] == wanted[-1]


def rate_of(heard: list[Heard]) -> float:
    """Return the word error rate over all recordings."""
    return sum(each.found.errors for each in heard) / sum(each.found.reference_words for each in heard)


async def _measure_quietly() -> list[Heard]:
    return await measure(None, quiet=True)


def once() -> dict[str, float]:
    """Measure once, for the harness."""
    heard = trio.run(_measure_quietly)
    return {
        "rate": 100 * rate_of(heard),
        "torn": sum(each.turns != 1 for each in heard),
        "cut": sum(not each.has_ends for each in heard),
    }


def question() -> Question:
    """Return the question for the harness."""
    us = "voicetrio"
    return Question(
        name="word_errors",
        asks="how well does the embedded agent understand recorded human speech?",
        # On any core: the models' threads need both.
        sides=(Side(us, __file__, "once", core="any"),),
        figures=(
            Figure("word error rate", "%", lambda r: r[us]["rate"], Target(at_most=100 * TARGET)),
            Figure("not one turn", "recordings", lambda r: r[us]["torn"], Target(at_most=0)),
            Figure("first or last word missed", "recordings", lambda r: r[us]["cut"], Target(at_most=0)),
        ),
        does_not_say="how other speakers, rooms and telephones fare: it is seven short recordings.",
        rounds=2,
        warms_up=False,  # each round loads its models anew
        round_s=51.0,
        steady=0.25,
    )


async def main(folder: Path | None) -> int:
    """Print the table; return 0 if all that is wanted holds."""
    heard = await measure(folder, quiet=False)
    table = make_table("recording", "heard", "turns", "word errors", "first and last")
    for each in heard:
        ends = "yes" if each.has_ends else "NO"
        table.add_row(each.name, each.text, str(each.turns), f"{each.found.rate:.1%}", ends)
    console = make_console()
    console.print(table)
    rate = rate_of(heard)
    console.print(f"word error rate over the set: {rate:.1%} (wanted: at most {TARGET:.0%})", markup=False)
    return 0 if rate <= TARGET and all(each.has_ends and each.turns == 1 for each in heard) else 1


if __name__ == "__main__":
    sys.exit(trio.run(main, Path(sys.argv[1]) if len(sys.argv) > 1 else None))
