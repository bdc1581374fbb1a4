from __future__ import annotations

import random
import tracemalloc

import numpy as np
import pytest
import trio
import trio.testing

from tests.audio.codecs.signals import HEADERLESS, RATES, decode, encode, loudest_hz, pieces, tone
from tests.audio.codecs.test_container import container
from voicetrio.audio.codecs import FORMATS, encode_whole
from voicetrio.errors import AudioError, CodecMisuse
from voicetrio.runtime.codec_owner import codec_limiter
from voicetrio.runtime.decoding import decode_file, open_stream_decoder


def rate_argument(format: str) -> dict[str, int]:
    return {"rate": RATES[format]} if format in HEADERLESS else {}


@pytest.mark.parametrize("format", FORMATS)
async def test_a_stream_is_what_the_codec_alone_reads(format):
    body = encode(format, tone(24_000, RATES[format]), RATES[format])
    async with open_stream_decoder(format, **rate_argument(format)) as decoder:
        parts = [await decoder.decode(piece) for piece in pieces(body, 777)]
        samples = np.concatenate([*parts, await decoder.finish()])
        assert not decoder.is_closed
    assert decoder.is_closed
    expected, rate, damage = decode(format, body, RATES[format])
    assert np.array_equal(samples, expected)
    assert (decoder.rate, decoder.damage) == (rate, damage)
    assert decoder.statistics().samples_out == samples.size
    assert decoder.statistics().bytes_in == len(body)


async def test_a_decoder_belongs_to_the_task_that_opened_it():
    async with open_stream_decoder("mp3") as decoder:
        refused = []

        async def other() -> None:
            with pytest.raises(CodecMisuse, match="belongs to the task"):
                await decoder.decode(b"\0")
            refused.append(True)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
        assert refused


async def test_it_takes_nothing_after_its_end_or_a_cancelled_call():
    body = encode("mp3", tone(4800, 24000), 24000)
    async with open_stream_decoder("mp3") as decoder:
        await decoder.decode(body)
        await decoder.finish()
        with pytest.raises(CodecMisuse, match="is finished"):
            await decoder.decode(body)
    with pytest.raises(CodecMisuse, match="is closed"):
        await decoder.finish()
    async with open_stream_decoder("mp3") as decoder:
        with trio.CancelScope() as scope:
            scope.cancel()
            await decoder.decode(body)
        with pytest.raises(CodecMisuse, match="was cancelled within a call"):
            await decoder.decode(body)


async def test_a_large_piece_is_many_calls():
    body = encode("pcm", tone(100_000, 24000), 24000)
    async with open_stream_decoder("pcm", rate=24000) as decoder:
        assert (await decoder.decode(body)).size == 100_000
        assert decoder.statistics().calls == 7


async def test_the_limit_on_the_decoded_length_holds():
    bomb = encode("flac", np.zeros(24000 * 30, np.int16), 24000, piece=24000)
    async with open_stream_decoder("flac", max_s=10) as decoder:
        with pytest.raises(AudioError, match="longer than the limit"):
            await decoder.decode(bomb)
    with pytest.raises(AudioError, match="longer than the limit"):
        await decode_file(bomb, max_s=10)
    with pytest.raises(AudioError, match="longer than the limit"):
        await decode_file(encode("mp3", np.zeros(24000 * 30, np.int16), 24000), max_s=10)


@pytest.mark.parametrize("format", ["wav", "mp3", "opus", "flac", "webm"])
async def test_a_file_comes_at_the_rate_that_is_wanted(format):
    samples = tone(48_000 * 3, 48_000)
    body = (
        encode_whole(format, samples, 48_000)
        if format in FORMATS
        else container(format, "libopus", samples, 48_000)
    )
    audio = await decode_file(body, to_hz=16_000)
    assert audio.rate == 16_000
    assert 0 <= audio.samples.size - 48_000 <= 2304 / 3
    assert loudest_hz(audio.samples, 16_000) == pytest.approx(440, abs=2)


async def test_a_small_file_of_a_very_high_rate_costs_no_memory():
    # 40 s at 655,350 Hz are 52 MB of samples, in a file of some kilobytes.
    bomb = encode("flac", np.zeros(655_350 * 40, np.int16), 655_350, piece=1 << 20)
    assert len(bomb) < 300_000
    await decode_file(bomb[:1000], to_hz=16_000)  # what is loaded once is not counted
    tracemalloc.start()
    audio = await decode_file(bomb, to_hz=16_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert audio.samples.size == 16_000 * 40
    assert peak < 30_000_000


@pytest.mark.parametrize("format", ["wav", "mp3", "opus", "flac", "aac", "m4a", "webm"])
async def test_a_file_is_decoded_whatever_it_is(format):
    samples = tone(48_000, 48_000)
    if format in FORMATS:
        body = encode_whole(format, samples, 48_000)
    else:
        body = container(
            {"m4a": "ipod"}.get(format, format), {"m4a": "aac"}.get(format, "libopus"), samples, 48_000
        )
    audio = await decode_file(body)
    assert (audio.rate, audio.damage) == (48_000, None)
    assert 0 <= audio.samples.size - 48_000 <= 2304
    assert loudest_hz(audio.samples, audio.rate) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("format", ["wav", "opus", "flac"])
async def test_a_truncated_file_is_told(format):
    body = encode_whole(format, tone(48_000, 48_000), 48_000)
    audio = await decode_file(body[: len(body) // 2])
    assert audio.samples.size > 10_000
    assert audio.damage is not None


@pytest.mark.parametrize("data", [b"", b"RIFF\0\0\0\0WAVE", b"fLaC", b"<html></html>", bytes(100)])
async def test_a_file_that_holds_no_audio_is_an_error(data):
    with pytest.raises(AudioError):
        await decode_file(data)


async def test_a_cancelled_file_leaves_nothing_behind():
    body = encode_whole("mp3", tone(24000 * 60, 24000), 24000)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(decode_file, body)
            while not codec_limiter().borrowed_tokens:
                await trio.lowlevel.checkpoint()
            scope.cancel()
    assert scope.cancelled_caught
    assert codec_limiter().borrowed_tokens == 0


async def test_a_container_of_an_unknown_codec_is_told():
    body = container("webm", "libopus", tone(48_000, 48_000), 48_000)
    assert b"A_OPUS" in body
    with pytest.raises(AudioError, match="a kind that is not known"):
        await decode_file(body.replace(b"A_OPUS", b"A_ZORK"))


@pytest.mark.parametrize("format", ["wav", "mp3", "opus", "flac", "aac", "m4a", "webm"])
async def test_a_damaged_file_is_read_as_far_as_it_goes_or_is_an_audio_error(format):
    samples = tone(24_000, 48_000)
    if format in FORMATS:
        whole = encode_whole(format, samples, 48_000)
    else:
        kind = {"m4a": "ipod"}.get(format, format)
        whole = container(kind, {"m4a": "aac"}.get(format, "libopus"), samples, 48_000)
    rng = random.Random(format)
    outcomes = set()
    for _ in range(100):
        body = bytearray(whole[: rng.randrange(len(whole))] if rng.random() < 0.3 else whole)
        for _ in range(rng.choice((0, 1, 5, 50))):
            if body:
                body[rng.randrange(min(len(body), rng.choice((64, 400, len(body)))))] = rng.randrange(256)
        try:
            audio = await decode_file(bytes(body), to_hz=16_000, max_s=60)
        except AudioError:
            outcomes.add("refused")
        else:
            assert audio.samples.size <= 60 * 16_000
            outcomes.add("read")
    assert outcomes == {"refused", "read"}
