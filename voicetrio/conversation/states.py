"""What either side is doing, and whether anybody is there."""

from __future__ import annotations

import math
from typing import Protocol, final

from voicetrio.events import AgentState, AgentStateChanged, UserAway, UserState, UserStateChanged
from voicetrio.machines.presence import Presence
from voicetrio.runtime.emit import EventHub

__all__ = ["Positions", "States"]


class Positions(Protocol):
    """Where the two clocks stand, for the events."""

    @property
    def captured(self) -> int:
        """Now on the capture clock, in samples."""
        ...

    @property
    def played(self) -> int:
        """Now on the playout clock, in samples."""
        ...


@final
class States:
    """Derives the states from facts, and tells when one has changed."""

    def __init__(self, hub: EventHub, positions: Positions, away_after_s: float | None, now: float) -> None:
        self._hub = hub
        self._positions = positions
        self._presence = Presence(away_after_s, now)
        self.agent: AgentState = "idle"
        """What the agent is doing."""
        self.user: UserState = "listening"
        """What the user is doing."""

    @property
    def deadline(self) -> float:
        """When ``tick`` has something to tell (``trio.current_time()``)."""
        deadline = self._presence.deadline
        return math.inf if deadline is None else deadline

    def update(self, agent: AgentState, *, user_speaking: bool, user_has_turn: bool, now: float) -> None:
        """Take in the facts."""
        if user_speaking:
            self._set_user("speaking")
        elif self.user == "speaking":
            self._set_user("listening")
        if agent != self.agent:
            old, self.agent = self.agent, agent
            self._hub.tell(AgentStateChanged(position=self._positions.played, old=old, new=agent))
        if user_has_turn:
            self._presence.user_acted(now)
        if user_has_turn or agent in ("thinking", "speaking"):
            self._presence.busy()
        else:
            self._presence.quiet(now)

    def user_acted(self, now: float) -> None:
        """The user typed, or pressed a key."""
        self._presence.user_acted(now)
        if self.user == "away":
            self._set_user("listening")

    def tick(self, now: float) -> int | None:
        """Tell that the user is away, if it is time; return how often in a row."""
        count = self._presence.tick(now)
        if count is not None:
            self._set_user("away")
            self._hub.tell(UserAway(position=self._positions.captured, count=count))
        return count

    def _set_user(self, new: UserState) -> None:
        if new != self.user:
            old, self.user = self.user, new
            self._hub.tell(UserStateChanged(position=self._positions.captured, old=old, new=new))
