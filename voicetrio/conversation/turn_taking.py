"""Who has the turn: joins the machines, which decide, to the replies, which act.

News of the user goes to the barge-in first and to the turn then: what the barge-in takes for a backchannel
is no turn.  Everything here is synchronous, so each decision and what it does are one step.
"""

from __future__ import annotations

import math
from typing import Protocol, final

import trio

from voicetrio.conversation.context import ConversationContext
from voicetrio.conversation.inbox import (
    TurnCompleteness,
    TurnDraft,
    TurnNews,
    TurnOver,
    UserActed,
    UserTurn,
)
from voicetrio.conversation.replies import Replies
from voicetrio.conversation.reply import Reply, ReplyRequest
from voicetrio.conversation.rounds import SpokenRound
from voicetrio.conversation.settings import ConversationSettings
from voicetrio.events import (
    Ducked,
    Event,
    FalseInterruption,
    Paused,
    Resumed,
    SpeechStarted,
    SpeechStopped,
    Transcript,
    TurnEnded,
    TurnStarted,
)
from voicetrio.machines.barge_in import (
    BargeIn,
    BargeInAction,
    Dismiss,
    Duck,
    Interrupt,
    Pause,
    Resume,
)
from voicetrio.machines.capture_clock import CaptureClock
from voicetrio.machines.turns import Ended, LateText, Speculate, Started, TurnAction, Turns
from voicetrio.machines.voice import VoiceLasted
from voicetrio.machines.words import words_of
from voicetrio.runtime.emit import EventHub
from voicetrio.runtime.speech import Speech

__all__ = ["TurnHost", "TurnTaking"]


class TurnHost(Protocol):
    """What turn taking asks of the conversation."""

    @property
    def answers_turns(self) -> bool:
        """Whether a turn opens a reply: the agent answers, and the session is not ending."""
        ...

    def open_reply(self, request: ReplyRequest) -> Reply:
        """Begin to make a reply."""
        ...


