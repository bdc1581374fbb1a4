"""Is what the speech server says what was written?

    python benchmarks/round_trip.py [--engine E]

Forty sentences with numbers, dates, money, addresses and abbreviations are spoken and transcribed again.
What should be said for each is written by hand, so a wrong rule for written text counts as much as a bad
sound.  Prints every error, and the word error rate: the share of wrong, missing and additional words, with
numbers compared digit by digit.

A recogniser writes "$5" for what it heard: that is brought back into words, with the rules that the voice
itself uses.  The references are not: they are compared as they stand here.
"""

from __future__ import annotations

import argparse
import re
import sys
from functools import partial

import attrs
import numpy as np
import trio
from harness.question import Figure, Question, Side, Target

from voicetrio.cli.console import make_console, make_progress, make_table
from voicetrio.cli.measures import WordErrors, count_word_errors
from voicetrio.runtime.producing import open_produced
from voicetrio.services.speech.available import available_engines
from voicetrio.services.speech.engines import Engines, open_engines
from voicetrio.services.speech.recogniser import Recogniser, open_recogniser
from voicetrio.services.speech.speaking import VoiceRequest, choose_voices, speak_script
from voicetrio.services.speech_text.reading import read_script
from voicetrio.services.speech_text.spelling import spell_out

TARGET = 0.06
RATE_HZ = 24_000
WORKERS = 2
"""Sentences at once."""

SENTENCES = (
    ("The meeting starts at 3:45 p.m. on Monday.", "the meeting starts at three forty five p m on monday"),
    ("It costs $12.50 at the door.", "it costs twelve dollars and fifty cents at the door"),
    ("She was born on March 3, 1985.", "she was born on march third nineteen eighty five"),
    ("Dr. Smith lives in London.", "doctor smith lives in london"),
    ("Visit example.com for more information.", "visit example dot com for more information"),
    ("The company made $5 million last year.", "the company made five million dollars last year"),
    ("He ran 10 km in 45 minutes.", "he ran ten kilometers in forty five minutes"),
    ("The temperature is 20°C today.", "the temperature is twenty degrees celsius today"),
    ("About 75% of the people agreed.", "about seventy five percent of the people agreed"),
    ("Please read chapter 4 and pages 12-15.", "please read chapter four and pages twelve to fifteen"),
    ("The train leaves at 9:05 a.m. from platform 7.",
     "the train leaves at nine oh five a m from platform seven"),
    ("Mr. Jones and Mrs. Brown met at 6 o'clock.", "mister jones and missus brown met at six o'clock"),
    ("World War II ended in 1945.", "world war two ended in nineteen forty five"),
    ("The house was sold for $250,000.", "the house was sold for two hundred fifty thousand dollars"),
    ("Version 2.5 was released in June 2023.",
     "version two point five was released in june twenty twenty three"),
    ("I need 3 apples, 4 oranges and 12 eggs.", "i need three apples four oranges and twelve eggs"),
    ("The 21st of June is the longest day.", "the twenty first of june is the longest day"),
    ("Call me at 555-123-4567 tomorrow.",
     "call me at five five five one two three four five six seven tomorrow"),
    ("There are 1,234 books in the library.",
     "there are one thousand two hundred thirty four books in the library"),
    ("The speed limit is 65 mph here.", "the speed limit is sixty five miles per hour here"),
    ("Add 1/2 of the sugar to the bowl.", "add one half of the sugar to the bowl"),
    ("The score was 3-2 at the end.", "the score was three to two at the end"),
    ("Send it to St. Mary's hospital, e.g. by post.", "send it to saint mary's hospital for example by post"),
    ("The 1990s were a good decade for music.", "the nineteen nineties were a good decade for music"),
    ("It weighs 5 kg and is 30 cm long.", "it weighs five kilograms and is thirty centimeters long"),
    ("The ticket is £20, or €25 in Paris.", "the ticket is twenty pounds or twenty five euros in paris"),
    ("Flight 417 arrives on December 25th.",
     "flight four hundred seventeen arrives on december twenty fifth"),
    ("The answer is 3.14, not 3.", "the answer is three point one four not three"),
    ("He owns 2 dogs & 1 cat.", "he owns two dogs and one cat"),
    ("The file is 500 MB and took 20 sec to load.",
     "the file is five hundred megabytes and took twenty seconds to load"),
    ("The FBI and the CIA share an office in the U.S. today.",
     "the f b i and the c i a share an office in the u s today"),
    ("Her birthday is on 2010-05-17.", "her birthday is on may seventeenth twenty ten"),
    ("Go to www.example.org and sign in.", "go to w w w dot example dot org and sign in"),
    ("The population grew by 2.5 million in 10 years.",
     "the population grew by two point five million in ten years"),
    ("Room No. 9 is on the 3rd floor.", "room number nine is on the third floor"),
    ("Turn left in 100 m, then drive 2 miles.", "turn left in one hundred meters then drive two miles"),
    ("King Henry VIII had six wives.", "king henry the eighth had six wives"),
    ("Between 1914 and 1918 the town was empty.",
     "between nineteen fourteen and nineteen eighteen the town was empty"),
    ("We open at 8 am, Mon. to Fri. all year.", "we open at eight a m monday to friday all year"),
    ("Approx. 200 people, incl. children, came on Jan. 1st.",
     "approximately two hundred people including children came on january first"),
)  # fmt: skip


