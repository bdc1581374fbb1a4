"""``voicetrio transcribe``: a recording to text, with the speech server's code and without a server."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import attrs
import trio
from cyclopts import Parameter

from voicetrio.cli.console import make_progress
from voicetrio.cli.files import STANDARD, check_output
from voicetrio.cli.running import StopRequest, run_command
from voicetrio.errors import ConfigError
from voicetrio.runtime.decoding import decode_file
from voicetrio.runtime.producing import open_produced
from voicetrio.services.speech.recogniser import open_recogniser
from voicetrio.services.speech.transcripts import WholeTranscript, write_transcript

__all__ = ["transcribe"]


@attrs.frozen(kw_only=True)
class _Options:
    file: str
    out: str
    format: str
    words: bool
    whisper: Path | None
    max_s: float
    quiet: bool


def transcribe(
    file: Annotated[
        str,
        Parameter(
            help="The recording, in any common format; - reads standard input.", allow_leading_hyphen=True
        ),
    ] = STANDARD,
    /,
    *,
    format: Annotated[
        Literal["text", "json", "srt", "vtt", "verbose_json"], Parameter(help="What to write.")
    ] = "text",
    out: Annotated[
        str,
        Parameter(
            name=("--out", "-o"), help="The file; - writes to standard output.", allow_leading_hyphen=True
        ),
    ] = STANDARD,
    words: Annotated[bool, Parameter(help="With verbose_json: the time of every word.")] = False,
    whisper: Annotated[Path | None, Parameter(help="Directory of another Whisper model.")] = None,
    max_s: Annotated[float, Parameter(help="Longest recording, in seconds.")] = 4 * 3600.0,
    quiet: Annotated[bool, Parameter(help="Show no progress.")] = False,
) -> int:
    """Write down what is said in a recording (English with the packaged model).

    Example: `voicetrio transcribe meeting.mp3 --format srt -o meeting.srt`
    """
    if file.startswith("--"):
        raise ConfigError(f"there is no option {file}")
    if words and format != "verbose_json":
        raise ConfigError("--words needs --format verbose_json: the other formats have no room for them")
    check_output(out)
    options = _Options(
        file=file, out=out, format=format, words=words, whisper=whisper, max_s=max_s, quiet=quiet
    )
    return run_command(partial(_transcribe, options))


async def _transcribe(options: _Options, _stop: StopRequest) -> int:
    data = await trio.to_thread.run_sync(_read, options.file, abandon_on_cancel=True)
    parts = []
    with ExitStack() as stack:
        async with open_recogniser(options.whisper) as recogniser:
            audio = await decode_file(data, max_s=options.max_s, to_hz=recogniser.rate)
            duration_s = audio.samples.size / audio.rate
            bar = None
            if not options.quiet:
                progress = stack.enter_context(make_progress())
                bar = progress.add_task("listening", total=duration_s)
            recognise = partial(recogniser.recognise, audio.samples, audio.rate)
            async with open_produced(recognise, ahead=1) as found:
                async for part in found:
                    parts.append(part)
                    if bar is not None:
                        progress.update(bar, completed=part.end_s)
    granularities = ("segment", "word") if options.words else ("segment",)
    _, body = write_transcript(WholeTranscript(parts, duration_s), options.format, granularities)
    if options.out == STANDARD:
        sys.stdout.write(body.decode())
        if not body.endswith(b"\n"):
            sys.stdout.write("\n")
    else:
        await trio.Path(options.out).write_bytes(body)
    return 0


def _read(file: str) -> bytes:
    return sys.stdin.buffer.read() if file == STANDARD else Path(file).read_bytes()
