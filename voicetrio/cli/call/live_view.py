"""A conversation on the terminal, as it happens."""

from __future__ import annotations

from rich.text import Text

from voicetrio import events as ev
from voicetrio.cli.console import make_console

__all__ = ["LiveView"]


class LiveView:
    """Writes what a session tells, one line each: words, and what was done about a barge-in."""

    def __init__(self) -> None:
        self._console = make_console()
        self._start: float | None = None

    def show(self, event: ev.Event) -> None:
        """Write ``event``, if a reader wants to know of it."""
        if self._start is None:
            self._start = event.time
        match event:
            case ev.TurnEnded(text=text):
                self._line(event, "caller", text, "bold cyan")
            case ev.ReplyEnded(text=text, heard=heard, how="played"):
                self._line(event, "agent", heard or text, "bold green")
            case ev.ReplyEnded(text=text, heard=heard, how=how):
                unheard = text[len(heard) :].strip() if text.startswith(heard) else ""
                words = Text(heard)
                if unheard:
                    words.append(" " + unheard, style="dim strike")
                self._line(event, "agent", words, "bold green", f"({how})")
            case ev.Ducked():
                self._line(event, "", "the reply gets quieter: the caller makes a sound", "dim")
            case ev.Paused():
                self._line(event, "", "the reply pauses", "dim")
            case ev.FalseInterruption(because=because):
                self._line(event, "", f"a false alarm: {because}", "dim")
            case ev.Resumed():
                self._line(event, "", "the reply goes on", "dim")
            case ev.Interrupted(because=because):
                self._line(event, "", f"interrupted: {because}", "yellow")
            case ev.Failure(where=where, error=error):
                self._line(event, "", f"{where} failed: {error}", "bold red")
            case ev.SessionEnding(reason=reason):
                self._line(event, "", f"the session is ending: {reason}", "dim")

    def _line(self, event: ev.Event, who: str, what: str | Text, style: str, note: str = "") -> None:
        at_s = 0.0 if event.time is None or self._start is None else event.time - self._start
        line = Text.assemble((f"{at_s:6.2f} s  ", "dim"), (f"{who:<8}", style))
        line.append(what if isinstance(what, Text) else Text(what, style="" if who else style))
        if note:
            line.append(f" {note}", style="dim")
        self._console.print(line)