@final
class TurnTaking:
    """The turns of one conversation."""

    def __init__(
        self,
        clock: CaptureClock,
        rate: int,
        settings: ConversationSettings,
        hub: EventHub,
        context: ConversationContext,
        host: TurnHost,
        *,
        lead_s: float,
    ) -> None:
        self._clock = clock
        self._hub = hub
        self._context = context
        self._host = host
        self._lead_s = lead_s
        self._barges = settings.barge_in.enabled
        self._turns = Turns(rate, settings.turns)
        self._barge_in = BargeIn(rate, settings.barge_in, decode_wait_s=settings.turns.decode_wait_s)
        self._shut = False
        self._speculative: Reply | None = None
        self._answering: Reply | None = None
        """The reply to the last turn, while it might still be retracted."""
        self.replies: Replies

    # --- what the conversation asks ---

    @property
    def user_speaking(self) -> bool:
        """The user's voice is on."""
        return self._turns.speaking

    @property
    def user_has_turn(self) -> bool:
        """The user speaks, or has spoken and is not done."""
        return self._turns.is_open

    @property
    def paused(self) -> bool:
        """The reply that is heard was stopped for now."""
        return self._barge_in.effect == "paused"

    @property
    def deadline(self) -> float:
        """When ``tick`` has something to decide (``trio.current_time()``)."""
        positions = [at for at in (self._turns.deadline, self._barge_in.deadline) if at is not None]
        return self._clock.time_of(min(positions)) if positions else math.inf

    def tick(self) -> None:
        """Decide what the passing of time has settled."""
        self._act_on_barge_in(self._barge_in.tick(self._now))
        self._act_on_turn(self._turns.tick(self._now))

    def take(self, news: TurnNews) -> None:
        """Take in what the turn source tells."""
        match news:
            case SpeechStarted(position=int(start)):
                self._speech_started(start)
            case VoiceLasted(start, until, _):
                self._act_on_barge_in(self._barge_in.voice_lasted(start, until))
            case SpeechStopped(position=int(end), start=start):
                self._act_on_barge_in(self._barge_in.speech_stopped(start, end, self._now))
                self._act_on_turn(self._turns.speech_stopped(start, end, self._now))
            case Transcript():
                self._transcript(news)
            case TurnCompleteness(probability):
                self._turns.completeness(probability)
            case TurnDraft(text):
                self._draft(text)
            case TurnOver():
                self._act_on_turn(self._turns.over(self._now))
            case UserTurn():
                self._whole_turn(news)
            case UserActed():
                pass

    def reply_audible(self, reply: Reply) -> None:
        """A stretch of ``reply`` begins to be heard."""
        round = self.replies.audible
        if round is None or round.reply is not reply or round.speech is None:
            return
        # It is written now and heard a lead later; until then the user speaks without having heard it.
        heard_from = self._clock.position_at(trio.current_time() + self._lead_s)
        reply.note_audible(round.speech.first_playout, heard_from)
        self._barge_in.reply_audible(heard_from, interruptible=reply.request.interruptible)

    def reply_silent(self) -> None:
        """Nothing is being heard any more."""
        if self.replies.audible is None:
            self._barge_in.reply_over()

    def shut(self) -> None:
        """The session ends: no barge-in, and no reply to what is not yet a turn."""
        self._shut = True
        self._act_on_barge_in(self._barge_in.shut())
        if self._speculative is not None:
            self._speculative.retract()
            self._speculative = None

    def finish(self) -> None:
        """Nothing more will be heard: what has words enters the conversation."""
        self._act_on_turn(self._turns.finish(self._now))

    # --- news ---

    @property
    def _now(self) -> int:
        return self._clock.position_at(trio.current_time())

    def _speech_started(self, start: int) -> None:
        for reply in () if self._shut else self.replies.live():
            verdict = reply.gate.user_spoke(start)
            if reply.request.source == "idle" and reply.gate.phase != "audible":
                reply.retract()  # they are there
            elif verdict == "retract" and reply is self._answering and not reply.heard_text:
                self._reopen_turn()
        self._act_on_barge_in(self._barge_in.speech_started(start, self._now, self._remaining_s))
        self._act_on_turn(self._turns.speech_started(start))

    def _transcript(self, transcript: Transcript) -> None:
        end = transcript.position
        assert end is not None
        actions = self._barge_in.transcript(
            transcript.start,
            end,
            transcript.text,
            final=transcript.final,
            remaining_s=self._remaining_s,
        )
        self._act_on_barge_in(actions)
        if any(isinstance(action, Dismiss) for action in actions):
            return
        self._act_on_turn(
            self._turns.transcript(
                transcript.start,
                end,
                transcript.text,
                self._now,
                final=transcript.final,
                stt_s=transcript.decode_s,
            )
        )

    def _whole_turn(self, turn: UserTurn) -> None:
        """A turn that needs no endpointing."""
        if not words_of(turn.text):
            return
        if self._barges and not self._shut:
            self.replies.interrupt_all("words")
        now = self._now
        self._act_on_turn(self._turns.whole(turn.text, now if turn.position is None else turn.position, now))

    # --- decisions ---

    def _act_on_barge_in(self, actions: list[BargeInAction]) -> None:
        for action in actions:
            match action:
                case Dismiss(start, end):
                    self._act_on_turn(self._turns.dismiss(start, end))
                case Interrupt(because, _):
                    self.replies.interrupt_all(because)
                case Duck() | Pause() | Resume():
                    round = self.replies.audible
                    if round is not None and round.speech is not None:
                        self._act_on_speech(action, round, round.speech)

    def _act_on_speech(self, action: Duck | Pause | Resume, round: SpokenRound, speech: Speech) -> None:
        reply = round.reply.name
        match action:
            case Duck():
                speech.duck()
                self._tell(Ducked(position=self.replies.playout.position, reply=reply))
            case Pause():
                speech.pause()
                self._tell(Paused(position=self.replies.playout.position, reply=reply))
            case Resume(because):
                speech.unduck()
                speech.resume()
                position = self.replies.playout.position
                self._tell(FalseInterruption(position=position, reply=reply, because=because))
                self._tell(Resumed(position=position, reply=reply))

    def _act_on_turn(self, actions: list[TurnAction]) -> None:
        for action in actions:
            match action:
                case Started(position):
                    self._tell(TurnStarted(position=position))
                case Speculate(text):
                    self._speculate(text)
                case Ended():
                    self._turn_ended(action)
                case LateText():
                    self._late_text(action)

    def _draft(self, text: str) -> None:
        if text and not self._shut:
            self._speculate(f"{self._turns.text} {text}".strip())
        elif self._speculative is not None:
            self._speculative.retract()
            self._speculative = None

    def _speculate(self, text: str) -> None:
        if self._speculative is not None:
            if not self._speculative.is_over and self._speculative.request.user_text == text:
                return  # a draft said so before
            self._speculative.retract()
            self._speculative = None
        if self._host.answers_turns:
            self._speculative = self._host.open_reply(ReplyRequest(source="turn", user_text=text))

    def _turn_ended(self, turn: Ended) -> None:
        self._tell(
            TurnEnded(position=turn.position, text=turn.text, waited_s=turn.waited_s, stt_s=turn.stt_s)
        )
        reply, self._speculative = self._speculative, None
        if reply is not None and (reply.is_over or reply.request.user_text != turn.text):
            reply.retract()
            reply = None
        if not self._host.answers_turns:
            if reply is not None:
                reply.retract()
            self._context.add_user(turn.text)
            return
        if self._barges:
            self._supersede()
        if reply is None:
            reply = self._host.open_reply(ReplyRequest(source="turn", user_text=turn.text))
        self._answering = reply
        reply.commit()

    def _supersede(self) -> None:
        """The user has said something new: what still answers something older is out of date."""
        for reply in self.replies.live(committed=True):
            if reply.request.source in ("turn", "tool", "idle") and reply.request.interruptible:
                reply.interrupt("words")

    def _late_text(self, late: LateText) -> None:
        """Words of the last turn that came after its end: its reply should have known them."""
        answering = self._answering
        if answering is not None and answering.gate.phase == "committed" and not self._shut:
            self._reopen_turn()
            self._act_on_turn(self._turns.transcript(late.start, late.end, late.text, self._now))
        else:
            self._context.add_user(late.text)

    def _reopen_turn(self) -> None:
        """Retract the reply to the last turn: its text joins what the user says next."""
        assert self._answering is not None
        self._answering.retract()
        self._answering = None
        self._turns.reopen()

    @property
    def _remaining_s(self) -> float:
        """How long what is being heard still goes on; infinite while it is being made."""
        round = self.replies.audible
        if round is None or round.speech is None or not round.speech.finished:
            return math.inf
        return round.speech.remaining_s

    def _tell(self, event: Event) -> None:
        self._hub.tell(event)
