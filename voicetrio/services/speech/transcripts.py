"""What was recognised of a whole recording, in the forms that OpenAI's API knows."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

import attrs

from voicetrio.services.speech.captions import Caption, captions_of, to_srt, to_vtt
from voicetrio.services.speech.recogniser import RecognisedPart

__all__ = ["TRANSCRIPT_FORMATS", "WholeTranscript", "write_transcript"]


@attrs.frozen
class WholeTranscript:
    """The text of one recording."""

    parts: Sequence[RecognisedPart]
    duration_s: float

    @property
    def text(self) -> str:
        """All of it, on one line."""
        return " ".join(part.text for part in self.parts if part.text)

    @property
    def captions(self) -> list[Caption]:
        """Its sentences, with their times."""
        return captions_of(self.parts)


def write_transcript(
    transcript: WholeTranscript, format: str, granularities: Collection[str] = ("segment",)
) -> tuple[str, bytes]:
    """Return the content type and the bytes of a transcript.

    Args:
        transcript: what to write.
        format: one of TRANSCRIPT_FORMATS.
        granularities: of ``verbose_json``: ``segment``, ``word``, or both.
    """
    content_type, write = _FORMATS[format]
    return content_type, write(transcript, granularities).encode()


def _json(transcript: WholeTranscript, _granularities: Collection[str]) -> str:
    return json.dumps({"text": transcript.text}, ensure_ascii=False)


def _text(transcript: WholeTranscript, _granularities: Collection[str]) -> str:
    return f"{transcript.text}\n"


def _srt(transcript: WholeTranscript, _granularities: Collection[str]) -> str:
    return to_srt(transcript.captions)


def _vtt(transcript: WholeTranscript, _granularities: Collection[str]) -> str:
    return to_vtt(transcript.captions)


def _verbose(transcript: WholeTranscript, granularities: Collection[str]) -> str:
    value: dict[str, Any] = {
        "task": "transcribe",
        "language": "english",
        "duration": round(transcript.duration_s, 3),
        "text": transcript.text,
    }
    if "word" in granularities:
        value["words"] = [
            {"word": word.strip('.,;:!?"'), "start": round(start, 3), "end": round(end, 3)}
            for part in transcript.parts
            for word, start, end in part.words
        ]
    if "segment" in granularities:
        value["segments"] = [_segment(number, each) for number, each in enumerate(transcript.captions)]
    return json.dumps(value, ensure_ascii=False)


def _segment(number: int, caption: Caption) -> dict[str, Any]:
    encoded = caption.text.encode()
    return {
        "id": number,
        "seek": round(caption.part.start_s * 100),
        "start": round(caption.start_s, 3),
        "end": round(caption.end_s, 3),
        "text": caption.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": round(caption.part.logprob, 4),
        "compression_ratio": round(len(encoded) / len(zlib.compress(encoded)), 4),
        "no_speech_prob": round(caption.part.no_speech, 4),
    }


_FORMATS: Final[dict[str, tuple[str, Callable[[WholeTranscript, Collection[str]], str]]]] = {
    "json": ("application/json", _json),
    "text": ("text/plain; charset=utf-8", _text),
    "srt": ("application/x-subrip; charset=utf-8", _srt),
    "verbose_json": ("application/json", _verbose),
    "vtt": ("text/vtt; charset=utf-8", _vtt),
}
TRANSCRIPT_FORMATS: Final = tuple(_FORMATS)
"""The names of the forms."""