@attrs.frozen
class Heard:
    """What came of one sentence."""

    written: str
    text: str
    found: WordErrors


async def measure(engine: str, advance=lambda: None) -> list[Heard]:
    """Speak and transcribe every sentence."""
    results: dict[str, Heard] = {}
    limiter = trio.CapacityLimiter(WORKERS)

    async def one(written: str, said: str, engines: Engines, recogniser: Recogniser) -> None:
        async with limiter:
            text = await round_trip(written, engines, recogniser)
        results[written] = Heard(written, text, count_word_errors(joined(said), joined(in_words(text))))
        advance()

    async with (
        open_engines(available_engines([engine]), workers=WORKERS) as engines,
        open_recogniser(workers=WORKERS) as recogniser,
        trio.open_nursery() as nursery,
    ):
        for written, said in SENTENCES:
            nursery.start_soon(one, written, said, engines, recogniser)
    return [results[written] for written, _ in SENTENCES]


async def round_trip(text: str, engines: Engines, recogniser: Recogniser) -> str:
    """Return what is heard when ``text`` is spoken."""
    script = read_script(text)
    request = VoiceRequest(voices=choose_voices(engines, script), rate=RATE_HZ)
    async with open_produced(partial(speak_script, script, request, engines), ahead=1) as pieces:
        samples = [piece.samples async for piece in pieces]
    audio = np.concatenate(samples)
    async with open_produced(partial(recogniser.recognise, audio, RATE_HZ), ahead=1) as parts:
        return " ".join([part.text async for part in parts])


def in_words(heard: str) -> str:
    """Return a transcript in spoken words."""
    return " ".join(" ".join(word.spoken) for word in spell_out(heard))


def joined(said: str) -> str:
    """Return words with spelled letters as one word, and those words in one form that have two."""
    said = said.lower().replace("pee em", "p m").replace("ay em", "a m").replace("missis", "missus")
    return re.sub(r"\b(?:[a-z] )+[a-z]\b", lambda letters: letters[0].replace(" ", ""), said)


def rate_of(results: list[Heard]) -> float:
    """Return the word error rate over all sentences."""
    return sum(each.found.errors for each in results) / sum(each.found.reference_words for each in results)


def once(engine: str) -> dict[str, float]:
    """Measure once, for the harness."""
    return {"rate": 100 * rate_of(trio.run(measure, engine))}


def question() -> Question:
    """Return the question for the harness."""
    us = "voicetrio"
    return Question(
        name="round_trip",
        asks="is what the speech server says what was written?",
        # On any core: the models' threads need both.
        sides=(Side(us, __file__, "once", arguments={"engine": "piper"}, core="any"),),
        figures=(Figure("word error rate", "%", lambda r: r[us]["rate"], Target(at_most=100 * TARGET)),),
        does_not_say="whose the errors are: the recogniser, a small one, makes some of its own.",
        rounds=2,
        warms_up=False,  # each round loads its models anew
        round_s=16.0,
        steady=0.25,
    )


def main(engine: str) -> int:
    """Print every error; return 0 if the rate is as wanted."""
    with make_progress() as progress:
        bar = progress.add_task("speaking and listening", total=len(SENTENCES))
        results = trio.run(measure, engine, lambda: progress.advance(bar))
    table = make_table("written", "heard", "errors", numbers=("errors",))
    for each in results:
        if each.found.errors:
            table.add_row(each.written, each.text, str(each.found.errors))
    console = make_console()
    console.print(table)
    words = sum(each.found.reference_words for each in results)
    console.print(
        f"{engine}: word error rate {rate_of(results):.1%} over {len(SENTENCES)} sentences, {words} words "
        f"(wanted: at most {TARGET:.0%})",
        markup=False,
    )
    return 0 if rate_of(results) <= TARGET else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--engine", default="piper", help="piper, kokoro, flite or espeak-ng")
    sys.exit(main(parser.parse_args().engine))
