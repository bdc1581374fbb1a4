from __future__ import annotations

import numpy as np
import pytest

from voicetrio.audio.wav import read_wav, wav_bytes
from voicetrio.errors import AudioError, ConfigError
from voicetrio.frames import AudioFrame, TextFrame
from voicetrio.runtime.pipeline import pipeline
from voicetrio.runtime.transforms import transform
from voicetrio.transports import wav


def write(path, samples, rate=8000):
    path.write_bytes(wav_bytes(np.asarray(samples, np.int16), rate))
    return path


async def test_a_file_goes_through_a_pipeline(tmp_path):
    samples = np.arange(1000, dtype=np.int16)

    @transform
    def double(frame):
        return frame.with_samples(frame.samples * 2)

    source = write(tmp_path / "in.wav", samples)
    await pipeline(wav.source(source), double, wav.sink(tmp_path / "out.wav")).run()
    written, rate = read_wav(str(tmp_path / "out.wav"))
    assert rate == 8000
    assert np.array_equal(written, samples * 2)


async def test_a_source_sends_mono_frames_with_positions(tmp_path):
    stereo = np.stack([np.full(500, 100, np.int16), np.full(500, 300, np.int16)], axis=1)
    source = write(tmp_path / "in.wav", stereo)
    frames = []

    async def collect(inlet) -> None:
        frames.extend([frame async for frame in inlet])

    await pipeline(wav.source(source), collect).run()
    places = [(frame.position, frame.sample_count) for frame in frames]
    assert places == [(0, 160), (160, 160), (320, 160), (480, 20)]
    assert {int(value) for frame in frames for value in frame.samples} == {200}


async def test_a_sink_keeps_positions_and_leaves_out_what_is_no_audio(tmp_path):
    async def some(outlet) -> None:
        for frame in (
            TextFrame("ignored"),
            AudioFrame.from_samples(np.full(10, 1), 8000, 100),
            AudioFrame.from_samples(np.full(10, 2), 8000, 120),
            AudioFrame.from_samples(np.full(10, 3), 8000, 125),
        ):
            await outlet.send(frame)

    await pipeline(some, wav.sink(tmp_path / "out.wav")).run()
    written, _rate = read_wav(str(tmp_path / "out.wav"))
    assert list(written) == [1] * 10 + [0] * 10 + [2] * 10 + [3] * 5


async def test_a_sink_converts_what_comes_at_another_rate(tmp_path):
    async def two_rates(outlet) -> None:
        await outlet.send(AudioFrame.from_samples(np.full(800, 1000), 8000, 0))
        await outlet.send(AudioFrame.from_samples(np.full(1600, 1000), 16000, 1600))

    await pipeline(two_rates, wav.sink(tmp_path / "out.wav")).run()
    written, rate = read_wav(str(tmp_path / "out.wav"))
    assert (rate, written.size) == (8000, 1600)


async def test_what_cannot_be_read_or_written_is_one_clear_error(tmp_path):
    async def ignore(inlet) -> None:
        async for _frame in inlet:
            pass

    with pytest.raises(AudioError, match="no such file"):
        await pipeline(wav.source(tmp_path / "absent.wav"), ignore).run()
    source = write(tmp_path / "in.wav", [1, 2, 3])
    with pytest.raises(AudioError, match="cannot be written"):
        await pipeline(wav.source(source), wav.sink(tmp_path / "absent" / "out.wav")).run()
    with pytest.raises(ConfigError):
        wav.source(source, frame_ms=0)
