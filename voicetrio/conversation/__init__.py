"""Conversations: turn sources, repliers, replies, the message list, tools, and the agent that joins them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicetrio.conversation.agent import Agent, Bed, Models
from voicetrio.conversation.cascade import CascadeReplier
from voicetrio.conversation.context import ConversationContext
from voicetrio.conversation.conversation import Conversation, ConversationStatistics
from voicetrio.conversation.inbox import (
    Inbox,
    TurnCompleteness,
    TurnDraft,
    TurnNews,
    TurnOver,
    UserActed,
    UserTurn,
)
from voicetrio.conversation.interfaces import AgentLike, Replier, ReplyRound, ReplyWork, TurnSource
from voicetrio.conversation.listening import Listening
from voicetrio.conversation.replies import ReplyHandle
from voicetrio.conversation.settings import ConversationSettings
from voicetrio.conversation.tools import Tool, ToolCalling, ToolError, tool
from voicetrio.late import late_names
from voicetrio.machines.barge_in import BargeInSettings
from voicetrio.machines.clauses import ClauseSettings
from voicetrio.machines.endpointing import TurnSettings
from voicetrio.machines.voice import VoiceSettings

if TYPE_CHECKING:
    from voicetrio.conversation.recogniser_turns import RecogniserTurns
    from voicetrio.conversation.speech_agent import SpeechAgent

__all__ = [
    "Agent",
    "AgentLike",
    "BargeInSettings",
    "Bed",
    "CascadeReplier",
    "ClauseSettings",
    "Conversation",
    "ConversationContext",
    "ConversationSettings",
    "ConversationStatistics",
    "Inbox",
    "Listening",
    "Models",
    "RecogniserTurns",
    "Replier",
    "ReplyHandle",
    "ReplyRound",
    "ReplyWork",
    "SpeechAgent",
    "Tool",
    "ToolCalling",
    "ToolError",
    "TurnCompleteness",
    "TurnDraft",
    "TurnNews",
    "TurnOver",
    "TurnSettings",
    "TurnSource",
    "UserActed",
    "UserTurn",
    "VoiceSettings",
    "tool",
]

_LATE = {
    "voicetrio.conversation.recogniser_turns": ("RecogniserTurns",),
    "voicetrio.conversation.speech_agent": ("SpeechAgent",),
}

__getattr__ = late_names(__name__, _LATE)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
