"""A request for speech as a rendering: everything that can be wrong is found before anything is spoken."""

from __future__ import annotations

import itertools

import attrs

from voicetrio.audio.codecs import audio_format
from voicetrio.audio.codecs.formats import check_rate
from voicetrio.audio.codecs.settings import make_settings
from voicetrio.errors import AudioError, ConfigError
from voicetrio.server.speech.errors import ApiError
from voicetrio.server.speech.requests import PronunciationEntry, SpeakFields
from voicetrio.server.speech.settings import SpeechSettings
from voicetrio.services.speech.engines import Engines
from voicetrio.services.speech.rendering import Rendering, default_rate
from voicetrio.services.speech.speaking import VoiceRequest, choose_voices
from voicetrio.services.speech_text import reading
from voicetrio.services.speech_text.script import Placeholders, Script
from voicetrio.services.speech_text.spelling import Pronunciation

__all__ = ["plan", "read_script", "response_headers"]

_numbers = itertools.count(1)


def response_headers(rendering: Rendering) -> dict[str, str]:
    """Return what a response tells about its audio."""
    return {
        "Content-Type": rendering.format.content_type,
        "X-Sample-Rate": str(rendering.request.rate),
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
    return reading.read_script(text, ssml=ssml, tags=tags)


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
        rate = fields.sample_rate or default_rate(name, settings.rate)
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
