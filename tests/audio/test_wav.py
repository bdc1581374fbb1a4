from __future__ import annotations

import io
import os
import struct
import threading
import wave

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from voicetrio.audio.g711 import alaw_encode, mulaw_encode
from voicetrio.audio.wav import WavReader, WavWriter, read_wav, wav_bytes, wav_header
from voicetrio.errors import AudioError, ConfigError

RAMP = np.arange(-3000, 3000, 7, dtype=np.int16)
STEREO = np.stack((RAMP, RAMP // 2), axis=1)


def chunk(kind, body, size=None):
    return kind + struct.pack("<I", len(body) if size is None else size) + body + b"\0" * (len(body) % 2)


def format_chunk(tag, bits, *, channels=1, rate=8000, container=None, extensible=False):
    block = channels * (container or -(-bits // 8))
    numbers = struct.pack("<HIIHH", channels, rate, rate * block, block, bits)
    if not extensible:
        return chunk(b"fmt ", struct.pack("<H", tag) + numbers)
    guid = struct.pack("<H", tag) + bytes.fromhex("000000001000800000AA00389B71")
    return chunk(b"fmt ", struct.pack("<H", 0xFFFE) + numbers + struct.pack("<HHI", 22, bits, 0) + guid)


def riff(*chunks, size=None):
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def coded(bits, samples=RAMP):
    """``samples`` as PCM of another width, left-justified."""
    wide = samples.astype(np.int64)
    if bits == 8:
        return ((wide >> 8) + 128).astype(np.uint8).tobytes()
    if bits == 24:
        return (wide << 8).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    return (wide << (bits - 16)).astype(f"<i{bits // 8}").tobytes()


# --- formats --------------------------------------------------------------------------------------


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize("bits", [16, 24, 32])
def test_integer_pcm_is_read_exactly(bits, extensible):
    samples, rate = read_wav(riff(format_chunk(1, bits, extensible=extensible), chunk(b"data", coded(bits))))
    assert rate == 8000
    assert samples.dtype == np.int16
    assert np.array_equal(samples, RAMP)


def test_8_bit_pcm_is_unsigned():
    samples, _ = read_wav(riff(format_chunk(1, 8), chunk(b"data", bytes([0, 128, 255, 129]))))
    assert samples.tolist() == [-32768, 0, 32512, 256]


def test_24_bits_are_rounded_and_saturated():
    body = b"".join(
        value.to_bytes(3, "little", signed=True) for value in (0x7FFFFF, -0x800000, 384, 127, -257)
    )
    samples, _ = read_wav(riff(format_chunk(1, 24), chunk(b"data", body)))
    assert samples.tolist() == [32767, -32768, 2, 0, -1]


@pytest.mark.parametrize(("bits", "dtype"), [(32, "<f4"), (64, "<f8")])
def test_float_is_read_and_saturated(bits, dtype):
    values = np.array([0.0, 0.5, -0.5, 1.0, 3.0, -3.0, np.nan], dtype)
    samples, _ = read_wav(
        riff(format_chunk(3, bits), chunk(b"fact", b"\7\0\0\0"), chunk(b"data", values.tobytes()))
    )
    assert samples.tolist() == [0, 16384, -16384, 32767, 32767, -32768, 0]


@pytest.mark.parametrize(("tag", "encode"), [(7, mulaw_encode), (6, alaw_encode)])
def test_g711_is_read(tag, encode):
    samples, _ = read_wav(riff(format_chunk(tag, 8), chunk(b"data", encode(RAMP))))
    assert np.max(np.abs(samples.astype(int) - RAMP)) <= 68  # half a step and the coder's own bias


def test_20_bits_in_a_container_of_24():
    body = riff(format_chunk(1, 20, container=3), chunk(b"data", coded(24)))
    assert np.array_equal(read_wav(body)[0], RAMP)


@pytest.mark.parametrize("channels", [2, 3, 6])
def test_channels_are_averaged_or_kept(channels):
    samples = np.stack([RAMP * k for k in range(channels)], axis=1)
    data = riff(format_chunk(1, 16, channels=channels), chunk(b"data", samples.tobytes()))
    kept, _ = read_wav(data, mono=False)
    assert np.array_equal(kept, samples)
    assert np.allclose(read_wav(data)[0], RAMP * ((channels - 1) / 2), atol=0.5)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000, 192000])
def test_any_usual_rate_is_told(rate):
    assert read_wav(wav_bytes(RAMP, rate))[1] == rate


# --- structure ------------------------------------------------------------------------------------


def test_unknown_chunks_of_odd_length_are_skipped():
    data = riff(
        chunk(b"LIST", b"INFOISFT\5\0\0\0Lavf\0"),
        format_chunk(1, 16),
        chunk(b"bext", b"odd"),
        chunk(b"data", RAMP.tobytes()),
        chunk(b"id3 ", b"not audio!"),
    )
    assert np.array_equal(read_wav(data)[0], RAMP)


@pytest.mark.parametrize("riff_size", [0, 36, 0xFFFFFFFF])
@pytest.mark.parametrize("data_size", [0, 0xFFFFFFFF])
def test_a_streamed_header_means_until_the_end(riff_size, data_size):
    data = riff(format_chunk(1, 16), chunk(b"data", RAMP.tobytes(), size=data_size), size=riff_size)
    with WavReader(data) as reader:
        assert reader.sample_count is None
        assert np.array_equal(reader.read(10_000), RAMP)
        assert not reader.truncated


def test_the_size_that_sox_writes_into_a_pipe_means_until_the_end():
    data = riff(format_chunk(1, 16), chunk(b"data", RAMP.tobytes(), size=0x7FFFF000))
    with WavReader(data) as reader:
        assert np.array_equal(reader.read(10_000), RAMP)
        assert not reader.truncated


def test_an_empty_data_chunk_does_not_swallow_what_follows():
    data = riff(format_chunk(1, 16), chunk(b"data", b""), chunk(b"LIST", b"INFOabcd"))
    with pytest.raises(AudioError, match="holds no samples"):
        read_wav(data)


def test_rf64_tells_its_size_elsewhere():
    sizes = struct.pack("<QQQI", 0, RAMP.nbytes, RAMP.size, 0)
    data = riff(
        chunk(b"ds64", sizes),
        format_chunk(1, 16),
        chunk(b"data", RAMP.tobytes(), size=0xFFFFFFFF),
        chunk(b"LIST", b"INFO"),
        size=0xFFFFFFFF,
    )
    assert np.array_equal(read_wav(b"RF64" + data[4:])[0], RAMP)


@pytest.mark.parametrize("kept", [1, 2, 101, 1000])
def test_of_truncated_data_what_is_there_is_read_and_flagged(kept):
    whole = wav_bytes(RAMP, 8000)
    with WavReader(whole[: 44 + kept]) as reader:
        samples = reader.read(10_000)
        assert np.array_equal(samples, RAMP[: kept // 2])
        assert reader.truncated
        assert reader.sample_count == RAMP.size


def test_half_a_sample_at_the_end_of_a_stream_is_flagged():
    with WavReader(wav_header(8000, 2) + b"\1\0\2\0\3") as reader:
        assert reader.read(10).tolist() == [[1, 2]]
        assert reader.truncated


def test_reading_in_pieces_gives_the_same():
    with WavReader(wav_bytes(STEREO, 8000)) as reader:
        assert (reader.rate, reader.channels, reader.sample_count) == (8000, 2, RAMP.size)
        parts = []
        while (part := reader.read(100)).size:
            assert part.shape[0] <= 100
            parts.append(part)
        assert np.array_equal(np.concatenate(parts), STEREO)
        assert not reader.truncated
        assert reader.read(100).shape == (0, 2)


def test_a_pipe_can_be_read():
    out, into = os.pipe()
    data = wav_bytes(np.tile(RAMP, 200), 8000)

    def write():
        with os.fdopen(into, "wb") as file:
            file.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(out, "rb", buffering=0) as file:
        samples, _ = read_wav(file)
    writer.join()
    assert np.array_equal(samples, np.tile(RAMP, 200))


def test_a_file_that_the_caller_opened_stays_open(tmp_path):
    file = io.BytesIO(wav_bytes(RAMP, 8000))
    read_wav(file)
    assert not file.closed


# --- what cannot be read --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is empty"),
        (b"RIFF", "not a WAV file"),
        (b"this is a text, not audio", "not a WAV file"),
        (b"OggS" + bytes(60), "not a WAV file"),
        (riff(), "no 'fmt ' chunk"),
        (riff(format_chunk(1, 16)), "no 'data' chunk"),
        (wav_bytes(RAMP, 8000)[:30], "'fmt ' chunk is too short"),
        (riff(chunk(b"data", RAMP.tobytes())), "come before its format"),
        (riff(format_chunk(2, 4, container=1), chunk(b"data", b"1234")), "coding 0x0002 is not supported"),
        (riff(format_chunk(1, 16, rate=0), chunk(b"data", b"1234")), "rate of 0 Hz"),
        (riff(format_chunk(1, 16, channels=0), chunk(b"data", b"1234")), "0 channels"),
        (riff(format_chunk(1, 64), chunk(b"data", bytes(16))), "64-bit PCM"),
        (riff(format_chunk(3, 16), chunk(b"data", bytes(16))), "16-bit float"),
        (wav_bytes(RAMP[:0], 8000), "holds no samples"),
        (wav_bytes(RAMP, 8000)[:45], "holds no samples"),
    ],
)
def test_what_cannot_be_read_is_one_clear_line(tmp_path, data, why):
    path = tmp_path / "in.wav"
    path.write_bytes(data)
    with pytest.raises(AudioError) as caught:
        read_wav(path)
    text = str(caught.value)
    assert why in text
    assert text.startswith(f"{path}: ")
    assert "\n" not in text


def test_a_missing_file_and_a_directory_are_named(tmp_path):
    with pytest.raises(AudioError, match=r"absent\.wav: no such file"):
        read_wav(tmp_path / "absent.wav")
    with pytest.raises(AudioError, match="is a directory"):
        read_wav(tmp_path)


def test_a_disk_that_fails_is_told():
    class FailingFile(io.BytesIO):
        name = "failing.wav"

        def read(self, size=-1, /):
            if self.tell() >= 44:
                raise OSError(5, "Input/output error")
            return super().read(size)

    with pytest.raises(AudioError, match=r"^failing\.wav: cannot be read: input/output error$"):
        read_wav(FailingFile(wav_bytes(RAMP, 8000)))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full disk")
def test_a_disk_that_is_full_is_told():
    def record(sample_count):
        with WavWriter("/dev/full", 8000) as writer:
            writer.write(np.zeros(sample_count, np.int16))

    for sample_count in (1, 100_000):  # found out at the close, and by a write
        with pytest.raises(AudioError, match=r"^/dev/full: cannot be written: no space left"):
            record(sample_count)


def test_bytes_have_no_name():
    with pytest.raises(AudioError, match="the WAV data: not a WAV file"):
        read_wav(b"x" * 100)


@given(st.binary(max_size=200))
def test_no_garbage_after_a_header_does_harm(garbage):
    for data in (garbage, b"RIFF\0\0\0\0WAVE" + garbage, riff(format_chunk(1, 16), garbage)):
        try:
            samples, rate = read_wav(data)
        except AudioError:
            continue
        assert samples.size
        assert rate > 0


# --- writing --------------------------------------------------------------------------------------


@given(hnp.arrays(np.int16, st.tuples(st.integers(1, 300), st.integers(1, 4))), st.integers(8000, 192000))
def test_what_is_written_is_read_back(samples, rate):
    if samples.shape[1] == 1:
        samples = samples[:, 0]
    back, rate_back = read_wav(wav_bytes(samples, rate), mono=False)
    assert rate_back == rate
    assert np.array_equal(back, samples)


def test_foreign_readers_agree(tmp_path):
    path = tmp_path / "out.wav"
    with WavWriter(path, 16000, 2) as writer:
        for start in range(0, RAMP.size, 100):
            writer.write(STEREO[start : start + 100])
        assert writer.sample_count == RAMP.size
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (16000, 2, RAMP.size)
        assert file.readframes(RAMP.size) == STEREO.tobytes()
    with av.open(str(path)) as container:
        decoded = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert np.array_equal(decoded.reshape(-1, 2), STEREO)


def test_a_file_that_was_never_closed_can_be_read(tmp_path):
    path = tmp_path / "cut.wav"
    writer = WavWriter(path, 8000)
    writer.write(np.tile(RAMP, 20))
    samples, _ = read_wav(path)  # a program that is killed leaves this
    assert samples.size > RAMP.size
    assert np.array_equal(samples, np.tile(RAMP, 20)[: samples.size])
    writer.close()
    writer.close()
    assert read_wav(path)[0].size == RAMP.size * 20


def test_an_exception_leaves_a_complete_file(tmp_path):
    path = tmp_path / "interrupted.wav"
    interrupted = KeyboardInterrupt()

    def record():
        with WavWriter(path, 8000) as writer:
            writer.write(RAMP)
            raise interrupted

    with pytest.raises(KeyboardInterrupt):
        record()
    with WavReader(path) as reader:
        assert reader.sample_count == RAMP.size
        assert np.array_equal(reader.read(10_000), RAMP)


def test_a_pipe_keeps_the_streamed_header(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    with WavWriter(path, 8000) as writer:
        writer.write(RAMP)
    reader.join()
    assert read[0] == wav_header(8000) + RAMP.tobytes()


def test_a_file_that_cannot_be_made_is_named(tmp_path):
    with pytest.raises(AudioError, match=r"absent/out\.wav: cannot be written: no such file"):
        WavWriter(tmp_path / "absent" / "out.wav", 8000)


def test_a_writer_takes_only_what_its_header_says(tmp_path):
    with WavWriter(tmp_path / "out.wav", 8000) as writer:
        with pytest.raises(ConfigError, match="1 channels"):
            writer.write(STEREO)
        with pytest.raises(ConfigError, match="int16"):
            writer.write(np.zeros(5))
    with pytest.raises(ConfigError, match="at 0 Hz"):
        WavWriter(tmp_path / "other.wav", 0)
    assert not (tmp_path / "other.wav").exists()


def test_a_header_of_unknown_or_huge_length_is_a_streamed_one():
    assert len(wav_header(24000)) == 44
    assert wav_header(24000)[40:] == b"\xff\xff\xff\xff"
    assert wav_header(24000, 1, 1 << 33) == wav_header(24000)
    assert wav_header(24000, 1, 10)[4:8] == struct.pack("<I", 46)
