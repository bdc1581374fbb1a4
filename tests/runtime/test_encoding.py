from __future__ import annotations

import threading

import numpy as np
import pytest
import trio
import trio.testing

from tests.audio.codecs.signals import (
    HEADERLESS,
    RATES,
    assert_length,
    decode,
    encode,
    loudest_hz,
    pieces,
    tone,
)
from voicetrio.audio.codecs import FORMATS
from voicetrio.audio.codecs.base import EncoderBase
from voicetrio.errors import AudioError, CodecMisuse, ConfigError
from voicetrio.runtime import encoding
from voicetrio.runtime.codec_owner import codec_limiter
from voicetrio.runtime.encoding import open_stream_encoder

every_format = pytest.mark.parametrize("format", FORMATS)


class WatchedEncoder(EncoderBase):
    """Stands in for a codec: says when it is inside a call, and waits there to be let go."""

    def __init__(self, *, waits: bool = False) -> None:
        super().__init__(FORMATS["mp3"], 24000)
        self.entered, self.let_go = threading.Event(), threading.Event()
        if not waits:
            self.let_go.set()
        self.is_inside = False
        self.released: list[str] = []
        self.taken: list[int] = []
        self.threads: set[int] = set()

    def _encode(self, samples: np.ndarray) -> bytes:
        self.is_inside = True
        self.threads.add(threading.get_ident())
        self.taken.append(samples.size)
        self.entered.set()
        assert self.let_go.wait(30)
        self.is_inside = False
        return b"x"

    def _finish(self) -> bytes:
        return b"end"

    def _release(self) -> None:
        self.released.append("within a call" if self.is_inside else "idle")


@pytest.fixture
def watched(monkeypatch):
    """Make open_stream_encoder open this encoder whatever it is asked for."""

    def use(**options) -> WatchedEncoder:
        codec = WatchedEncoder(**options)
        monkeypatch.setattr(encoding, "open_encoder", lambda *args, **kwargs: codec)
        return codec

    return use


async def wait_entered(codec: WatchedEncoder) -> None:
    await trio.to_thread.run_sync(codec.entered.wait, 30, limiter=trio.CapacityLimiter(1))


