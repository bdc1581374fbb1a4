"""The parameters of a conversation, each with its default."""

from __future__ import annotations

from typing import Any

import attrs
from attrs import validators

from voicetrio.machines.barge_in import BargeInSettings
from voicetrio.machines.clauses import ClauseSettings
from voicetrio.machines.endpointing import TurnSettings
from voicetrio.machines.voice import VoiceSettings
from voicetrio.values import Value

__all__ = ["ConversationSettings"]

_positive = validators.gt(0.0)
_optional_positive: Any = validators.optional(_positive)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ConversationSettings(Value):
    """How a conversation goes; durations in seconds."""

    voice: VoiceSettings = attrs.Factory(VoiceSettings)
    """When sound is speech."""
    turns: TurnSettings = attrs.Factory(TurnSettings)
    """When the user's turn is over."""
    barge_in: BargeInSettings = attrs.Factory(BargeInSettings)
    """What the user's voice does to a reply."""
    clauses: ClauseSettings = attrs.Factory(ClauseSettings)
    """How a reply's text is cut for the voice."""
    away_after_s: float | None = attrs.field(default=15.0, validator=_optional_positive)
    """How long both are silent before the user is away; None: never."""
    idle_prompt: str | None = None
    """What the agent says to a user who is away."""
    idle_prompts_max: int = attrs.field(default=2, validator=validators.ge(0))
    """How often in a row it says so."""
    max_duration_s: float | None = attrs.field(default=None, validator=_optional_positive)
    """How long the conversation may last; then the session is asked to end."""
    max_tool_rounds: int = attrs.field(default=3, validator=validators.ge(0))
    """How often in one reply the model may ask for tools; then it must answer without."""
    stall_s: float = attrs.field(default=10.0, validator=_positive)
    """How long a model that owes something may give nothing before the reply fails."""
    hold_s: float = attrs.field(default=5.0, validator=_positive)
    """How long a reply that is ready waits at most for a user who has the turn."""
    inbox_items: int = attrs.field(default=1024, validator=validators.ge(1))
    """News that may wait for the conversation; more is a failure."""
    stt_lag_s: float = attrs.field(default=10.0, validator=_positive)
    """Seconds of live audio that may wait for the recogniser; more is a failure."""
