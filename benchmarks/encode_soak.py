"""Do many streams at once stay correct, and does the event loop stay awake?

Keeps 64 streams running over all formats, of random lengths, fed in random pieces; some are cancelled, some
lose their listener.  Each stream carries a tone of its own: what was finished is decoded by the library's
demuxers and must have the right length and that tone alone.  Beside it, in the same run, the naive use of
the same library: one thread for each stream.  Both run as ``voicetrio speech`` does, with Python's switch
interval at half a millisecond.

    python benchmarks/encode_soak.py                  # 60 s of ours, 20 s of the naive way
    python benchmarks/encode_soak.py --minutes 10
    python benchmarks/encode_soak.py --json

Ends with status 1 if a stream was wrong, an encoder was left open, memory grew, or the loop was late.
"""

from __future__ import annotations

import ctypes
import faulthandler
import io
import json
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from typing import Annotated

import attrs
import av
import cyclopts
import numpy as np
import trio
from rich.console import Console
from rich.table import Table

from voicetrio.audio.codecs import FORMATS
from voicetrio.cli.low_latency import low_latency
from voicetrio.runtime.codec_owner import codec_limiter
from voicetrio.runtime.encoding import StreamEncoder, open_stream_encoder

RATES = {name: 8000 if name in ("mulaw", "alaw") else 16000 if name == "g722" else 24000 for name in FORMATS}
PRIMING = {"mp3": 2304, "aac": 2048}
DEMUXERS = {"pcm": "s16le", "mulaw": "mulaw", "alaw": "alaw", "opus": "ogg"}
LIBRARY = {  # the container and the codec that somebody would ask the library for
    "wav": ("wav", "pcm_s16le"),
    "pcm": ("s16le", "pcm_s16le"),
    "mp3": ("mp3", "libmp3lame"),
    "opus": ("ogg", "libopus"),
    "flac": ("flac", "flac"),
    "aac": ("adts", "aac"),
    "mulaw": ("mulaw", "pcm_mulaw"),
    "alaw": ("alaw", "pcm_alaw"),
    "g722": ("g722", "g722"),
}
OWN_TONE_SHARE = 0.99
LAG_LIMIT_MS = 10.0
GROWTH_LIMIT_MB = 32.0
TICK_S = 0.01
MEMORY_EVERY_S = 2.0


@attrs.define
class Tally:
    """What came out of one way of doing it."""

    streams: Counter[str] = attrs.field(factory=Counter)
    audio_s: Counter[str] = attrs.field(factory=Counter)
    cancelled: int = 0
    disconnected: int = 0
    wrong_length: list[str] = attrs.field(factory=list)
    crosstalk: list[str] = attrs.field(factory=list)
    errors: list[str] = attrs.field(factory=list)
    lags_ms: list[float] = attrs.field(factory=list)
    memory_mb: list[float] = attrs.field(factory=list)
    wall_s: float = 0.0
    left_open: int = 0

    def lag_ms(self, percent: float) -> float:
        return float(np.percentile(self.lags_ms, percent)) if self.lags_ms else float("nan")

    def growth_mb(self) -> float:
        """Memory in the last quarter of the run above that in the second: the first fills the pools."""
        quarter = len(self.memory_mb) // 4
        if not quarter:
            return 0.0
        return float(np.median(self.memory_mb[-quarter:]) - np.median(self.memory_mb[quarter : 2 * quarter]))


@attrs.frozen
class Plan:
    """One stream: what it will carry, and what will happen to it."""

    format: str
    hz: int
    sample_count: int
    piece_samples: int
    fate: str  # finished, cancelled, disconnected
    fate_at: float  # which part of it, 0 to 1

    @property
    def rate(self) -> int:
        return RATES[self.format]

    def pieces(self) -> Iterator[np.ndarray]:
        second = tone(self.hz, self.rate)
        for start in range(0, self.sample_count, self.piece_samples):
            count = min(self.piece_samples, self.sample_count - start)
            at = start % self.rate
            yield second[at : at + count]


@cache
def tone(hz: int, rate: int) -> np.ndarray:
    """Return two seconds of a tone, so that a piece of up to one may begin anywhere in the first."""
    return np.rint(8000 * np.sin(2 * np.pi * hz / rate * np.arange(2 * rate))).astype(np.int16)