@every_format
async def test_a_stream_is_what_the_codec_alone_makes(format):
    rate = RATES[format]
    samples = tone(rate + 77, rate)
    async with open_stream_encoder(format, rate) as encoder:
        body = b""
        for part in pieces(samples, rate // 50):
            body += await encoder.encode(part)
        body += await encoder.finish()
    assert body == encode(format, samples, rate)
    statistics = encoder.statistics()
    assert (statistics.samples_in, statistics.bytes_out) == (samples.size, len(body))
    assert statistics.waiting_samples == 0


async def test_eight_streams_at_once_keep_their_own_tones():
    async def one(format: str, hz: float) -> None:
        rate = RATES[format]
        body = b""
        async with open_stream_encoder(format, rate) as encoder:
            for part in pieces(tone(rate, rate, hz), rate // 50):
                body += await encoder.encode(part)
            body += await encoder.finish()
        decoded, decoded_rate, damage = decode(format, body, rate)
        assert damage is None
        assert_length(format, decoded.size, decoded_rate, rate, rate)
        assert loudest_hz(decoded, decoded_rate) == pytest.approx(hz, abs=3)

    async with trio.open_nursery() as nursery:
        for number, format in enumerate(["mp3", "mp3", "opus", "opus", "flac", "flac", "aac", "aac"]):
            nursery.start_soon(one, format, 400 + 100 * number)


async def test_two_interleaved_requests_cannot_share_an_encoder():
    """The old bug: a second request writes into the encoder of the first, and closes it under its hands."""
    writers = {}
    refused = []
    first_has_begun, second_is_done = trio.Event(), trio.Event()

    async def first_request() -> None:
        async with open_stream_encoder("mp3", 24000) as writers["mp3_24000"]:
            await writers["mp3_24000"].encode(tone(4800, 24000, 500))
            first_has_begun.set()
            await second_is_done.wait()
            writers["body"] = await writers["mp3_24000"].finish()

    async def second_request() -> None:
        await first_has_begun.wait()
        for attempt in (
            lambda: writers["mp3_24000"].encode(tone(4800, 24000, 900)),
            lambda: writers["mp3_24000"].finish(),
        ):
            with pytest.raises(CodecMisuse, match=r"belongs to the task .*first_request.*second_request"):
                await attempt()
            refused.append(1)
        second_is_done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first_request)
        nursery.start_soon(second_request)
    assert len(refused) == 2
    assert writers["body"]


@every_format
async def test_nothing_is_taken_after_the_end(format):
    samples = tone(4800, RATES[format])
    async with open_stream_encoder(format, RATES[format]) as encoder:
        await encoder.encode(samples)
        await encoder.finish()
        for late in (lambda: encoder.encode(samples), encoder.finish):
            with pytest.raises(CodecMisuse, match="is finished"):
                await late()
    with pytest.raises(CodecMisuse, match="is closed"):
        await encoder.encode(samples)
    await encoder.aclose()


async def test_wrong_arguments_are_refused_before_anything_is_opened():
    for format, rate, options, error in (
        ("ogg", 24000, {}, AudioError),
        ("opus", 22050, {}, AudioError),
        ("mp3", 24000, {"bitrate": 1}, ConfigError),
        ("mp3", 24000, {"batch_ms": -1}, ConfigError),
    ):
        with pytest.raises(error):
            async with open_stream_encoder(format, rate, **options):
                raise AssertionError("it opened")


async def test_samples_of_the_wrong_kind_spoil_nothing():
    async with open_stream_encoder("mp3", 24000) as encoder:
        with pytest.raises(AudioError, match="mono int16"):
            await encoder.encode(np.zeros(4))
        await encoder.encode(tone(4800, 24000))
        assert await encoder.finish()


async def test_short_pieces_are_collected_into_one_call_and_the_first_is_not(watched):
    codec = watched()
    async with open_stream_encoder("mp3", 24000, batch_ms=80) as encoder:
        for _ in range(9):
            await encoder.encode(tone(480, 24000))
        assert codec.taken == [480, 1920, 1920]
        await encoder.encode(tone(480, 24000))
        assert encoder.statistics().waiting_samples == 480
        assert await encoder.finish() == b"xend"
    assert codec.taken == [480, 1920, 1920, 480]


async def test_a_collected_piece_may_be_overwritten_by_its_owner():
    samples = tone(4800, 24000)
    buffer = np.empty(480, np.int16)
    body = b""
    async with open_stream_encoder("flac", 24000) as encoder:
        for part in pieces(samples, 480):
            buffer[:] = part
            body += await encoder.encode(buffer)
            buffer[:] = 0
        body += await encoder.finish()
    assert np.array_equal(decode("flac", body, 24000)[0], samples)


async def test_a_long_piece_is_many_calls(watched):
    codec = watched()
    async with open_stream_encoder("mp3", 24000) as encoder:
        assert await encoder.encode(tone(60_000, 24000)) == b"xxx"
    assert codec.taken == [24_000, 24_000, 12_000]


async def test_heavy_formats_leave_the_event_loop_and_light_ones_do_not(watched):
    codec = watched()
    for format, leaves in (("mp3", True), ("wav", False)):
        codec.threads.clear()
        codec._guard.state = "open"
        async with open_stream_encoder(format, 24000) as encoder:
            await encoder.encode(tone(4800, 24000))
        assert (threading.get_ident() not in codec.threads) is leaves


async def test_calls_share_a_limiter_sized_to_the_cores(watched):
    assert codec_limiter() is codec_limiter()
    assert codec_limiter().total_tokens >= 1
    codec = watched(waits=True)
    async with open_stream_encoder("mp3", 24000) as encoder:
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await wait_entered(codec)
                assert codec_limiter().borrowed_tokens == 1
                codec.let_go.set()

            nursery.start_soon(watch)
            await encoder.encode(tone(4800, 24000))


# --- cancelled in every phase: the codec is closed, once, and never under a call ---------------------


async def test_cancelled_while_it_opens(watched):
    codec = watched()
    with trio.CancelScope() as scope:
        scope.cancel()
        async with open_stream_encoder("mp3", 24000):
            raise AssertionError("it opened")
    assert scope.cancelled_caught
    assert codec.released == []  # it was never made


async def test_cancelled_while_it_waits_for_a_thread(watched):
    codec = watched()
    limiter = trio.CapacityLimiter(1)
    with trio.CancelScope() as scope:
        async with open_stream_encoder("mp3", 24000, limiter=limiter) as encoder:
            limiter.acquire_on_behalf_of_nowait("another stream")
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def cancel() -> None:
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()

                await encoder.encode(tone(4800, 24000))
    assert scope.cancelled_caught
    assert codec.taken == []
    assert codec.released == ["idle"]
    assert limiter.borrowed_tokens == 1


async def test_cancelled_within_a_call_returns_when_the_call_does(watched):
    codec = watched(waits=True)
    outcome = []
    with trio.CancelScope() as scope:
        async with open_stream_encoder("mp3", 24000) as encoder:
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def cancel() -> None:
                    await wait_entered(codec)
                    scope.cancel()
                    assert codec.released == []
                    codec.let_go.set()

                outcome.append(await encoder.encode(tone(480, 24000)))
                await trio.lowlevel.checkpoint()
                raise AssertionError("the cancellation was lost")
    assert scope.cancelled_caught
    assert outcome == [b"x"]
    assert codec.released == ["idle"]
    assert codec_limiter().borrowed_tokens == 0


async def test_cancelled_between_two_calls_of_a_long_piece(watched):
    codec = watched(waits=True)
    with trio.CancelScope() as scope:
        async with open_stream_encoder("mp3", 24000) as encoder:
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def cancel() -> None:
                    await wait_entered(codec)
                    scope.cancel()
                    codec.let_go.set()

                await encoder.encode(tone(24000 * 3, 24000))
    assert scope.cancelled_caught
    assert codec.taken == [24000]
    assert codec.released == ["idle"]


async def test_after_a_cancelled_call_it_can_only_be_closed(watched):
    codec = watched()
    async with open_stream_encoder("mp3", 24000) as encoder:
        with trio.CancelScope() as scope:
            scope.cancel()
            await encoder.encode(tone(480, 24000))
        for late in (lambda: encoder.encode(tone(480, 24000)), encoder.finish):
            with pytest.raises(CodecMisuse, match="was cancelled within a call"):
                await late()
    assert codec.released == ["idle"]


async def test_an_exception_in_the_block_closes_it(watched):
    codec = watched()
    with pytest.raises(ZeroDivisionError):
        async with open_stream_encoder("mp3", 24000):
            raise ZeroDivisionError
    assert codec.released == ["idle"]


async def test_a_failure_of_the_codec_spends_it(watched, monkeypatch):
    codec = watched()

    def fail(samples):
        raise AudioError("mp3: the library failed")

    monkeypatch.setattr(codec, "_encode", fail)
    async with open_stream_encoder("mp3", 24000) as encoder:
        with pytest.raises(AudioError, match="library failed"):
            await encoder.encode(tone(480, 24000))
        with pytest.raises(CodecMisuse, match="has failed"):
            await encoder.encode(tone(480, 24000))
    assert codec.released == ["idle"]


async def test_closing_from_another_task_waits_for_the_call_in_flight(watched):
    codec = watched(waits=True)
    order = []
    async with open_stream_encoder("mp3", 24000) as encoder:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def close() -> None:
                await wait_entered(codec)
                nursery.start_soon(let_go)
                await encoder.aclose()
                order.append("closed")
                assert codec.released == ["idle"]

            async def let_go() -> None:
                await trio.testing.wait_all_tasks_blocked()
                assert codec.released == []
                codec.let_go.set()

            assert await encoder.encode(tone(480, 24000)) == b"x"
            order.append("encoded")
        with pytest.raises(CodecMisuse, match="is closed"):
            await encoder.finish()
    assert sorted(order) == ["closed", "encoded"]


async def test_closing_is_bounded_and_left_to_a_call_that_takes_longer(watched, autojump_clock):
    codec = watched(waits=True)
    async with open_stream_encoder("mp3", 24000) as encoder:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def close() -> None:
                await wait_entered(codec)
                await encoder.aclose()
                # The second of virtual time is over, and the call is still in flight.
                assert codec.released == []
                codec.let_go.set()

            await encoder.encode(tone(480, 24000))
    assert codec.released == ["idle"]


async def test_closing_between_the_calls_of_a_long_piece_stops_it(watched):
    codec = watched(waits=True)
    async with open_stream_encoder("mp3", 24000) as encoder:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def close() -> None:
                await wait_entered(codec)
                nursery.start_soon(encoder.aclose)
                await trio.testing.wait_all_tasks_blocked()
                codec.let_go.set()

            with pytest.raises(CodecMisuse, match="was closed by another task"):
                await encoder.encode(tone(24000 * 3, 24000))
    assert codec.taken == [24000]
    assert codec.released == ["idle"]


async def test_many_streams_cancelled_at_random_leave_nothing_behind():
    random = np.random.default_rng(7)
    opened, ended = [], []

    async def cancel_after(scope: trio.CancelScope, checkpoints: int) -> None:
        for _ in range(checkpoints):
            await trio.lowlevel.checkpoint()
        scope.cancel()

    async def one(format: str, piece_count: int, checkpoints: int) -> None:
        rate = RATES[format]
        with trio.CancelScope() as scope:
            async with open_stream_encoder(format, rate) as encoder:
                opened.append(encoder)
                for number, part in enumerate(pieces(tone(rate, rate), rate // 10)):
                    if number == piece_count:
                        nursery.start_soon(cancel_after, scope, checkpoints)
                    await encoder.encode(part)
                await encoder.finish()
        ended.append(scope.cancelled_caught)

    async with trio.open_nursery() as nursery:
        for number in range(63):
            format = list(FORMATS)[number % 9]
            nursery.start_soon(one, format, int(random.integers(0, 12)), int(random.integers(0, 8)))
    assert len(opened) == 63
    assert 20 < sum(ended) < 63
    assert codec_limiter().borrowed_tokens == 0
    assert codec_limiter().statistics().tasks_waiting == 0
    assert all(encoder.is_closed for encoder in opened)


def test_the_light_formats_are_those_that_are_arithmetic():
    assert {name for name, each in FORMATS.items() if not each.is_heavy} == {*HEADERLESS, "wav"}
