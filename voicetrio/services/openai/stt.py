"""A recogniser behind ``/audio/transcriptions``: OpenAI's own, or any server that speaks it.

It does not stream: each segment between two boundaries of speech is uploaded as a WAV file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Final, final

import attrs
import numpy as np
import trio

from voicetrio.audio.wav import wav_header
from voicetrio.connection.http import HttpClient
from voicetrio.errors import ConfigError, ServiceError
from voicetrio.events import Transcript
from voicetrio.frames import Samples
from voicetrio.runtime.keeper import Opener
from voicetrio.services.credentials import Secret
from voicetrio.services.openai.account import Account, find_account
from voicetrio.services.segments import SegmentedSTT
from voicetrio.services.stt import SttInput
from voicetrio.services.wires import MALFORMED

__all__ = ["OpenAISTT", "SttStatistics"]

SHORTEST_S: Final = 0.1
"""The API refuses shorter audio: it is made up with silence."""
OWN_FIELDS: Final = frozenset({"model", "file", "response_format", "stream", "timestamp_granularities[]"})


@attrs.frozen(kw_only=True)
class SttStatistics:
    """What a recogniser did so far."""

    requests: int
    audio_s: float
    """Seconds of audio that were uploaded."""


@final
class OpenAISTT:
    """A recogniser; see ``voicetrio.services.stt.STT``.

    Args:
        model: its name.
        api_key, base_url, account, client: as of ``OpenAILLM``.
        language: of the speech, in two letters; None lets the model find out.
        prompt: words that may come up, or the text before.
        words: ask for word times, which some models give (``whisper-1``) and some refuse.
        preroll_s: seconds of audio before a start boundary that belong to the segment.
        rate: hertz of the audio that is uploaded.
        options: further fields of the request.

    Raises ConfigError when there is no key.
    """

    def __init__(
        self,
        model: str = "gpt-4o-mini-transcribe",
        *,
        api_key: str | Secret | None = None,
        base_url: str | None = None,
        language: str | None = None,
        prompt: str | None = None,
        words: bool = False,
        preroll_s: float = 0.5,
        rate: int = 16000,
        options: Mapping[str, str] | None = None,
        account: Account | None = None,
        client: HttpClient | None = None,
    ) -> None:
        ours = sorted(OWN_FIELDS & (options or {}).keys())
        if ours:
            raise ConfigError(f"{ours[0]!r} is set by the service itself: leave it out of options")
        self.name = f"recogniser {model}"
        """For errors."""
        self._words = words
        self._fields: dict[str, str] = {
            "model": model,
            "response_format": "verbose_json" if words else "json",
            **({"timestamp_granularities[]": "word"} if words else {}),
            **({} if language is None else {"language": language}),
            **({} if prompt is None else {"prompt": prompt}),
            **(options or {}),
        }
        self._segments = SegmentedSTT(self.transcribe, rate=rate, preroll_s=preroll_s)
        self._client = client
        self._opener: Opener[HttpClient] | None = None
        if client is None:
            own = account or find_account(api_key, base_url)
            self._opener = Opener(lambda: own.open_http(self.name))
        self._requests = 0
        self._audio_s = 0.0

    def __repr__(self) -> str:
        return f"<{self.name}>"

    @property
    def rate(self) -> int:
        """Hertz."""
        return self._segments.rate

    def warm_up(self) -> None:
        """Open the client before it is needed."""
        if self._opener is not None:
            self._opener.begin()

    async def listen(
        self, inlet: trio.abc.ReceiveChannel[SttInput], outlet: trio.abc.SendChannel[Transcript]
    ) -> None:
        """Recognise until ``inlet`` ends; see ``STT`` and ``SegmentedSTT``."""
        self.warm_up()
        await self._segments.listen(inlet, outlet)

    async def transcribe(self, samples: Samples, rate: int) -> tuple[str, Sequence[tuple[str, float, float]]]:
        """Return the text of int16 mono ``samples`` at ``rate`` hertz, and its words with times in seconds.

        Cancelling closes the request's connection.  Raises ServiceError.
        """
        missing = round(SHORTEST_S * rate) - samples.size
        if missing > 0:
            samples = np.concatenate([samples, np.zeros(missing, np.int16)])
        self._requests += 1
        self._audio_s += samples.size / rate
        pcm = samples.astype("<i2").tobytes()
        file = ("speech.wav", wav_header(rate, 1, len(pcm)) + pcm, "audio/wav")
        async with nullcontext(self._client) if self._opener is None else self._opener.use() as client:
            assert client is not None
            answer = await client.request_json(
                "POST", "audio/transcriptions", data=self._fields, files={"file": file}
            )
        return self._read(answer)

    def _read(self, answer: Mapping[str, Any]) -> tuple[str, list[tuple[str, float, float]]]:
        text = answer.get("text")
        if not isinstance(text, str):
            raise ServiceError("its answer holds no text", service=self.name)
        try:
            words = [
                (str(word["word"]), float(word["start"]), float(word["end"]))
                for word in answer.get("words") or ()
            ]
        except MALFORMED:
            raise ServiceError("its word times cannot be read", service=self.name) from None
        return " ".join(text.split()), words

    def statistics(self) -> SttStatistics:
        """Return the counts so far."""
        return SttStatistics(requests=self._requests, audio_s=self._audio_s)
