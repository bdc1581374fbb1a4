"""An agent whose one model hears and speaks: its ears are the turn source, its mouth is the replier.

The conversation stays in charge, as with any other agent: it decides when a turn is over, lets a reply be
heard, ducks, pauses, interrupts and resumes, and runs the tools.  What it knows better than the model, the
model is told: how much of an answer was heard, what was typed, what a tool returned.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, final

import attrs
import numpy as np
import trio

from voicetrio.audio.resample import FrameResampler, scale_position
from voicetrio.conversation.agent import Agent, Bed
from voicetrio.conversation.inbox import Inbox, UserActed, UserTurn
from voicetrio.conversation.interfaces import ReplyRound, ReplyWork
from voicetrio.conversation.settings import ConversationSettings
from voicetrio.conversation.tools import Tool
from voicetrio.errors import ConfigError, ServiceError
from voicetrio.events import SpeechStarted, SpeechStopped, Transcript
from voicetrio.frames import AudioFrame, DtmfFrame, Frame, MessageFrame, TextFrame
from voicetrio.machines.voice import VoiceLasted
from voicetrio.runtime.behaviour import SessionContext
from voicetrio.runtime.emit import emit
from voicetrio.services.llm import Message, ToolCall
from voicetrio.services.speech_model import (
    ModelHeard,
    ModelOutput,
    ModelResponse,
    SpeechModel,
    SpeechModelSession,
)
from voicetrio.services.word_spread import WordSpread

__all__ = ["SpeechAgent"]

FINISH_S: Final = 3.0
"""After the last audio, so long may the last transcript take."""
WORD_PATIENCE_S: Final = 0.6
"""Audio waits so long for its words: a model tells them a little ahead, mostly."""
KNOWN_TEXTS: Final = 64


@final
class SpeechAgent:
    """A behaviour that talks with one speech-to-speech model; ``open_session(peer, SpeechAgent(model))``.

    Args:
        model: for example ``OpenAIRealtime()``; each session opens one of its own.
        instructions, tools, greeting, bed, bed_gain_db, settings, name: as of ``Agent``.

    What is to be said word for word (``say``, the greeting) is asked of the model, which mostly does so.
    """

    def __init__(
        self,
        model: SpeechModel,
        *,
        instructions: str = "",
        tools: Sequence[Tool | Callable[..., Any]] = (),
        greeting: str | None = None,
        bed: Bed | None = None,
        bed_gain_db: float = -12.0,
        settings: ConversationSettings | None = None,
        name: str = "agent",
    ) -> None:
        self._model = model
        self._agent = Agent(
            instructions=instructions,
            tools=tuple(tools),
            greeting=greeting,
            bed=bed,
            bed_gain_db=bed_gain_db,
            settings=settings or ConversationSettings(),
            name=name,
        )

    async def __call__(self, context: SessionContext) -> None:
        """Talk with the session's peer until the session ends.

        Raises ServiceError when the model's connection gives up.
        """
        specs = [tool.spec for tool in self._agent.tools]
        async with self._model.open_session(self._agent.instructions, specs) as model:
            texts: deque[str] = deque(maxlen=KNOWN_TEXTS)
            source = _ModelTurns(model, self._agent.settings, texts)
            replier = _ModelReplier(model, self._agent, texts)
            agent = attrs.evolve(self._agent, turn_source=lambda: source, replier=lambda: replier)
            await agent(context)


@final
class _ModelTurns:
    """The model's ears as a TurnSource."""

    def __init__(self, model: SpeechModelSession, settings: ConversationSettings, texts: deque[str]) -> None:
        self._model = model
        self._settings = settings
        self._texts = texts
        """What the model knows that the user said."""
        self._resampler = FrameResampler(model.input_rate)
        self._marks: list[float] = []
        """Lengths of voice that are still to be told of the speech that goes on."""
        self._start: int | None = None
        """Where it began, on the capture clock."""
        self._open = 0
        """Speech whose final transcript has not come."""
        self._end = 0
        """Just past the audio that came, on the capture clock."""
        self._settled = trio.Event()

    async def run(self, inlet: trio.abc.ReceiveChannel[Frame], inbox: Inbox) -> None:
        """Listen until ``inlet`` ends and the last transcript is told; see ``TurnSource``."""
        failures: list[Exception] = []

        async def told() -> None:
            await trio.lowlevel.checkpoint()
            try:
                while True:
                    self._tell(await self._model.receive(), inbox)
            except Exception as error:
                # Raised below, outside of the nursery, which would wrap it in a group.
                failures.append(error)
                nursery.cancel_scope.cancel(reason="the model failed")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(told)
            await self._hear(inlet, inbox)
            await self._finish(inbox)
            nursery.cancel_scope.cancel(reason="there is nothing more to hear")
        if failures:
            raise failures[0]

    async def _hear(self, inlet: trio.abc.ReceiveChannel[Frame], inbox: Inbox) -> None:
        while True:
            patience_s = self._settings.voice.input_silence_s if self._start is not None else np.inf
            frame: Frame | None = None
            with trio.move_on_after(patience_s) as scope:
                frame = await anext(inlet, None)
            if scope.cancelled_caught:
                # A microphone that is muted sends nothing: the model must hear that it is still.
                self._give_silence(inbox)
                continue
            match frame:
                case None:
                    return
                case AudioFrame():
                    self._hear_audio(frame, inbox)
                case DtmfFrame():
                    inbox.put(UserActed())
                case MessageFrame(data={"type": "text", "text": str(text)}):
                    inbox.put(UserTurn(text))
                case MessageFrame():
                    inbox.put(UserActed())

    def _hear_audio(self, frame: AudioFrame, inbox: Inbox) -> None:
        if frame.rate != inbox.rate:
            raise ConfigError(f"audio at {frame.rate} Hz came in on a capture clock of {inbox.rate} Hz")
        if inbox.clock.heard(frame.position, frame.end, trio.current_time()):
            inbox.wake()
        self._end = frame.end
        for resampled in self._resampler.feed(frame):
            self._model.hear(resampled)
        self._tell_marks(inbox)

    def _tell_marks(self, inbox: Inbox) -> None:
        """Tell how long the voice has lasted, as far as that is known.

        The model tells an end late, by its hangover.  A mark that is longer waits for that; a shorter one
        cannot, and what it does is taken back when the voice was a short one.
        """
        hangover_s = self._model.hangover_s
        while self._start is not None and self._marks:
            mark_s = self._marks[0]
            lasted_s = (self._end - self._start) / inbox.rate
            if lasted_s < mark_s + (hangover_s if mark_s > hangover_s else 0.0):
                return
            inbox.put(VoiceLasted(self._start, self._start + round(mark_s * inbox.rate), mark_s))
            self._marks.pop(0)

    def _give_silence(self, inbox: Inbox) -> None:
        for resampled in self._resampler.flush():
            self._model.hear(resampled)
        rate = self._model.input_rate
        position = scale_position(self._end, inbox.rate, rate)
        seconds = self._model.hangover_s + 0.1
        self._model.hear(AudioFrame.silence(round(seconds * rate), rate, position=position))
        self._start = None

    async def _finish(self, inbox: Inbox) -> None:
        if self._start is not None:
            self._give_silence(inbox)
        with trio.move_on_after(FINISH_S):
            await trio.lowlevel.checkpoint()
            while self._open:
                self._settled = trio.Event()
                await self._settled.wait()

    def _tell(self, heard: ModelHeard, inbox: Inbox) -> None:
        position = self._captured(heard.position or 0, inbox)
        match heard:
            case SpeechStarted():
                self._start = position
                self._marks = sorted(self._settings.barge_in.marks_s)
                self._open += 1
                news: ModelHeard = SpeechStarted(position=position)
            case SpeechStopped():
                self._start = None
                news = SpeechStopped(position=position, start=self._captured(heard.start, inbox))
            case Transcript():
                news = attrs.evolve(heard, position=position, start=self._captured(heard.start, inbox))
                if heard.final:
                    self._open -= 1
                    self._settled.set()
                    self._texts.append(heard.text)
        emit(news)
        inbox.put(news)

    def _captured(self, position: int, inbox: Inbox) -> int:
        return scale_position(position, self._model.input_rate, inbox.rate)


