"""The JSON bodies of requests: their fields, their bounds, and what is said about a wrong one."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from voicetrio.audio.codecs import FORMATS
from voicetrio.server.speech.errors import ApiError

__all__ = [
    "CaptionedRequest",
    "DialogueRequest",
    "FormatName",
    "PhonemesRequest",
    "PhonemizeRequest",
    "SpeakFields",
    "SpeechRequest",
    "StreamStart",
    "Turn",
    "VoiceName",
    "read_request",
]

T = TypeVar("T", bound=BaseModel)

FormatName = Literal["mp3", "opus", "aac", "flac", "wav", "pcm", "mulaw", "alaw", "g722"]
assert set(FormatName.__args__) == set(FORMATS)  # type: ignore[attr-defined]


class _Fields(BaseModel):
    # Clients send fields of OpenAI's, and of other servers', that mean nothing here.
    model_config = ConfigDict(extra="ignore", strict=False, allow_inf_nan=False)


class VoiceName(_Fields):
    """A voice as an object, as newer clients send it."""

    id: str = Field(description="Name of the voice.", min_length=1, max_length=2000)


class PronunciationEntry(_Fields):
    """How one word is said."""

    ipa: str | None = Field(default=None, description="Phonemes, in IPA.", max_length=400)
    say: str | None = Field(default=None, description="Other words.", max_length=400)


class NormalizationOptions(_Fields):
    """How written text becomes words."""

    normalize: bool = Field(default=True, description="False says the text as it is written.")


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


Finite = Annotated[float, AfterValidator(_finite)]
VoiceField = Annotated[str, Field(max_length=2000)] | VoiceName | None


class SpeakFields(_Fields):
    """What every request for speech can set."""

    model: str | None = Field(
        default=None,
        max_length=200,
        description="An engine, or one of OpenAI's names, which mean the default engine.",
    )
    response_format: FormatName = Field(default="mp3", description="Format of the audio.")
    speed: Finite = Field(default=1.0, ge=0.25, le=4.0, description="2 is twice as fast.")
    stream: bool = Field(
        default=True, description="False sends the whole with its length, or an error status."
    )
    sample_rate: int | None = Field(
        default=None,
        ge=8000,
        le=48000,
        description="Hertz; by default 24000, 8000 (mulaw, alaw) or 16000 (g722).",
    )
    bit_rate: int | None = Field(
        default=None, ge=6000, le=320000, description="Bits per second, of mp3, aac and opus."
    )
    volume_multiplier: Finite = Field(default=1.0, gt=0, le=8.0, description="Factor on the amplitude.")
    normalization_options: NormalizationOptions = Field(
        default_factory=NormalizationOptions,
        description="{'normalize': false} says the text as it is written.",
    )
    pronunciations: dict[str, str | PronunciationEntry] = Field(
        default_factory=dict,
        max_length=1000,
        description="By the word: its phonemes in IPA, or {'say': 'other words'}.",
    )
    allow_voice_tags: bool = Field(
        default=False, description="Heed [pause:1.5s], [rate:1.2] and [voice:name] in the text."
    )
    ssml: bool = Field(default=False, description="The text is SSML.")


class SpeechRequest(SpeakFields):
    """``POST /v1/audio/speech``."""

    input: str = Field(description="The text to say.")
    voice: VoiceField = Field(default=None, description="A voice, or a mix such as a(2)+b(1).")
    stream_format: Literal["audio", "sse"] = Field(
        default="audio", description="sse sends the audio in server-sent events."
    )
    instructions: str | None = Field(default=None, description="Accepted, and without effect.")


class CaptionedRequest(SpeakFields):
    """``POST /dev/captioned_speech``."""

    input: str = Field(description="The text to say.")
    voice: VoiceField = Field(default=None, description="A voice, or a mix such as a(2)+b(1).")
    return_timestamps: bool = Field(default=True, description="False leaves the words out.")


class Turn(_Fields):
    """What one speaker of a dialogue says."""

    text: str = Field(description="The text to say.")
    voice: VoiceField = Field(default=None, description="Who says it.")
    voice_id: str | None = Field(
        default=None, max_length=2000, description="The same, as other clients call it."
    )

    @property
    def speaker(self) -> str | None:
        """The name of the voice."""
        return voice_name(self.voice) or self.voice_id


class DialogueRequest(SpeakFields):
    """``POST /dev/dialogue``."""

    turns: list[Turn] = Field(default_factory=list, max_length=1000, description="In order.")
    inputs: list[Turn] = Field(default_factory=list, max_length=1000, description="The same as turns.")
    pause_between_turns: Finite = Field(default=0.3, ge=0.0, le=10.0, description="Seconds.")

    @field_validator("inputs", mode="after")
    @classmethod
    def _one_of_both(cls, inputs: list[Turn], info: Any) -> list[Turn]:
        if not inputs and not info.data.get("turns"):
            raise ValueError("give at least one turn, in turns")
        return inputs

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, validate_default=True)


class StreamStart(SpeakFields):
    """The first message of a WebSocket of ``/v1/audio/speech/stream``."""

    type: Literal["start"] = Field(description="start")
    voice: VoiceField = Field(default=None, description="A voice, or a mix.")
    response_format: FormatName = Field(default="pcm", description="Format of the audio.")


class PhonemizeRequest(_Fields):
    """``POST /dev/phonemize``."""

    text: str = Field(description="The text.")
    model: str | None = Field(default=None, max_length=200, description="An engine.")
    normalization_options: NormalizationOptions = Field(default_factory=NormalizationOptions)


class PhonemesRequest(SpeakFields):
    """``POST /dev/generate_from_phonemes``."""

    phonemes: str = Field(description="Words in IPA, with white space between them.", min_length=1)
    voice: VoiceField = Field(default=None, description="A voice, or a mix.")
    response_format: FormatName = Field(default="wav", description="Format of the audio.")


def voice_name(voice: str | VoiceName | None) -> str | None:
    """Return the name, whatever form it came in."""
    return voice.id if isinstance(voice, VoiceName) else voice


def read_request(kind: type[T], body: bytes) -> T:
    """Read a JSON body.  Raises ApiError 400, which names the first field that is wrong."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise ApiError(400, f"the body is not JSON: {first['msg']}", code="invalid_json") from None
        names = [
            str(part) for part in first["loc"] if not (isinstance(part, str) and part in _UNION_BRANCHES)
        ]
        field = ".".join(names)
        message = first["msg"].removeprefix("Value error, ")
        code = "missing_field" if first["type"] == "missing" else "invalid_value"
        raise ApiError(400, f"{field or 'the body'}: {message}", param=field or None, code=code) from None


_UNION_BRANCHES = frozenset({"str", "VoiceName", "PronunciationEntry", "constrained-str"})
