from __future__ import annotations

import numpy as np
import pytest
import trio

from tests.transports.inbound import running
from voicetrio.audio.wav import read_wav, wav_bytes
from voicetrio.errors import AudioError, ConfigError
from voicetrio.frames import AudioFrame
from voicetrio.runtime.transport import HangUp, SendMessage
from voicetrio.transports.file import wav_peer


def write(path, samples, rate=16000):
    path.write_bytes(wav_bytes(np.asarray(samples, np.int16), rate))
    return path


async def test_paced_each_frame_comes_when_its_last_sample_was_recorded(tmp_path, autojump_clock):
    spoken = np.arange(1000, dtype=np.int16)
    peer = wav_peer(write(tmp_path / "in.wav", spoken), tail_silence_s=0.1)
    async with running(peer) as run:
        await trio.sleep(10)
        assert run.inbound.times == pytest.approx([0.02 * (k + 1) for k in range(len(run.inbound.times))])
        positions = [frame.position for frame in run.inbound.frames]
        assert positions == [320 * k for k in range(len(positions))]
        samples = np.concatenate([frame.samples for frame in run.inbound.frames])
        assert np.array_equal(samples[:1000], spoken)
        assert not samples[1000:].any()
        assert samples.size >= 1000 + 1600
        assert run.inbound.source_ended_at == run.inbound.times[-1]
        counts = peer.statistics()
        assert (counts.spoken_s, counts.late_s) == (1000 / 16000, 0)


async def test_not_paced_the_session_sets_the_pace(tmp_path, autojump_clock):
    peer = wav_peer(write(tmp_path / "in.wav", np.ones(3200)), paced=False, tail_silence_s=0)
    assert not peer.traits.live
    async with running(peer) as run:
        run.inbound.waits_s = 5
        await trio.sleep(1000)
        assert run.inbound.times == [5.0 * (k + 1) for k in range(10)]


async def test_other_rates_are_converted(tmp_path, autojump_clock):
    tone = (8000 * np.sin(np.arange(44100) * 2 * np.pi * 440 / 44100)).astype(np.int16)
    peer = wav_peer(write(tmp_path / "in.wav", tone, 44100), tail_silence_s=0)
    async with running(peer) as run:
        await trio.sleep(10)
        samples = np.concatenate([frame.samples for frame in run.inbound.frames])
        assert 16000 <= samples.size <= 16320
        crossings = np.count_nonzero(np.diff(np.signbit(samples[:16000])))
        assert crossings == pytest.approx(880, abs=2)


async def test_what_is_heard_is_written_at_its_position(tmp_path, autojump_clock):
    out = tmp_path / "out.wav"
    peer = wav_peer(write(tmp_path / "in.wav", [1]), out, output_rate=8000)
    async with running(peer) as run:
        for position, value in ((0, 1), (160, 2), (480, 3), (160, 4)):
            run.outbox.offer(AudioFrame.from_samples(np.full(160, value), 8000, position))
        run.outbox.put(SendMessage("ignored"))
        run.outbox.put(HangUp())
        await run.over.wait()
    written, rate = read_wav(str(out))
    assert rate == 8000
    assert list(written[::160]) == [1, 4, 0, 3]
    assert run.gone is None


async def test_a_cancelled_peer_leaves_a_whole_file(tmp_path, autojump_clock):
    out = tmp_path / "out.wav"
    async with running(wav_peer(write(tmp_path / "in.wav", [1]), out, output_rate=8000)) as run:
        run.outbox.offer(AudioFrame.from_samples(np.full(160, 7), 8000, 0))
        await trio.sleep(1)
    written, _rate = read_wav(str(out))
    assert list(written) == [7] * 160


async def test_files_that_cannot_be_read_are_refused_before_a_session(tmp_path):
    with pytest.raises(AudioError, match="no such file"):
        wav_peer(tmp_path / "absent.wav")
    (tmp_path / "empty.wav").write_bytes(wav_bytes(np.zeros(0, np.int16), 8000))
    with pytest.raises(AudioError, match="no samples"):
        wav_peer(tmp_path / "empty.wav")
    with pytest.raises(ConfigError):
        wav_peer(write(tmp_path / "in.wav", [1]), tail_silence_s=-1)


async def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path):
    peer = wav_peer(write(tmp_path / "in.wav", [1]), tmp_path / "absent" / "out.wav")
    with pytest.RaisesGroup(pytest.RaisesExc(AudioError, match="cannot be written"), flatten_subgroups=True):
        async with running(peer):
            await trio.sleep_forever()
