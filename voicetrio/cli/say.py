"""``voicetrio say``: text to an audio file, with the speech server's code and without a server."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated

import attrs
import trio
from cyclopts import Parameter

from voicetrio.audio.codecs import FORMATS, audio_format
from voicetrio.audio.codecs.settings import make_settings
from voicetrio.cli.console import make_console, make_progress
from voicetrio.cli.files import STANDARD, check_output, decode_text
from voicetrio.cli.running import StopRequest, run_command
from voicetrio.errors import ConfigError
from voicetrio.services.speech.available import available_engines
from voicetrio.services.speech.engines import open_engines
from voicetrio.services.speech.rendering import Rendering, default_rate, render, render_whole
from voicetrio.services.speech.speaking import SpokenPiece, VoiceRequest, choose_voices
from voicetrio.services.speech_text.reading import count_words, read_script

__all__ = ["say"]


@attrs.frozen(kw_only=True)
class _Options:
    text: str
    out: str
    format: str
    model: str | None
    voice: str | None
    speed: float
    rate: int | None
    bit_rate: int | None
    ssml: bool
    tags: bool
    normalise: bool
    quiet: bool


def say(
    text: Annotated[
        str, Parameter(help="The text; - reads standard input.", allow_leading_hyphen=True)
    ] = STANDARD,
    /,
    *,
    out: Annotated[
        str,
        Parameter(
            name=("--out", "-o"), help="The file; - writes to standard output.", allow_leading_hyphen=True
        ),
    ] = "speech.wav",
    format: Annotated[
        str | None, Parameter(help=f"{', '.join(FORMATS)}; by default as the file's name ends.")
    ] = None,
    model: Annotated[str | None, Parameter(help="An engine: piper, kokoro, flite, espeak-ng.")] = None,
    voice: Annotated[str | None, Parameter(help="A voice, or a mix such as a(2)+b(1).")] = None,
    speed: Annotated[float, Parameter(help="From 0.25 to 4.")] = 1.0,
    rate: Annotated[int | None, Parameter(help="Hertz of the audio.")] = None,
    bit_rate: Annotated[int | None, Parameter(help="Bits per second, of mp3, aac and opus.")] = None,
    ssml: Annotated[bool, Parameter(help="The text is SSML.")] = False,
    tags: Annotated[bool, Parameter(help="Heed [pause:1s], [rate:1.2] and [voice:name].")] = False,
    normalise: Annotated[
        bool, Parameter(help="Say numbers, dates and the like in words.", negative="--no-normalise")
    ] = True,
    quiet: Annotated[bool, Parameter(help="Show no progress.")] = False,
) -> int:
    """Say a text into an audio file.

    Example: `voicetrio say "Hello there." -o hello.opus`
    """
    if text.startswith("--"):
        # The text may begin with a hyphen ("-5 degrees"), but this is a slip.
        raise ConfigError(f"there is no option {text}: to say a text that begins so, pipe it in")
    if not 0.25 <= speed <= 4.0:
        raise ConfigError(f"--speed is from 0.25 to 4, not {speed:g}")
    check_output(out)
    options = _Options(
        text=decode_text(sys.stdin.buffer.read(), "standard input") if text == STANDARD else text,
        out=out,
        format=format or _format_of(out),
        model=model,
        voice=voice,
        speed=speed,
        rate=rate,
        bit_rate=bit_rate,
        ssml=ssml,
        tags=tags,
        normalise=normalise,
        quiet=quiet or out == STANDARD,
    )
    return run_command(partial(_say, options))


def _format_of(out: str) -> str:
    if out == STANDARD:
        return "wav"
    ending = Path(out).suffix.lower()
    for known in FORMATS.values():
        if ending == known.extension or ending == f".{known.name}":
            return known.name
    if ending == ".ogg":
        return "opus"
    raise ConfigError(
        f"{out}: which format? End the name in {', '.join(each.extension for each in FORMATS.values())}"
    )


async def _say(options: _Options, _stop: StopRequest) -> int:
    script = read_script(options.text, ssml=options.ssml, tags=options.tags)
    fmt = audio_format(options.format)
    settings = {} if options.bit_rate is None else {"bit_rate": options.bit_rate}
    make_settings(fmt.name, settings)  # tells what is wrong before a model is loaded
    with ExitStack() as stack:
        advance = _progress(stack, count_words(script), quiet=options.quiet)
        async with open_engines(available_engines()) as engines:
            rendering = Rendering(
                script=script,
                request=VoiceRequest(
                    voices=choose_voices(engines, script, model=options.model, voice=options.voice),
                    rate=options.rate or default_rate(fmt.name),
                    speed=options.speed,
                    normalise=options.normalise,
                ),
                format=fmt,
                settings=settings,
            )
            if options.out == STANDARD:
                await render(rendering, engines, _to_standard_output)
            else:
                body, count, _ = await render_whole(rendering, engines, on_piece=advance)
                await trio.Path(options.out).write_bytes(body)
    if not options.quiet:
        length_s = count / rendering.request.rate
        make_console(stderr=True).print(f"{options.out}: {length_s:.1f} s", markup=False, soft_wrap=True)
    return 0


def _progress(stack: ExitStack, words: int, *, quiet: bool) -> Callable[[SpokenPiece], object]:
    """Show how many of the words were spoken; return what is called with every piece."""
    if quiet:
        return lambda _piece: None
    progress = stack.enter_context(make_progress())
    bar = progress.add_task("speaking", total=words)
    return lambda piece: progress.advance(bar, len(piece.words))


async def _to_standard_output(_piece: SpokenPiece | None, data: bytes) -> None:
    def write() -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    # A pipe whose reader is slow must not hold up the voice, nor Ctrl-C.
    await trio.to_thread.run_sync(write, abandon_on_cancel=True)
