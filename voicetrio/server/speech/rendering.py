"""A request for speech, from its fields to encoded audio.

``plan`` decides everything that can be wrong, before anything is spoken.  ``render`` speaks and encodes: a
task makes the next clause while this one is encoded and sent.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

import attrs
import trio

from voicetrio.audio.codecs import AudioFormat, audio_format, nearest_rate
from voicetrio.audio.codecs.formats import check_rate
from voicetrio.audio.codecs.settings import make_settings
from voicetrio.errors import AudioError, ConfigError
from voicetrio.runtime.encoding import open_stream_encoder
from voicetrio.server.speech.errors import ApiError
from voicetrio.server.speech.producing import open_produced
from voicetrio.server.speech.requests import PronunciationEntry, SpeakFields
from voicetrio.server.speech.settings import SpeechSettings
from voicetrio.services.speech.engines import Engines
from voicetrio.services.speech.speaking import SpokenPiece, VoiceRequest, choose_voices, speak_script
from voicetrio.services.speech_text.script import Item, Placeholders, Say, Script, read_inline_phonemes
from voicetrio.services.speech_text.spelling import Pronunciation
from voicetrio.services.speech_text.ssml import read_ssml
from voicetrio.services.speech_text.tags import read_tags

__all__ = ["Rendering", "Sink", "encoded", "plan", "read_script", "render"]

Sink: TypeAlias = Callable[[SpokenPiece | None, bytes], Awaitable[None]]
"""Called with each piece and the bytes that are ready; at the end with None and the last bytes."""

PIECES_AHEAD: Final = 1
"""Clauses that may be made ahead of the one that is sent: a client that reads slowly costs no more memory."""
_numbers = itertools.count(1)


@attrs.frozen(kw_only=True)
class Rendering:
    """A request that was found right."""

    script: Script
    request: VoiceRequest
    format: AudioFormat
    settings: Mapping[str, Any]
    """Of the encoder."""
    session: str
    """Its place in the rounds of the pools."""

    @property
    def headers(self) -> dict[str, str]:
        """What its response tells about the audio."""
        return {
            "Content-Type": self.format.content_type,
            "X-Sample-Rate": str(self.request.rate),
            "X-Content-Type-Options": "nosniff",
        }


def read_script(text: str, *, ssml: bool, tags: bool, most: int, param: str = "input") -> Script:
    """Read a text with its markup.  Raises MarkupError, and ApiError 400 for one that is empty or too
    long."""
    if len(text) > most:
        raise ApiError(
            400,
            f"{param} has {len(text)} characters: at most {most} are allowed",
            param=param,
            code="too_long",
        )
    if not text.strip():
        raise ApiError(400, f"{param} is empty", param=param, code="unspeakable_input")
    placeholders = Placeholders()
    text = placeholders.clean(text)
    items: list[Item]
    if ssml:
        items = read_ssml(text, placeholders)
    else:
        text = read_inline_phonemes(text, placeholders)
        items = read_tags(text) if tags else [Say(text)]
    return Script(tuple(items), placeholders.pronunciations)


def plan(
    script: Script, fields: SpeakFields, voice: str | None, engines: Engines, settings: SpeechSettings
) -> Rendering:
    """Decide voices, format and settings.

    Raises VoiceError, UnknownModel, MarkupError, and ApiError 400 for a rate or a bit rate that the format
    does not have.
    """
    name = fields.response_format
    known = audio_format(name)
    try:
        rate = fields.sample_rate or known.raw_rate_hz or nearest_rate(name, settings.rate)
        check_rate(known, rate)
    except AudioError as error:
        raise ApiError(400, str(error), param="sample_rate", code="invalid_value") from None
    encoder = {} if fields.bit_rate is None else {"bit_rate": fields.bit_rate}
    try:
        make_settings(name, encoder)
    except ConfigError as error:
        raise ApiError(400, str(error), param="bit_rate", code="invalid_value") from None
    request = VoiceRequest(
        voices=choose_voices(engines, script, model=fields.model, voice=voice),
        rate=rate,
        speed=fields.speed,
        normalise=fields.normalization_options.normalize,
        pronunciations=_pronunciations(fields),
        gain=fields.volume_multiplier,
    )
    return Rendering(
        script=script, request=request, format=known, settings=encoder, session=f"speech-{next(_numbers)}"
    )


def _pronunciations(fields: SpeakFields) -> dict[str, Pronunciation]:
    placeholders = Placeholders()
    found = {}
    for word, how in fields.pronunciations.items():
        entry = how if isinstance(how, PronunciationEntry) else PronunciationEntry(ipa=how)
        if not (entry.ipa or entry.say):
            raise ApiError(
                400,
                f"pronunciations.{word[:50]}: give ipa or say",
                param="pronunciations",
                code="invalid_value",
            )
        key = placeholders.add(word, ipa=entry.ipa, say=entry.say if not entry.ipa else None)
        found[word.strip().lower()] = attrs.evolve(placeholders.pronunciations[key], written=None)
    return found


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


async def _speak(rendering: Rendering, engines: Engines, outlet: trio.abc.SendChannel[SpokenPiece]) -> None:
    await speak_script(rendering.script, rendering.request, engines, outlet, session=rendering.session)


async def encoded(rendering: Rendering, engines: Engines) -> tuple[bytes, int, list[SpokenPiece]]:
    """Speak and encode all of it; return the bytes, the number of samples, and the pieces."""
    body = bytearray()
    pieces: list[SpokenPiece] = []

    async def keep(piece: SpokenPiece | None, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        body.extend(data)
        if piece is not None:
            pieces.append(attrs.evolve(piece, samples=piece.samples[:0]))

    count = await render(rendering, engines, keep)
    return bytes(body), count, pieces