@final
class _ModelReplier:
    """The model's mouth as a Replier."""

    def __init__(self, model: SpeechModelSession, agent: Agent, texts: deque[str]) -> None:
        self._model = model
        self._agent = agent
        self._settings = agent.settings
        self._texts = texts
        self._notes_told = 0
        self._last_user: tuple[int, str] = (0, "")

    async def reply(self, work: ReplyWork) -> None:
        """Make one reply; see ``Replier``."""
        if work.text is not None:
            await self._speak(work.open_round(), work.text, may_call=False)
            return
        self._tell_new(work.messages())
        rounds_left = self._settings.max_tool_rounds
        while True:
            calls = await self._speak(work.open_round(), None, may_call=rounds_left > 0)
            if not calls:
                return
            goes_on = False
            try:
                goes_on = await work.run_tools(calls)
            finally:
                # Whatever became of them: a call without a result would confuse the model for good.
                self._give_results(calls, work.messages())
            if not goes_on:
                return
            rounds_left -= 1

    async def _speak(self, round: ReplyRound, text: str | None, *, may_call: bool) -> list[ToolCall]:
        """Let the model speak once; once more if its connection was lost before it said anything."""
        is_second = False
        while True:
            await trio.lowlevel.checkpoint()
            progress = _Progress()
            try:
                async with self._model.respond(text, may_call=may_call) as response:
                    round.when_settled(response.settle)
                    await self._play(response, round, text, progress)
                return progress.calls
            except ServiceError as error:
                if is_second or not error.transient or progress.began:
                    raise
                is_second = True

    async def _play(
        self, response: ModelResponse, round: ReplyRound, text: str | None, progress: _Progress
    ) -> None:
        spread = WordSpread(self._model.output_rate, patience_s=WORD_PATIENCE_S)
        spread.begin(text or "")
        while (output := await self._next(response)) is not None:
            progress.began = True
            match output:
                case TextFrame():
                    round.add_text(output.text)
                    if text is None:
                        spread.extend(output.text)
                case AudioFrame():
                    round.begin()
                    for item in spread.feed(output.samples):
                        await round.send(item)
                case ToolCall():
                    progress.calls.append(output)
        for item in spread.finish():
            await round.send(item)

    async def _next(self, response: ModelResponse) -> ModelOutput | None:
        """Return the next output, None at the response's end."""
        await trio.lowlevel.checkpoint()
        try:
            with trio.fail_after(self._settings.stall_s):
                return await response.receive()
        except trio.EndOfChannel:
            return None
        except trio.TooSlowError:
            text = f"it gave nothing for {self._settings.stall_s:g} s"
            raise ServiceError(text, service="speech model", transient=True) from None

    def _give_results(self, calls: Sequence[ToolCall], messages: Sequence[Message]) -> None:
        results = {message.tool_call_id: message.text for message in messages if message.role == "tool"}
        for call in calls:
            self._model.give_result(call, results.get(call.id, "(cancelled: there is no result)"))

    def _tell_new(self, messages: Sequence[Message]) -> None:
        """Tell the model what it cannot know: notes, and what the user did not say to it."""
        told = messages[1:] if self._agent.instructions else messages
        notes = [message.text for message in told if message.role == "system"]
        for note in notes[self._notes_told :]:
            self._model.add_text("system", note)
        self._notes_told = max(self._notes_told, len(notes))
        said = [message.text for message in told if message.role == "user"]
        last = (len(said), said[-1]) if said else (0, "")
        if last != self._last_user and not _is_known(last[1], self._texts):
            self._model.add_text("user", last[1])
            self._texts.append(last[1])
        self._last_user = last


@attrs.define
class _Progress:
    """What came of one response so far."""

    began: bool = False
    calls: list[ToolCall] = attrs.Factory(list)


def _is_known(text: str, texts: Sequence[str]) -> bool:
    """Tell whether ``text`` is put together from some of ``texts``, in order."""
    rest = text
    for known in texts:
        if known and rest.startswith(known):
            rest = rest[len(known) :].lstrip()
    return not rest
