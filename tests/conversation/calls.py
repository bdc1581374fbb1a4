"""A call to an agent with scripted models, over the memory transport, under the virtual clock."""

import math
from contextlib import asynccontextmanager

import numpy as np
import trio

from voicetrio.conversation import Agent
from voicetrio.events import Event
from voicetrio.runtime.session import open_session
from voicetrio.runtime.transport import Clear, SendAudio, Traits
from voicetrio.testing.scripted import ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD
from voicetrio.transports.memory import memory_peer

FRAME_S = 0.02
VOICE = 1000
TRAITS = Traits(echo="none")


def scripted(
    *,
    hears=(),
    answers=(),
    decode_s=0.3,
    first_piece_s=0.05,
    piece_s=0.0,
    first_audio_s=0.1,
    word_s=0.25,
    **rest,
):
    """An agent whose user says ``hears``, one text a segment, and whose model answers with ``answers``."""
    stt = ScriptedSTT(hears, decode_s=decode_s)
    llm = ScriptedLLM(answers, first_piece_s=first_piece_s, piece_s=piece_s)
    tts = ScriptedTTS(first_audio_s=first_audio_s, word_s=word_s)
    agent = Agent(**{"vad": ScriptedVAD, "stt": lambda: stt, "llm": lambda: llm, "tts": lambda: tts, **rest})
    return agent, stt, llm, tts


class Call:
    """The caller: a microphone that is always on, and everything that happened."""

    def __init__(self, session, far_end, nursery):
        self.session = session
        self.far_end = far_end
        self.nursery = nursery
        self.events: list[Event] = []
        self.t0 = trio.current_time()
        self._voice: list[tuple[float, float]] = []
        self._changed = trio.lowlevel.ParkingLot()
        self.muted = False

    @property
    def conversation(self):
        return self.session._context._conversation

    @property
    def now(self):
        """Seconds since the call began."""
        return round(trio.current_time() - self.t0, 6)

    def at(self, event):
        """When ``event`` was told, in seconds since the call began."""
        return round(event.time - self.t0, 6)

    async def until(self, second):
        await trio.sleep_until(self.t0 + second)

    def voice(self, start, end):
        """The caller's voice is on from ``start`` to ``end``, seconds since the call began."""
        self._voice.append((start, end))

    async def speak(self, seconds):
        """Speak from the next frame on, and wait until that is said."""
        start = math.ceil(self.now / FRAME_S) * FRAME_S
        self.voice(start, start + seconds)
        await self.until(start + seconds)

    def told(self, event):
        self.events.append(event)
        self._changed.unpark_all()

    def of(self, *kinds):
        return [event for event in self.events if isinstance(event, kinds)]

    async def wait_for(self, kind, count=1, **fields):
        """Wait for the ``count``-th event of a kind whose fields have these values."""
        while True:
            found = [
                event
                for event in self.of(kind)
                if all(getattr(event, name) == value for name, value in fields.items())
            ]
            if len(found) >= count:
                return found[count - 1]
            await self._changed.park()

    def spoken(self):
        """The indices of the words that reached the caller, in order, without repeats in a row.

        A word that was only heard in passing, as fades are, is left out.
        """
        words = []
        for heard in self.far_end.heard:
            if isinstance(heard.operation, SendAudio):
                samples = heard.operation.frame.samples
                word = ScriptedTTS.word_index(samples[0]) if (samples == samples[0]).all() else None
                if word is not None and (not words or words[-1] != word):
                    words.append(word)
        return words

    def clears(self):
        return [heard for heard in self.far_end.heard if isinstance(heard.operation, Clear)]

    async def _microphone(self):
        count = round(FRAME_S * self.far_end.traits.input_rate)
        k = 0
        while not self.session.ending:
            start = k * FRAME_S
            await trio.sleep_until(self.t0 + start + FRAME_S)
            is_voice = any(a <= start + FRAME_S / 2 < b for a, b in self._voice)
            samples = np.full(count, VOICE if is_voice else 0, np.int16)
            k += 1
            if self.muted:
                continue
            try:
                self.far_end.send_audio_nowait(samples)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return


@asynccontextmanager
async def calling(agent, *, traits=TRAITS, microphone=True, opener=open_session, leave_when_over=False):
    """Open a session with ``agent``; the microphone is on, and silent.

    With ``leave_when_over`` the body is left when the session is over, whatever it waits for.
    """
    peer, far_end = memory_peer(traits=traits)
    async with trio.open_nursery() as nursery:
        async with opener(peer, agent) as session:
            call = Call(session, far_end, nursery)
            with session.hub.observed_by(call.told):
                if microphone:
                    nursery.start_soon(call._microphone)
                with trio.CancelScope() as body:

                    async def leave():
                        await session.wait_ended()
                        body.cancel()

                    if leave_when_over:
                        nursery.start_soon(leave)
                    await session.wait_conversation()
                    yield call
                session.end()
                await session.wait_ended()
        nursery.cancel_scope.cancel()


def leaf(error):
    """The first exception that is no group."""
    return leaf(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
