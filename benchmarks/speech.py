"""How soon does the speech server speak, how fast is it, and does it answer while it is full?

A server runs in a process of its own, with a worker a core.  Asked are: the first byte and the real-time
factor for every format and engine; the answers of ``/healthz`` while every worker speaks; and many requests
at once, each with a number of its own, which must come back with it (the answers are transcribed).

    python benchmarks/speech.py [--requests 64] [--engines piper,flite]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import numpy as np
import trio
from harness.question import Figure, Question, Side, Target

from voicetrio.audio import resample_whole
from voicetrio.audio.codecs import FORMATS, open_decoder
from voicetrio.cli.console import make_console, make_progress, make_table
from voicetrio.cli.measures import percentile
from voicetrio.runtime.producing import open_produced
from voicetrio.services.speech.available import available_engines
from voicetrio.services.speech.recogniser import open_recogniser
from voicetrio.services.speech_text.numbers import read_digit

TEXT = (
    "Thank you for calling, and welcome to the library. We are open every day from eight in the morning "
    "until six in the evening. Please tell me the title of the book that you are looking for."
)
WARM_UP = "Ready."
HEALTH_TARGET_MS = 50.0
HEALTH_EVERY_S = 0.05


@attrs.frozen
class Reply:
    """One answer of the server."""

    status: int
    headers: dict[str, str]
    body: bytes
    first_byte_s: float
    whole_s: float


async def ask(port: int, path: str, body: Any = None) -> Reply:
    """Send one request on a connection of its own, and read the whole answer."""
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    start = trio.current_time()
    first = None
    got = bytearray()
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(head.encode() + b"\r\n" + data)
        while piece := await stream.receive_some():
            got += piece
            if first is None and not bytes(got).endswith(b"\r\n\r\n") and b"\r\n\r\n" in got:
                first = trio.current_time() - start
    whole = trio.current_time() - start
    raw_head, _, rest = bytes(got).partition(b"\r\n\r\n")
    lines = raw_head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    content = _unchunked(rest) if headers.get("transfer-encoding") == "chunked" else rest
    return Reply(int(lines[0].split()[1]), headers, content, first or whole, whole)


def _unchunked(rest: bytes) -> bytes:
    body = bytearray()
    while True:
        size, _, rest = rest.partition(b"\r\n")
        count = int(size or b"-1", 16)
        if count < 0:
            raise RuntimeError("the server cut an answer")
        if not count:
            return bytes(body)
        body += rest[:count]
        rest = rest[count + 2 :]


@asynccontextmanager
async def open_server(engines: list[str], requests: int) -> AsyncIterator[int]:
    """Run ``voicetrio speech`` in a process; give its port."""
    options = itertools.chain.from_iterable(("--engine", engine) for engine in engines)
    command = [
        sys.executable,
        "-m",
        "voicetrio",
        "speech",
        "--port",
        "0",
        "--max-active",
        str(requests),
        *options,
    ]
    environment = os.environ | {"COLUMNS": "300", "PYTHONUNBUFFERED": "1"}
    async with trio.open_nursery() as nursery:
        start = partial(trio.run_process, command, stdout=subprocess.PIPE, env=environment, check=False)
        process = await nursery.start(start)
        line = b""
        while not line.endswith(b"\n"):
            line += await process.stdout.receive_some(1)
        yield int(re.search(rb":(\d+) ", line)[1])
        process.terminate()


def decode(reply: Reply, name: str) -> tuple[np.ndarray, int]:
    """Return the samples of an answer and their rate."""
    raw = name in ("pcm", "mulaw", "alaw", "g722")
    with open_decoder(name, **({"rate": int(reply.headers["x-sample-rate"])} if raw else {})) as decoder:
        samples = np.concatenate([decoder.decode(reply.body), decoder.finish()])
        return samples, decoder.rate


@attrs.frozen
class Alone:
    """One format of one engine, with nobody else on the server."""

    engine: str
    format: str
    first_byte_ms: float
    whole_s: float
    audio_s: float

    @property
    def real_time_factor(self) -> float:
        """Seconds of audio in a second."""
        return self.audio_s / self.whole_s


async def measure_formats(port: int, engines: list[str], rounds: int, advance=lambda: None) -> list[Alone]:
    """Ask each engine for each format; return medians over ``rounds``."""
    found = []
    for engine in engines:
        await ask(port, "/v1/audio/speech", {"model": engine, "input": WARM_UP})
        for name in FORMATS:
            body = {"model": engine, "input": TEXT, "response_format": name}
            replies = []
            for _ in range(rounds):
                replies.append(await ask(port, "/v1/audio/speech", body))
                advance()
            samples, rate = decode(replies[-1], name)
            first = statistics.median(reply.first_byte_s for reply in replies)
            whole = statistics.median(reply.whole_s for reply in replies)
            found.append(Alone(engine, name, first * 1000, whole, samples.size / rate))
    return found


@attrs.frozen
class Crowd:
    """Many requests at once, over all formats."""

    replies: dict[int, tuple[str, Reply]]
    """By number: the format and the answer."""
    health_ms: list[float]
    took_s: float

    @property
    def failed(self) -> int:
        """Answers that are none."""
        return sum(reply.status != 200 for _, reply in self.replies.values())

    @property
    def first_byte_s(self) -> list[float]:
        """Of each answer."""
        return [reply.first_byte_s for _, reply in self.replies.values()]


async def measure_crowd(port: int, engine: str, requests: int) -> Crowd:
    """Send numbered sentences at once, and watch the health meanwhile."""
    replies: dict[int, tuple[str, Reply]] = {}
    health_ms: list[float] = []
    names = itertools.cycle(FORMATS)

    async def say(number: int, name: str) -> None:
        digits = " ".join(str(number))
        text = f"This is the answer to request number {digits}. I repeat, number {digits}."
        body = {"model": engine, "input": text, "response_format": name}
        replies[number] = (name, await ask(port, "/v1/audio/speech", body))

    async def watch_health() -> None:
        while True:
            health_ms.append((await ask(port, "/healthz")).whole_s * 1000)
            await trio.sleep(HEALTH_EVERY_S)

    start = trio.current_time()
    async with trio.open_nursery() as watching:
        watching.start_soon(watch_health)
        async with trio.open_nursery() as crowd:
            for number in range(100, 100 + requests):
                crowd.start_soon(say, number, next(names))
        watching.cancel_scope.cancel()
    return Crowd(replies, health_ms, trio.current_time() - start)


async def check_numbers(crowd: Crowd, advance=lambda: None) -> tuple[list[str], float]:
    """Transcribe every answer; return those without their number, and the seconds of audio."""
    wrong: list[str] = []
    seconds = 0.0

    async def listen(number: int, name: str, reply: Reply) -> None:
        nonlocal seconds
        samples, rate = decode(reply, name)
        seconds += samples.size / rate
        audio = resample_whole(samples, rate, 16_000)
        async with limiter, open_produced(partial(recogniser.recognise, audio, 16_000), ahead=1) as parts:
            text = " ".join([part.text async for part in parts])
        if str(number) not in digits_of(text):
            wrong.append(f"{number} ({name}) was heard as: {text}")
        advance()

    limiter = trio.CapacityLimiter(2)
    async with open_recogniser(workers=2) as recogniser, trio.open_nursery() as nursery:
        for number, (name, reply) in crowd.replies.items():
            nursery.start_soon(listen, number, name, reply)
    return wrong, seconds


def digits_of(text: str) -> str:
    """Return the digits of a text, those in words included, with the words between them as bars."""
    pieces = re.findall(r"\d|[A-Za-z]+", text)
    return "".join(read_digit(piece) or "|" for piece in pieces)


async def measure_once(requests: int) -> dict[str, float]:
    """Measure the default engine once."""
    async with open_server(["piper"], requests) as port:
        alone = {each.format: each for each in await measure_formats(port, ["piper"], 1)}
        crowd = await measure_crowd(port, "piper", requests)
    wrong, seconds = await check_numbers(crowd)
    return {
        **{f"first_byte_{name}": each.first_byte_ms for name, each in alone.items()},
        "real_time_factor": statistics.median(each.real_time_factor for each in alone.values()),
        "crowd_factor": seconds / crowd.took_s,
        "health_ms": percentile(crowd.health_ms, 99),
        "wrong": len(wrong) + crowd.failed,
    }


def once(requests: int) -> dict[str, float]:
    """Measure once, for the harness."""
    return trio.run(measure_once, requests)


def question() -> Question:
    """Return the question for the harness."""
    us = "voicetrio"
    return Question(
        name="speech",
        asks="how soon does the speech server speak, how fast is it, and does it answer while it is full?",
        # On any core: the server's threads need both.
        sides=(Side(us, __file__, "once", arguments={"requests": 18}, core="any"),),
        figures=(
            *(
                Figure(f"first byte of {name}", "ms", lambda r, key=f"first_byte_{name}": r[us][key])
                for name in ("pcm", "mp3", "opus", "aac", "flac")
            ),
            Figure("one request", "x real time", lambda r: r[us]["real_time_factor"]),
            Figure("18 requests at once", "x real time", lambda r: r[us]["crowd_factor"]),
            Figure("p99 of /healthz", "ms", lambda r: r[us]["health_ms"], Target(at_most=HEALTH_TARGET_MS)),
            Figure("answers without their number", "answers", lambda r: r[us]["wrong"], Target(at_most=0)),
        ),
        does_not_say="what other engines cost: the file's own run, with --engines, has them all in a table.",
        rounds=2,
        warms_up=False,  # each round loads its models anew
        round_s=20.0,
        steady=0.3,
    )


async def main(arguments: argparse.Namespace) -> int:
    """Measure and print; return 0 if what is wanted holds."""
    engines = arguments.engines.split(",")
    numbers = ("first byte ms", "whole s", "audio s", "x real time")
    table = make_table("engine", "format", *numbers, title="One request at a time (medians)", numbers=numbers)
    with make_progress() as progress:
        steps = len(engines) * len(FORMATS) * arguments.rounds + arguments.requests
        bar = progress.add_task("speaking and listening", total=steps)
        async with open_server(engines, arguments.requests) as port:
            alone = await measure_formats(port, engines, arguments.rounds, lambda: progress.advance(bar))
            crowd = await measure_crowd(port, engines[0], arguments.requests)
        wrong, seconds = await check_numbers(crowd, lambda: progress.advance(bar))
    for each in alone:
        table.add_row(
            each.engine, each.format, f"{each.first_byte_ms:.0f}", f"{each.whole_s:.2f}",
            f"{each.audio_s:.1f}", f"{each.real_time_factor:.1f}",
        )  # fmt: skip
    p99, first = percentile(crowd.health_ms, 99), crowd.first_byte_s
    console = make_console()
    console.print(table)
    for line in (
        *wrong,
        f"{len(crowd.replies)} requests at once, all formats: {crowd.took_s:.1f} s for {seconds:.0f} s",
        f"  {seconds / crowd.took_s:.1f} x real time; wrong numbers {len(wrong)}; failed {crowd.failed}",
        f"  first byte {statistics.median(first):.2f} s (median), {max(first):.2f} s (last)",
        f"/healthz meanwhile: {statistics.median(crowd.health_ms):.1f} ms (median of {len(crowd.health_ms)})",
        f"  {p99:.1f} ms (99th percentile); wanted: below {HEALTH_TARGET_MS:.0f} ms",
    ):
        console.print(line, markup=False)
    return 0 if not wrong and not crowd.failed and p99 < HEALTH_TARGET_MS else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--engines", default=",".join(engine.name for engine in available_engines()))
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    sys.exit(trio.run(main, parser.parse_args()))
