"""Whether anybody is there: when both sides have been silent for long.

The rules: silence counts from the last moment when either side spoke, thought or acted.  Every
``away_after_s`` of it is told, with its number.  Only the user brings the number back to nothing: the
agent's own asking "are you still there?" does not.  Times are seconds.
"""

from __future__ import annotations

__all__ = ["Presence"]


class Presence:
    """Counts how often in a row nobody spoke."""

    def __init__(self, away_after_s: float | None, now: float) -> None:
        """With ``away_after_s`` None nobody is ever away."""
        self._away_after_s = away_after_s
        self._quiet_since: float | None = now
        self.count = 0
        """How often in a row the user has been found away."""

    @property
    def deadline(self) -> float | None:
        """When ``tick`` has something to tell, in seconds."""
        if self._away_after_s is None or self._quiet_since is None:
            return None
        return self._quiet_since + self._away_after_s

    def busy(self) -> None:
        """Somebody speaks, thinks or acts."""
        self._quiet_since = None

    def quiet(self, now: float) -> None:
        """Nobody does."""
        if self._quiet_since is None:
            self._quiet_since = now

    def user_acted(self, now: float) -> None:
        """The user spoke, typed or pressed a key."""
        self.count = 0
        if self._quiet_since is not None:
            self._quiet_since = now

    def tick(self, now: float) -> int | None:
        """Return how often in a row the user is away, if that is to be told now."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return None
        self.count += 1
        self._quiet_since = now
        return self.count