def tone_hz(slot: int) -> int:
    """Return the tone that only this slot's streams carry."""
    return 300 + 25 * slot


def plan_stream(rng: random.Random, slot: int) -> Plan:
    format = rng.choice(list(FORMATS))
    rate = RATES[format]
    return Plan(
        format,
        hz=tone_hz(slot),
        sample_count=int(rate * rng.uniform(0.3, 12)),
        piece_samples=rate * rng.choice((20, 20, 100, 1000)) // 1000,
        fate=rng.choices(("finished", "cancelled", "disconnected"), (7, 2, 1))[0],
        fate_at=rng.random(),
    )


def check(plan: Plan, body: bytes, tally: Tally) -> None:
    """Decode what a stream made; note a wrong length, or sound that is not its own."""
    options = {"sample_rate": str(plan.rate)} if plan.format in ("pcm", "mulaw", "alaw") else {}
    with av.open(
        io.BytesIO(body), format=DEMUXERS.get(plan.format, plan.format), options=options
    ) as container:
        frames = [(frame.to_ndarray().reshape(-1), frame.sample_rate) for frame in container.decode(audio=0)]
    samples = np.concatenate([part for part, _ in frames]).astype(np.float32)
    rate = frames[0][1]
    expected = plan.sample_count * rate // plan.rate
    excess = samples.size - expected
    most = PRIMING.get(plan.format, 1 if plan.format == "g722" else 0)
    if not 0 <= excess <= most:
        tally.wrong_length.append(f"{plan}: {samples.size} samples instead of {expected}")
    points = 1 << samples.size.bit_length()  # other lengths cost many times as much
    # Without a window the ends of a third of a second alone spread some 6 % of a pure tone's energy.
    energy = np.abs(np.fft.rfft(samples * np.hanning(samples.size), points)) ** 2
    hertz = np.fft.rfftfreq(points, 1 / rate)
    share = energy[np.abs(hertz - plan.hz) < 10].sum() / energy.sum()
    if share < OWN_TONE_SHARE:
        tally.crosstalk.append(f"{plan}: {share:.3f} of the energy is its own tone")
    tally.streams[plan.format] += 1


def memory_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def watch_loop(tally: Tally) -> None:
    """Note how late the loop wakes a task."""
    due = trio.current_time()
    while True:
        due = max(due + TICK_S, trio.current_time())
        await trio.sleep_until(due)
        tally.lags_ms.append((trio.current_time() - due) * 1000)


