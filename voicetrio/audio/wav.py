"""WAV files: read whatever is common, write 16-bit PCM.

Reading goes forward only, so a pipe is as good as a file.  It takes integer PCM of 8 to 32 bits, float of
32 and 64 bits, mu-law and A-law, plain or WAVE_FORMAT_EXTENSIBLE, RIFF or RF64, any channels, and headers
whose sizes were never filled in (0 or 0xFFFFFFFF, as streams have them).  Everything becomes int16.

Writing begins with such a streamed header, so the file can be read at any instant, also after a crash; a
normal close fills in the sizes.

The calls block on the disk for as long as it takes: a trio program reads long files in a worker thread.
"""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Self, TypeAlias, cast, final

import attrs
import numpy as np

from voicetrio.audio.g711 import alaw_decode, mulaw_decode
from voicetrio.audio.pcm import from_float, to_mono
from voicetrio.errors import AudioError, ConfigError
from voicetrio.values import Value

if TYPE_CHECKING:
    from types import TracebackType

    from voicetrio.frames import Samples

__all__ = ["WavReader", "WavWriter", "read_wav", "wav_bytes", "wav_header"]

WavSource: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""What can be read: a path, the bytes of a file, or an open binary file (which is not closed)."""

_PCM, _FLOAT, _ALAW, _MULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_NAMES: Final = {_PCM: "PCM", _FLOAT: "float", _ALAW: "A-law", _MULAW: "mu-law"}
_CONTAINER_BYTES: Final = {_PCM: (1, 2, 3, 4), _FLOAT: (4, 8), _ALAW: (1,), _MULAW: (1,)}
_UNKNOWN_SIZE: Final = 0xFFFFFFFF
_LARGEST_TRUSTED_SIZE: Final = 0x7FFFEFFF
"""Beyond this a size is what some program writes into a pipe: 0xFFFFFFFF (FFmpeg), 0x7FFFF000 (SoX)."""
_RATES_HZ: Final = range(1_000, 768_001)
_MAX_CHANNELS: Final = 64
_READ_BYTES: Final = 1 << 20
_LONGEST_FORMAT: Final = 64  # bytes of a chunk that matter here


@attrs.frozen(eq=False, repr=False)
class _Format(Value):
    """What the ``fmt`` chunk says."""

    tag: int
    channels: int
    rate: int
    container_bytes: int
    """Of one sample of one channel; the significant bits stand at the top of it."""

    @property
    def block_bytes(self) -> int:
        return self.container_bytes * self.channels


def read_wav(source: WavSource, *, mono: bool = True) -> tuple[Samples, int]:
    """Read a whole WAV file; return ``(samples, rate)``.

    ``samples`` is int16, shape ``(n,)``: channels are averaged.  With ``mono=False`` a file of several
    channels gives shape ``(n, channels)``.  Of a truncated file what is there is returned; WavReader tells
    whether it was.  Raises AudioError, naming the file and the reason, when the file is missing, empty, no
    WAV, in a format that is not supported, or holds no samples.
    """
    with WavReader(source) as reader:
        parts = []
        while (part := reader.read(_READ_BYTES // 2)).size:
            parts.append(to_mono(part) if mono else part)
        if not parts:
            raise AudioError(f"{reader.name}: the file holds no samples")
        return np.concatenate(parts), reader.rate


@final
class WavReader:
    """Reads a WAV file bit by bit; a context manager.

    Attributes:
        name: the file's name, for messages.
        rate: hertz.
        channels: how many.
        sample_count: samples per channel that the header declares, or None where it does not know.
        truncated: True once the file has ended before what its header declares.
    """

    def __init__(self, source: WavSource) -> None:
        """Open ``source`` and read its header; raises AudioError like read_wav."""
        self._file, self.name, self._owned = _open(source)
        self.truncated = False
        try:
            self._format, declared, self._streamed = _read_header(self._file, self.name)
        except BaseException:
            self.close()
            raise
        self.rate = self._format.rate
        self.channels = self._format.channels
        self._left = declared
        self.sample_count = None if declared is None else declared // self._format.block_bytes

    def read(self, sample_count: int) -> Samples:
        """Return up to ``sample_count`` samples per channel, int16; none at the end.

        Shape ``(n,)`` for mono and ``(n, channels)`` otherwise.  Fewer than asked come only at the end.
        """
        block = self._format.block_bytes
        wanted = sample_count * block if self._left is None else min(sample_count * block, self._left)
        data = _read_exactly(self._file, wanted, self.name)
        if self._left is not None:
            self._left -= len(data)
        if len(data) < wanted and not self._streamed:
            self.truncated = True
        if len(data) % block:
            self.truncated = True
            data = data[: -(len(data) % block)]
        samples = _to_int16(data, self._format)
        return samples if self.channels == 1 else samples.reshape(-1, self.channels)

    def close(self) -> None:
        """Close the file, unless the caller opened it."""
        if self._owned:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def wav_header(rate: int, channels: int = 1, data_bytes: int | None = None) -> bytes:
    """Return the 44 bytes that stand before 16-bit PCM.

    ``data_bytes`` is the length of the PCM; None (a stream whose end is not known) writes 0xFFFFFFFF,
    which players take as "until the end".  Longer than a WAV can tell (4 GiB) is written the same way.
    """
    if rate not in _RATES_HZ or not 1 <= channels <= _MAX_CHANNELS:
        raise ConfigError(f"a WAV file of {channels} channels at {rate} Hz is not supported")
    if data_bytes is None or data_bytes + 36 >= _UNKNOWN_SIZE:
        riff_bytes = data_bytes = _UNKNOWN_SIZE
    else:
        riff_bytes = data_bytes + 36
    block = 2 * channels
    return b"RIFF" + struct.pack(
        "<I4s4sIHHIIHH4sI",
        *(riff_bytes, b"WAVE", b"fmt ", 16, _PCM, channels, rate, rate * block, block, 16),
        *(b"data", data_bytes),
    )


def wav_bytes(samples: Samples, rate: int) -> bytes:
    """Return a whole WAV file of int16 ``samples``, shape ``(n,)`` or ``(n, channels)``."""
    pcm = _to_pcm(samples)
    return wav_header(rate, 1 if samples.ndim == 1 else samples.shape[1], len(pcm)) + pcm


@final
class WavWriter:
    """Writes a 16-bit WAV file bit by bit; a context manager.

    The file can be read at any instant.  Leaving the block, by an exception too, fills in the sizes.
    A path that cannot seek (a pipe) keeps the streamed header.
    """

    def __init__(self, path: str | os.PathLike[str], rate: int, channels: int = 1) -> None:
        """Create or replace the file at ``path``; raises AudioError if that cannot be done."""
        header = wav_header(rate, channels)
        self.path = Path(path)
        self.rate = rate
        self.channels = channels
        self.sample_count = 0
        try:
            self._file: BinaryIO = open(self.path, "wb")  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise AudioError(f"{self.path}: cannot be written: {_reason(error)}") from error
        self._file.write(header)

    def write(self, samples: Samples) -> None:
        """Append int16 ``samples``: shape ``(n,)`` for mono, ``(n, channels)`` otherwise.

        Raises AudioError when the disk does not take them.
        """
        channels = 1 if samples.ndim == 1 else samples.shape[1]
        if channels != self.channels:
            raise ConfigError(f"{self.path}: has {self.channels} channels, cannot take audio of {channels}")
        try:
            self._file.write(_to_pcm(samples))
        except OSError as error:
            raise AudioError(f"{self.path}: cannot be written: {_reason(error)}") from error
        self.sample_count += samples.shape[0]

    def close(self) -> None:
        """Fill in the sizes and close the file; again does nothing."""
        if self._file.closed:
            return
        try:
            with self._file:
                if self._file.seekable():
                    self._file.seek(0)
                    self._file.write(
                        wav_header(self.rate, self.channels, self.sample_count * 2 * self.channels)
                    )
        except OSError as error:
            raise AudioError(f"{self.path}: cannot be written: {_reason(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except AudioError:
            if error is None:  # else what ended the block tells more
                raise


# --- reading ---------------------------------------------------------------------------------------


def _open(source: WavSource) -> tuple[BinaryIO, str, bool]:
    """Return the file, its name, and whether it is ours to close."""
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source), "the WAV data", True
    if isinstance(source, str | os.PathLike):
        try:
            return open(source, "rb"), os.fspath(source), True
        except OSError as error:
            raise AudioError(f"{os.fspath(source)}: {_reason(error)}") from error
    return source, str(getattr(source, "name", "the WAV data")), False


def _reason(error: OSError) -> str:
    return "no such file" if isinstance(error, FileNotFoundError) else (error.strerror or str(error)).lower()


def _read_exactly(file: BinaryIO, count: int, name: str) -> bytes:
    """Read ``count`` bytes, fewer only at the end of the file (a raw file may give less at a time)."""
    parts = []
    try:
        while count and (part := file.read(min(count, _READ_BYTES))):
            parts.append(part)
            count -= len(part)
    except OSError as error:
        raise AudioError(f"{name}: cannot be read: {_reason(error)}") from error
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _skip(file: BinaryIO, count: int, name: str) -> None:
    """Read on without keeping what is read, whatever length a damaged chunk claims."""
    while count > 0 and (part := _read_exactly(file, min(count, _READ_BYTES), name)):
        count -= len(part)


def _read_header(file: BinaryIO, name: str) -> tuple[_Format, int | None, bool]:
    """Read up to the samples.

    Returns the format, the declared bytes of samples (None: unknown), and whether the end of the file is
    as good as the declared end.
    """
    start = _read_exactly(file, 12, name)
    if not start:
        raise AudioError(f"{name}: the file is empty")
    if len(start) < 12 or start[:4] not in (b"RIFF", b"RF64") or start[8:] != b"WAVE":
        raise AudioError(f"{name}: not a WAV file (it begins with {start[:4]!r})")
    riff_bytes = int.from_bytes(start[4:8], "little")
    position = 12
    found: _Format | None = None
    wide_size: int | None = None
    while True:
        chunk = _read_exactly(file, 8, name)
        position += len(chunk)
        if len(chunk) < 8:
            missing = "'data'" if found is not None else "'fmt '"
            raise AudioError(f"{name}: truncated or damaged: it has no {missing} chunk")
        kind, size = chunk[:4], int.from_bytes(chunk[4:], "little")
        if kind == b"data":
            break
        body = _read_exactly(file, min(size, _LONGEST_FORMAT), name)
        _skip(file, size + size % 2 - len(body), name)  # chunks are padded to even lengths
        position += size + size % 2
        if kind == b"fmt ":
            found = _parse_format(body, name)
        elif kind == b"ds64" and len(body) >= 16:
            wide_size = int.from_bytes(body[8:16], "little")
    if found is None:
        raise AudioError(f"{name}: damaged: its samples come before its format")
    if wide_size is not None and size == _UNKNOWN_SIZE:
        return found, wide_size, False
    # An unfinished header: either the size says so, or it is 0 although the RIFF does not go on either.
    if size == _UNKNOWN_SIZE or (size == 0 and (riff_bytes == _UNKNOWN_SIZE or riff_bytes + 8 <= position)):
        return found, None, True
    return found, size, size > _LARGEST_TRUSTED_SIZE


def _parse_format(body: bytes, name: str) -> _Format:
    if len(body) < 16:
        raise AudioError(f"{name}: truncated or damaged: its 'fmt ' chunk is too short")
    tag, channels, rate, _, block_bytes, bits = struct.unpack_from("<HHIIHH", body)
    if tag == _EXTENSIBLE and len(body) >= 26:
        tag = struct.unpack_from("<H", body, 24)[0]  # the first two bytes of the sub-format's GUID
    if tag not in _NAMES:
        raise AudioError(f"{name}: WAV coding 0x{tag:04X} is not supported: convert it to PCM or float")
    if not 1 <= channels <= _MAX_CHANNELS:
        raise AudioError(f"{name}: {channels} channels are not supported (1 to {_MAX_CHANNELS})")
    if rate not in _RATES_HZ:
        raise AudioError(f"{name}: a rate of {rate} Hz is not supported")
    container, odd = divmod(block_bytes, channels)
    if odd or container not in _CONTAINER_BYTES[tag] or not 0 < bits <= container * 8:
        raise AudioError(
            f"{name}: {bits}-bit {_NAMES[tag]} in blocks of {block_bytes} bytes"
            f" for {channels} channels is not supported"
        )
    return _Format(tag, channels, rate, container)


def _to_int16(data: bytes, form: _Format) -> Samples:
    """Return the samples of all channels in a row."""
    if form.tag == _MULAW:
        return mulaw_decode(data)
    if form.tag == _ALAW:
        return alaw_decode(data)
    if form.tag == _FLOAT:
        return from_float(np.frombuffer(data, f"<f{form.container_bytes}"))
    if form.container_bytes == 1:
        return ((np.frombuffer(data, np.uint8).astype(np.int16) - 128) << 8).astype(np.int16)
    if form.container_bytes == 2:
        return cast("Samples", np.frombuffer(data, "<i2"))
    if form.container_bytes == 3:
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return from_float(wide.view("<i4")[:, 0] / 2.0**31)
    return from_float(np.frombuffer(data, "<i4") / 2.0**31)


def _to_pcm(samples: Samples) -> bytes:
    if samples.dtype != np.int16:
        raise ConfigError(f"a WAV file takes int16 samples, not {samples.dtype}")
    return samples.astype("<i2", copy=False).tobytes()
