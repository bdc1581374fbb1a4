"""From a script to encoded audio: a task makes the next clause while this one is encoded and sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

import attrs
import trio

from voicetrio.audio.codecs import AudioFormat, audio_format, complete_header, nearest_rate
from voicetrio.runtime.encoding import open_stream_encoder
from voicetrio.runtime.producing import open_produced
from voicetrio.services.speech.engines import Engines
from voicetrio.services.speech.speaking import SpokenPiece, VoiceRequest, speak_script
from voicetrio.services.speech_text.script import Script

__all__ = ["DEFAULT_RATE_HZ", "Rendering", "Sink", "default_rate", "render", "render_whole"]

Sink: TypeAlias = Callable[[SpokenPiece | None, bytes], Awaitable[None]]
"""Called with each piece and the bytes that are ready; at the end with None and the last bytes."""

DEFAULT_RATE_HZ: Final = 24_000
"""The rate of OpenAI's speech."""
PIECES_AHEAD: Final = 1
"""Clauses that may be made ahead of the one that is sent: a slow reader costs no more memory."""


@attrs.frozen(kw_only=True)
class Rendering:
    """What is to be said, how, and in which format."""

    script: Script
    request: VoiceRequest
    format: AudioFormat
    settings: Mapping[str, Any] = attrs.field(factory=dict)
    """Of the encoder."""
    session: str = ""
    """Its place in the rounds of the pools."""


def default_rate(format_name: str, wanted_hz: int = DEFAULT_RATE_HZ) -> int:
    """Return the rate for a format: what is usual for it, else the nearest to ``wanted_hz`` that it has."""
    return audio_format(format_name).raw_rate_hz or nearest_rate(format_name, wanted_hz)


async def render(rendering: Rendering, engines: Engines, sink: Sink) -> int:
    """Speak and encode into ``sink``; return the number of samples.

    The encoder is closed however this is left.  Raises what ``speak_script`` raises.
    """
    count = 0
    async with (
        open_stream_encoder(rendering.format.name, rendering.request.rate, **rendering.settings) as encoder,
        open_produced(partial(_speak, rendering, engines), ahead=PIECES_AHEAD) as pieces,
    ):
        async for piece in pieces:
            count += piece.samples.size
            await sink(piece, await encoder.encode(piece.samples))
        await sink(None, await encoder.finish())
    return count


async def render_whole(
    rendering: Rendering, engines: Engines, *, on_piece: Callable[[SpokenPiece], object] | None = None
) -> tuple[bytes, int, list[SpokenPiece]]:
    """Speak and encode all of it, and call ``on_piece`` with each piece when it is encoded.

    Returns the bytes of a file whose header tells its length, the number of samples, and the pieces without
    their samples.
    """
    body = bytearray()
    pieces: list[SpokenPiece] = []

    async def keep(piece: SpokenPiece | None, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        body.extend(data)
        if piece is not None:
            pieces.append(attrs.evolve(piece, samples=piece.samples[:0]))
            if on_piece is not None:
                on_piece(piece)

    count = await render(rendering, engines, keep)
    return complete_header(rendering.format.name, bytes(body), count), count, pieces


async def _speak(rendering: Rendering, engines: Engines, outlet: trio.abc.SendChannel[SpokenPiece]) -> None:
    await speak_script(rendering.script, rendering.request, engines, outlet, session=rendering.session)
