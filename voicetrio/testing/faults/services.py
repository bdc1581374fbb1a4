"""Recognisers, models and voices that hang or fail, at the n-th call of one of four things.

A service in the cloud is a connection: it *connects*, *sends* what it is given, *receives* what it answers,
and *closes*.  A faulty service stands before another one, counts these, and does its harm at the one that it
was told; everything else it passes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Generic, Literal, TypeAlias, TypeVar, final

import attrs
import trio

from voicetrio.errors import ServiceError
from voicetrio.events import Transcript
from voicetrio.frames import Samples, TextFrame
from voicetrio.services.llm import LLM, LlmOutput, Message, ToolSpec
from voicetrio.services.stt import STT, SttInput
from voicetrio.services.tts import TTS, TtsOutput
from voicetrio.services.vad import VAD

__all__ = ["FaultyLLM", "FaultySTT", "FaultyTTS", "FaultyVAD", "ServiceFault", "ServicePhase"]

T = TypeVar("T")

ServicePhase: TypeAlias = Literal["connect", "send", "receive", "close"]
"""``connect``: a call begins.  ``send``: it takes an item, or a request.  ``receive``: it gives an item.
``close``: it is done, or it was cancelled."""


@final
@attrs.frozen
class ServiceFault:
    """What goes wrong, and when."""

    at: ServicePhase
    call: int = 0
    """Which one, counted from 0 over all runs of the service."""
    how: Literal["fail", "hang"] = "fail"
    """``fail`` raises ServiceError; ``hang`` waits for ever, though not in a shield."""
    times: int = 1
    """How many in a row."""


@final
@attrs.define(eq=False)
class _Harm:
    """Counts, and does what the fault says."""

    fault: ServiceFault
    service: str
    counts: Counter[str] = attrs.Factory(Counter)

    def is_due(self, phase: ServicePhase) -> bool:
        number = self.counts[phase]
        self.counts[phase] += 1
        fault = self.fault
        return fault.at == phase and fault.call <= number < fault.call + fault.times

    def error(self) -> ServiceError:
        return ServiceError(f"failed to {self.fault.at} on purpose", service=self.service, transient=True)

    async def pass_by(self, phase: ServicePhase) -> None:
        """Go on at once, or do the harm."""
        if self.is_due(phase):
            if self.fault.how == "fail":
                raise self.error()
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()


@final
class _Inlet(trio.abc.ReceiveChannel[T], Generic[T]):
    def __init__(self, inlet: trio.abc.ReceiveChannel[T], harm: _Harm) -> None:
        self._inlet = inlet
        self._harm = harm

    async def receive(self) -> T:
        item = await self._inlet.receive()
        await self._harm.pass_by("send")
        return item

    async def aclose(self) -> None:
        await self._inlet.aclose()


@final
class _Outlet(trio.abc.SendChannel[T], Generic[T]):
    def __init__(self, outlet: trio.abc.SendChannel[T], harm: _Harm) -> None:
        self._outlet = outlet
        self._harm = harm

    async def send(self, value: T) -> None:
        await self._harm.pass_by("receive")
        await self._outlet.send(value)

    async def aclose(self) -> None:
        await self._outlet.aclose()


@final
class FaultySTT:
    """A recogniser that hangs or fails."""

    def __init__(self, stt: STT, fault: ServiceFault) -> None:
        self._stt = stt
        self._harm = _Harm(fault, "faulty STT")

    @property
    def rate(self) -> int:
        """Hertz."""
        return self._stt.rate

    async def listen(
        self, inlet: trio.abc.ReceiveChannel[SttInput], outlet: trio.abc.SendChannel[Transcript]
    ) -> None:
        """Recognise as the other one does, until the fault."""
        await self._harm.pass_by("connect")
        try:
            await self._stt.listen(_Inlet(inlet, self._harm), _Outlet(outlet, self._harm))
        finally:
            await self._harm.pass_by("close")  # noqa: ASYNC102  # not in a shield: that is the point


@final
class FaultyTTS:
    """A voice that hangs or fails."""

    def __init__(self, tts: TTS, fault: ServiceFault) -> None:
        self._tts = tts
        self._harm = _Harm(fault, "faulty TTS")

    @property
    def rate(self) -> int:
        """Hertz."""
        return self._tts.rate

    async def speak(
        self, inlet: trio.abc.ReceiveChannel[TextFrame], outlet: trio.abc.SendChannel[TtsOutput]
    ) -> None:
        """Speak as the other one does, until the fault."""
        await self._harm.pass_by("connect")
        try:
            await self._tts.speak(_Inlet(inlet, self._harm), _Outlet(outlet, self._harm))
        finally:
            await self._harm.pass_by("close")  # noqa: ASYNC102  # not in a shield: that is the point


@final
class FaultyLLM:
    """A language model that hangs or fails."""

    def __init__(self, llm: LLM, fault: ServiceFault) -> None:
        self._llm = llm
        self._harm = _Harm(fault, "faulty LLM")

    async def answer(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        outlet: trio.abc.SendChannel[LlmOutput],
    ) -> None:
        """Answer as the other one does, until the fault."""
        await self._harm.pass_by("connect")
        await self._harm.pass_by("send")
        try:
            await self._llm.answer(messages, tools, _Outlet(outlet, self._harm))
        finally:
            await self._harm.pass_by("close")  # noqa: ASYNC102  # not in a shield: that is the point


@final
class FaultyVAD:
    """A voice-activity model that fails at its n-th window; it is called in place, so it cannot hang."""

    def __init__(self, vad: VAD, at_window: int = 0) -> None:
        self._vad = vad
        self._at_window = at_window
        self._windows = 0

    @property
    def rate(self) -> int:
        """Hertz."""
        return self._vad.rate

    @property
    def window(self) -> int:
        """Samples a call."""
        return self._vad.window

    def probability(self, samples: Samples) -> float:
        """Return what the other one does; at the n-th window raise ServiceError."""
        self._windows += 1
        if self._windows - 1 == self._at_window:
            raise ServiceError("failed on purpose", service="faulty VAD")
        return self._vad.probability(samples)

    def reset(self) -> None:
        """Reset the other one."""
        self._vad.reset()
