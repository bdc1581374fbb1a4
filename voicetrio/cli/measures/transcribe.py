"""Text of a whole recording, by any recogniser."""

from __future__ import annotations

import trio

from voicetrio.audio import resample_whole
from voicetrio.events import Transcript
from voicetrio.frames import AudioFrame, Samples
from voicetrio.runtime.links import open_link
from voicetrio.services.stt import STT, SpeechBoundary, SttInput

__all__ = ["transcribe"]

FRAME_S = 0.1


async def transcribe(stt: STT, samples: Samples, rate: int) -> str:
    """Return what ``stt`` understands of ``samples`` (int16 mono at ``rate``), taken as one segment."""
    at_rate = resample_whole(samples, rate, stt.rate)
    texts: list[str] = []
    sender, inlet = open_link[SttInput](max_items=8)
    outlet, transcripts = open_link[Transcript](max_items=8)

    async def feed() -> None:
        async with sender:
            step = round(FRAME_S * stt.rate)
            await sender.send(SpeechBoundary("start", 0))
            for at in range(0, at_rate.size, step):
                await sender.send(AudioFrame.from_samples(at_rate[at : at + step], stt.rate, at))
            await sender.send(SpeechBoundary("stop", at_rate.size))

    async def listen() -> None:
        async with outlet:
            await stt.listen(inlet, outlet)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed)
        nursery.start_soon(listen)
        texts.extend([transcript.text async for transcript in transcripts if transcript.final])
    return " ".join(text for text in texts if text)
