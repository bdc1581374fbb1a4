"""The streams of one connection: the one that is open, those that it replaced, and what all of them did."""

from __future__ import annotations

from typing import final

from voicetrio.connection.wire import Wire

__all__ = ["Streams"]


@final
class Streams:
    """At most one is the present one; a replaced one finishes the work it has."""

    def __init__(self) -> None:
        self.present: Wire | None = None
        self.opened = 0
        """How many there were."""
        self._replaced: list[Wire] = []
        self._sent = self._received = 0
        self._dropped_s = 0.0
        self._round_trip_s: float | None = None

    # --- finding one ---

    @property
    def number(self) -> int:
        """The number of the present one while it is open, counted from 1; else 0."""
        return self.present.number if self.present is not None and self.present.is_open else 0

    def find(self, number: int | None = None) -> Wire | None:
        """Return the open stream ``number``, or without one the first that is open; None if there is none."""
        for wire in (self.present, *self._replaced):
            if wire is not None and wire.is_open and number in (None, wire.number):
                return wire
        return None

    # --- their lives ---

    def add(self, wire: Wire) -> None:
        """It is open: it is the present one, and replaces the one that was."""
        old, self.present = self.present, wire
        if old is not None:
            self._replaced.append(old)
            old.retire()

    def remove(self, wire: Wire) -> bool:
        """It is over; return whether it was the present one."""
        counts = wire.socket.statistics()
        self._sent += counts.messages_sent
        self._received += wire.received
        self._dropped_s += wire.outbound.dropped_s
        self._round_trip_s = counts.round_trip_s
        if wire is not self.present:
            self._replaced.remove(wire)
            return False
        self.present = None
        return True

    def finish(self, why: str) -> None:
        """Let every stream end."""
        if self.present is not None:
            self.present.stop(why)
        self.finish_replaced(why)

    def finish_replaced(self, why: str) -> None:
        """Let those end that were replaced."""
        for wire in self._replaced:
            wire.stop(why)

    # --- counts ---

    @property
    def messages_sent(self) -> int:
        """So far; of those that were replaced, once they are over."""
        return self._sent + (self.present.socket.statistics().messages_sent if self.present else 0)

    @property
    def messages_received(self) -> int:
        """So far; of those that were replaced, once they are over."""
        return self._received + (self.present.received if self.present else 0)

    @property
    def dropped_s(self) -> float:
        """Seconds of audio that were not taken in time."""
        return self._dropped_s + (self.present.outbound.dropped_s if self.present else 0.0)

    @property
    def queued_items(self) -> int:
        """What waits to be written on the present one."""
        return len(self.present.outbound) if self.present else 0

    @property
    def round_trip_s(self) -> float | None:
        """Of the last answered ping."""
        return self.present.socket.statistics().round_trip_s if self.present else self._round_trip_s
