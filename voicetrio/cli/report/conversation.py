"""The conversation as a text: what each side said, what was heard of it, and a waterfall for each turn."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from voicetrio import events as ev
from voicetrio.cli.report.html import Html, join, tag
from voicetrio.cli.report.recording import Recording, TurnRecord
from voicetrio.cli.report.timeline import clock

__all__ = ["render_conversation"]

HOW = {
    "played": "",
    "interrupted": "interrupted by the caller",
    "failed": "failed",
    "cut": "cut by the end of the session",
}


@attrs.frozen
class _Step:
    """One row of a waterfall."""

    name: str
    start_s: float
    end_s: float
    kind: str


def render_conversation(recording: Recording) -> Html:
    """Return the replies in the order in which they ended, each with the words that it answers."""
    opened = {event.reply: event for _, event in recording.events if isinstance(event, ev.ReplyOpened)}
    audible = {event.reply: at_s for at_s, event in recording.events if isinstance(event, ev.ReplyAudible)}
    measured = {turn.reply: turn for turn in recording.turns}
    cards = []
    for time_s, event in recording.events:
        if isinstance(event, ev.ReplyEnded):
            turn = measured.get(event.reply)
            user_text = (
                turn.user_text if turn else opened[event.reply].user_text if event.reply in opened else ""
            )
            cards.append(_card(recording, event, user_text, audible.get(event.reply, time_s), turn))
    return tag("ol", *cards, class_="conversation")


def _card(
    recording: Recording, event: ev.ReplyEnded, user_text: str, audible_s: float, turn: TurnRecord | None
) -> Html:
    said_s = turn.voiced_end_s if turn and turn.voiced_end_s is not None else None
    notes = [
        *([event.source] if event.source != "turn" else []),
        *([HOW[event.how]] if HOW[event.how] else []),
    ]
    return tag(
        "li",
        *([_line("caller", "Caller", said_s, tag("q", user_text))] if user_text else []),
        _line("agent", "Agent", audible_s, _reply_text(recording, event), ", ".join(notes)),
        *([_figures(turn)] if turn else []),
        *([_waterfall(turn)] if turn else []),
    )


def _line(side: str, who: str, time_s: float | None, text: Html, note: str = "") -> Html:
    return tag(
        "div",
        tag("span", who, class_="who"),
        *([_time_button(time_s)] if time_s is not None else []),
        *([tag("span", note, class_="note")] if note else []),
        tag("p", text),
        class_=f"line {side}",
    )


def _time_button(time_s: float) -> Html:
    return tag(
        "button",
        clock(time_s),
        type="button",
        class_="time",
        data_time=f"{time_s:.3f}",
        aria_label=f"Play from {clock(time_s)}",
    )


def _reply_text(recording: Recording, event: ev.ReplyEnded) -> Html:
    """Return the reply's text: what was heard, word by word where the times are known, and what was not."""
    unheard = event.text[len(event.heard) :]
    heard = list(_words(recording, event)) or ([tag("span", event.heard)] if event.heard else [])
    rest = [tag("span", " (not heard:)", class_="sr"), tag("s", unheard)] if unheard.strip() else []
    return join(*heard, *rest)


def _words(recording: Recording, event: ev.ReplyEnded) -> Iterator[Html]:
    if " ".join(word for word, _, _ in event.words).split() != event.heard.split():
        return  # the times do not cover the text: it is shown in one piece
    for word, start, end in event.words:
        start_s, end_s = recording.playout_s(start), recording.playout_s(end)
        yield tag("span", word, class_="word", data_time=f"{start_s:.3f}", data_end=f"{end_s:.3f}")
        yield Html(" ")


def _figures(turn: TurnRecord) -> Html:
    rows = (
        ("response", turn.response_ms, "the caller’s last voiced sample to the first voiced sample played"),
        ("endpointing", turn.endpoint_ms, "the last voiced sample to the decision that the turn is over"),
        ("STT", turn.stt_ms, "the end of the segment to its text"),
        ("first audio", turn.first_audio_ms, "the opening of the reply to its first audio"),
    )
    shown = (
        tag("div", tag("dt", name), tag("dd", f"{value:.0f} ms"), title=what)
        for name, value, what in rows
        if value is not None
    )
    return tag("dl", *shown, class_="figures")


def _steps(turn: TurnRecord) -> Iterator[_Step]:
    decided_or_made = max(
        (at_s for at_s in (turn.decided_s, turn.first_audio_s) if at_s is not None), default=None
    )
    opened_s = turn.opened_s if turn.opened_s is not None else turn.transcript_s
    for name, start_s, end_s, kind in (
        ("VAD: speech is over", turn.voiced_end_s, turn.speech_stopped_s, "caller"),
        ("STT: final transcript", turn.speech_stopped_s, turn.transcript_s, "caller"),
        ("wait: the turn is over", turn.voiced_end_s, turn.decided_s, "wait"),
        ("LLM: first text", opened_s, turn.first_text_s, "agent"),
        ("TTS: first audio", turn.first_text_s, turn.first_audio_s, "agent"),
        ("first sample on the wire", decided_or_made, turn.first_sent_s, "wire"),
        ("first voiced sample played", turn.first_sent_s, turn.first_played_s, "wire"),
    ):
        if start_s is not None and end_s is not None:
            yield _Step(name, start_s, max(start_s, end_s), kind)


def _waterfall(turn: TurnRecord) -> Html:
    steps = list(_steps(turn))
    if not steps:
        return Html("")
    zero_s = min(step.start_s for step in steps)
    whole_s = max(max(step.end_s for step in steps) - zero_s, 1e-3)
    rows = (
        tag(
            "tr",
            tag("th", step.name, scope="row"),
            tag("td", _bar(step, zero_s, whole_s), class_="track", aria_hidden="true"),
            tag("td", f"{(step.end_s - zero_s) * 1000:.0f}", class_="at"),
            tag("td", f"{(step.end_s - step.start_s) * 1000:.0f}", class_="took"),
        )
        for step in steps
    )
    head = tag(
        "tr",
        tag("th", "step", scope="col"),
        tag("td", class_="track"),
        tag("th", "at, ms", scope="col"),
        tag("th", "took, ms", scope="col"),
    )
    caption = tag("caption", "From the caller’s last voiced sample to the reply’s first")
    return tag("table", caption, tag("thead", head), tag("tbody", *rows), class_="waterfall")


def _bar(step: _Step, zero_s: float, whole_s: float) -> Html:
    left = (step.start_s - zero_s) / whole_s * 100
    width = (step.end_s - step.start_s) / whole_s * 100
    return tag("i", class_=f"bar {step.kind}", style=f"left:{left:.2f}%;width:{width:.2f}%")