async def watch_memory(tally: Tally) -> None:
    """Note how much memory is in use.

    The allocator keeps what was freed, up to the largest number of FLAC encoders (7 MB each) that chance put
    side by side so far: a record that grows for as long as one waits.  So it gives that back first.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while True:
        if trim is not None:
            await trio.to_thread.run_sync(trim, 0, limiter=codec_limiter())
        tally.memory_mb.append(memory_mb())
        await trio.sleep(MEMORY_EVERY_S)


# --- ours ----------------------------------------------------------------------------------------------


class ListenerGone(Exception):
    """The peer of a stream went away."""


async def encode_one(plan: Plan, tally: Tally, opened: set[StreamEncoder]) -> bytes | None:
    """Make one stream as planned; return its bytes if it was finished."""
    body = bytearray()
    fate_sample = plan.fate_at * plan.sample_count
    with trio.CancelScope() as scope:
        async with open_stream_encoder(plan.format, plan.rate) as encoder:
            opened.add(encoder)
            done = 0
            for piece in plan.pieces():
                body += await encoder.encode(piece)
                done += piece.size
                tally.audio_s[plan.format] += piece.size / plan.rate
                if done >= fate_sample and plan.fate == "cancelled":
                    scope.cancel()
                if done >= fate_sample and plan.fate == "disconnected":
                    raise ListenerGone
            body += await encoder.finish()
            return bytes(body)
    tally.cancelled += 1
    return None


async def keep_slot_busy(slot: int, seed: int, tally: Tally, opened: set[StreamEncoder]) -> None:
    rng = random.Random(seed * 1000 + slot)
    while True:
        plan = plan_stream(rng, slot)
        try:
            body = await encode_one(plan, tally, opened)
        except ListenerGone:
            tally.disconnected += 1
            body = None
        except Exception as error:
            tally.errors.append(f"{plan}: {error!r}")
            body = None
        if body is not None:
            await trio.to_thread.run_sync(check, plan, body, tally, limiter=codec_limiter())
        # What is not closed by now is a leak; the rest need not be remembered.
        opened.difference_update({encoder for encoder in opened if encoder.is_closed})
        await trio.lowlevel.checkpoint()


async def run_ours(seconds: float, streams: int, seed: int) -> Tally:
    tally, opened = Tally(), set[StreamEncoder]()
    start = trio.current_time()
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch_loop, tally)
            nursery.start_soon(watch_memory, tally)
            for slot in range(streams):
                nursery.start_soon(keep_slot_busy, slot, seed, tally, opened)
    tally.wall_s = trio.current_time() - start
    tally.left_open = sum(not encoder.is_closed for encoder in opened) + int(codec_limiter().borrowed_tokens)
    return tally


# --- the naive way --------------------------------------------------------------------------------------


class WriteOnly:
    """The naive way needs this much care: a seekable sink would have headers patched into the sound."""

    def __init__(self) -> None:
        self.body = bytearray()

    def write(self, data: bytes) -> int:
        self.body += data
        return len(data)


def encode_naively(plan: Plan, tally: Tally, stop: threading.Event) -> bytes | None:
    container_name, codec = LIBRARY[plan.format]
    sink = WriteOnly()
    with av.open(sink, "w", format=container_name) as container:
        stream = container.add_stream(codec, rate=plan.rate, layout="mono")
        position = 0
        for piece in plan.pieces():
            if stop.is_set() or (plan.fate != "finished" and position >= plan.fate_at * plan.sample_count):
                return None
            frame = av.AudioFrame.from_ndarray(piece.reshape(1, -1), format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = plan.rate, Fraction(1, plan.rate), position
            container.mux(stream.encode(frame))
            position += piece.size
            tally.audio_s[plan.format] += piece.size / plan.rate
        container.mux(stream.encode(None))
    return bytes(sink.body)


def keep_thread_busy(slot: int, seed: int, tally: Tally, stop: threading.Event) -> None:
    rng = random.Random(seed * 1000 + slot)
    while not stop.is_set():
        plan = plan_stream(rng, slot)
        try:
            body = encode_naively(plan, tally, stop)
            if body is not None:
                check(plan, body, tally)
            elif not stop.is_set():
                tally.cancelled += plan.fate == "cancelled"
                tally.disconnected += plan.fate == "disconnected"
        except Exception as error:
            tally.errors.append(f"{plan}: {error!r}")


@contextmanager
def threads_running(count: int, target: Callable[[int], None], stop: threading.Event) -> Iterator[None]:
    threads = [threading.Thread(target=target, args=(slot,)) for slot in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


async def run_naive(seconds: float, streams: int, seed: int) -> Tally:
    tally, stop = Tally(), threading.Event()
    start = time.perf_counter()
    target = partial(keep_thread_busy, seed=seed, tally=tally, stop=stop)
    with threads_running(streams, target, stop), trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch_loop, tally)
            nursery.start_soon(watch_memory, tally)
    tally.wall_s = time.perf_counter() - start
    return tally


# --- the report -----------------------------------------------------------------------------------------


def as_json(tally: Tally) -> dict[str, object]:
    return {
        "streams_finished": sum(tally.streams.values()),
        "streams_cancelled": tally.cancelled,
        "streams_disconnected": tally.disconnected,
        "wrong_lengths": len(tally.wrong_length),
        "crosstalk": len(tally.crosstalk),
        "errors": len(tally.errors),
        "left_open": tally.left_open,
        "audio_s_per_s": round(sum(tally.audio_s.values()) / tally.wall_s, 1),
        "audio_s_per_s_by_format": {name: round(tally.audio_s[name] / tally.wall_s, 1) for name in FORMATS},
        "loop_lag_p50_ms": round(tally.lag_ms(50), 2),
        "loop_lag_p99_ms": round(tally.lag_ms(99), 2),
        "loop_lag_max_ms": round(tally.lag_ms(100), 2),
        "memory_mb": round(tally.memory_mb[-1], 1),
        "memory_growth_mb": round(tally.growth_mb(), 1),
        "wall_s": round(tally.wall_s, 1),
    }


def failures(tally: Tally) -> list[str]:
    found = tally.wrong_length + tally.crosstalk + tally.errors
    if tally.left_open:
        found.append(f"{tally.left_open} encoders or threads were left")
    if tally.growth_mb() > GROWTH_LIMIT_MB:
        found.append(f"memory grew by {tally.growth_mb():.1f} MB")
    if tally.lag_ms(99) > LAG_LIMIT_MS:
        found.append(f"the loop's p99 lag of {tally.lag_ms(99):.1f} ms is over {LAG_LIMIT_MS:g} ms")
    return found


def once(seconds: float, streams: int) -> dict[str, float]:
    """Run both ways once, for the harness."""
    for slot in range(streams):
        for rate in set(RATES.values()):
            tone(tone_hz(slot), rate)
    with low_latency():
        ours = trio.run(run_ours, seconds, streams, 1)
        naive = trio.run(run_naive, seconds, streams, 1)
    return {
        "speed": sum(ours.audio_s.values()) / ours.wall_s,
        "naive_speed": sum(naive.audio_s.values()) / naive.wall_s,
        "lag_ms": ours.lag_ms(99),
        "naive_lag_ms": naive.lag_ms(99),
        "wrong": len(ours.wrong_length + ours.crosstalk + ours.errors) + ours.left_open,
    }


def question():
    """Return the question for the harness."""
    from harness.question import Figure, Question, Side, Target

    us = "voicetrio"
    return Question(
        name="encode_soak",
        asks="how fast are many encoders at once, and how late is the loop meanwhile?",
        sides=(Side(us, __file__, "once", arguments={"seconds": 6.0, "streams": 64}, core="any"),),
        figures=(
            Figure("audio encoded", "s a second", lambda r: r[us]["speed"]),
            Figure("a thread a stream", "s a second", lambda r: r[us]["naive_speed"]),
            Figure("p99 of the loop's lag", "ms", lambda r: r[us]["lag_ms"], Target(at_most=LAG_LIMIT_MS)),
            Figure("p99 with a thread a stream", "ms", lambda r: r[us]["naive_lag_ms"]),
            Figure("streams gone wrong", "streams", lambda r: r[us]["wrong"], Target(at_most=0)),
        ),
        does_not_say="whether memory grows over hours: the file's own long run does.",
        rounds=2,
        warms_up=False,  # each round is long enough to be warm
        round_s=13.5,
        steady=0.2,
    )


def print_table(ours: dict[str, object], naive: dict[str, object], streams: int) -> None:
    table = Table("", "voicetrio", "a thread a stream", title=f"{streams} streams at once")
    for key, value in ours.items():
        if not isinstance(value, dict):
            table.add_row(key, str(value), str(naive[key]))
    by_format = "audio_s_per_s_by_format"
    for name in FORMATS:
        table.add_row(f"  {name}: audio s per s", str(ours[by_format][name]), str(naive[by_format][name]))
    Console().print(table)


def main(
    *,
    seconds: float = 60.0,
    minutes: float | None = None,
    streams: int = 64,
    seed: int = 1,
    wants_json: Annotated[bool, cyclopts.Parameter("--json", negative=())] = False,
) -> int:
    """Run the soak.

    Parameters
    ----------
    seconds:
        How long ours runs; the naive way runs for a third of it, at most 20 s.
    minutes:
        The same in minutes, for the long run.
    streams:
        How many at once.
    seed:
        Of the lengths, the formats and the fates.
    wants_json:
        Print one JSON object instead of the table.
    """
    seconds = minutes * 60 if minutes is not None else seconds
    faulthandler.enable()
    for slot in range(streams):  # before memory is watched
        for rate in set(RATES.values()):
            tone(tone_hz(slot), rate)
    with low_latency():
        ours = trio.run(run_ours, seconds, streams, seed)
        naive = trio.run(run_naive, min(20.0, seconds / 3), streams, seed)
    wrong = failures(ours)
    if wants_json:
        print(json.dumps({"voicetrio": as_json(ours), "naive": as_json(naive), "failures": wrong}, indent=2))
    else:
        print_table(as_json(ours), as_json(naive), streams)
        for line in wrong[:20]:
            print("WRONG:", line)
    return 1 if wrong else 0


if __name__ == "__main__":
    app = cyclopts.App(help=__doc__)
    app.default(main)
    sys.exit(app())
