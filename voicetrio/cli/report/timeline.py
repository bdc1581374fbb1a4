"""The timeline: both waveforms, speech, words, states and marks above one another on one axis.

Everything is placed by its time times the CSS variable ``--pps`` (pixels a second), so zooming is one
assignment.  Labels are laid out for the smallest zoom; a larger one only draws them further apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

from voicetrio.cli.report.html import Html, join, tag
from voicetrio.cli.report.layout import label_width_px, stack_labels
from voicetrio.cli.report.recording import Recording
from voicetrio.cli.report.story import (
    Mark,
    Span,
    agent_states,
    marks,
    replies,
    speech,
    transcripts,
    user_turns,
)
from voicetrio.cli.report.waveform import draw_waveform

__all__ = ["SMALLEST_ZOOM_PPS", "clock", "render_overview", "render_timeline"]

SMALLEST_ZOOM_PPS = 24
"""Pixels a second, at the least; the page's script may not go below."""
LABELLED_TICK_S = 5
MARK_ROW_PX = 20
TAIL_PX = 150
"""Room after the last second for the labels that begin near it."""


def clock(time_s: float) -> str:
    """Return a time as minutes, seconds and tenths: ``0:07.3``."""
    tenths = round(max(0.0, time_s) * 10)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"


def render_overview(recording: Recording) -> Html:
    """Return the whole session in a strip as wide as the page, to click on."""
    duration_s = recording.duration_s
    stretches = join(
        *(_stretch(span, duration_s, "caller") for span in speech(recording)),
        *(_stretch(span, duration_s, "agent") for span in replies(recording)),
    )
    halves = join(
        draw_waveform(
            recording.caller,
            recording.caller_rate,
            duration_s,
            columns_per_s=20,
            label="The caller, all of it",
        ),
        draw_waveform(
            recording.heard,
            recording.heard_rate,
            duration_s,
            columns_per_s=20,
            label="What the caller heard, all of it",
        ),
    )
    return tag(
        "div",
        stretches,
        halves,
        tag("div", class_="window"),
        tag("div", class_="now"),
        class_="overview",
        id="overview",
        aria_hidden="true",
    )


def _stretch(span: Span, duration_s: float, side: str) -> Html:
    left, width = span.start_s / duration_s * 100, (span.end_s - span.start_s) / duration_s * 100
    return tag("i", class_=f"stretch {side}", style=f"left:{left:.3f}%;width:{width:.3f}%")


def render_timeline(recording: Recording) -> Html:
    """Return the timeline in a box that scrolls sideways."""
    duration_s = recording.duration_s
    said, heard = transcripts(recording), replies(recording)
    lanes = join(
        _axis(duration_s),
        _lane(
            "Caller",
            "wave-lane caller",
            *(_box(span, "shade", title="speech by the VAD") for span in speech(recording)),
            draw_waveform(
                recording.caller, recording.caller_rate, duration_s, label="Waveform of the caller"
            ),
        ),
        _lane("Caller’s turns and words", "text-lane caller", *_turns(user_turns(recording)), *_texts(said)),
        _lane(
            "What the caller heard",
            "wave-lane agent",
            *(_box(span, "shade", title="a reply is audible") for span in heard),
            draw_waveform(
                recording.heard, recording.heard_rate, duration_s, label="Waveform of what the caller heard"
            ),
        ),
        _lane("Agent’s words", "text-lane agent", *_texts(heard)),
        _lane("Agent’s state", "state-lane", *(_state(span) for span in agent_states(recording))),
        _mark_lane(marks(recording)),
        tag("div", class_="now"),
    )
    return tag(
        "div",
        tag(
            "div", lanes, class_="sheet", id="sheet", style=f"--duration:{duration_s:.3f};--tail:{TAIL_PX}px"
        ),
        class_="scroller",
        id="scroller",
        tabindex="0",
        role="region",
        aria_label="Timeline; scrolls sideways",
    )


def _axis(duration_s: float) -> Html:
    ticks = (
        tag("span", clock(second).removesuffix(".0"), class_="tick", style=_at(second))
        for second in range(0, int(duration_s) + 1, LABELLED_TICK_S)
    )
    return tag("div", *ticks, class_="axis", aria_hidden="true")


def _lane(name: str, kind: str, *children: str) -> Html:
    return tag(
        "div",
        tag("div", tag("span", name), class_="lane-name"),
        tag("div", *children, class_="lane-body"),
        class_=f"lane {kind}",
    )


def _box(span: Span, kind: str, *, title: str) -> Html:
    return tag("i", class_=kind, style=_between(span.start_s, span.end_s), title=f"{title}, {_range(span)}")


def _turns(spans: Iterable[Span]) -> Iterable[Html]:
    for span in spans:
        yield _box(span, "turn", title="the user’s turn, until it was taken to be over")


def _texts(spans: Sequence[Span]) -> Iterable[Html]:
    """Write each span's text from its start to where the next one begins, and mark its own length."""
    following = [span.start_s for span in spans[1:]]
    for span, next_s in zip_longest(spans, following):
        words = join(
            *([tag("span", span.text)] if span.text else []),
            *([tag("s", span.unheard)] if span.unheard.strip() else []),
        )
        extent = span.end_s - span.start_s
        room = "" if next_s is None else f";--room:{max(0.0, next_s - span.start_s):.3f}"
        yield tag(
            "div",
            tag("i", class_="extent", style=f"--extent:{extent:.3f}"),
            tag("p", words),
            class_="text" + ("" if next_s is not None else " last"),
            style=_at(span.start_s) + room,
            title=f"{_range(span)} {span.text}{span.unheard}",
        )


def _state(span: Span) -> Html:
    return tag(
        "i",
        class_=f"state {span.kind}",
        style=_between(span.start_s, span.end_s),
        title=f"{span.kind}, {_range(span)}",
    )


def _mark_lane(found: Sequence[Mark]) -> Html:
    """Write a hair line and a label for each mark; the labels are stacked so that none covers another."""
    widths = [label_width_px(mark.label) for mark in found]
    edges = [(mark.time_s * SMALLEST_ZOOM_PPS, width) for mark, width in zip(found, widths, strict=True)]
    rows = stack_labels(edges)
    labels = (
        tag(
            "button",
            mark.label,
            type="button",
            class_=f"mark {mark.kind}",
            style=f"{_at(mark.time_s)};top:{row * MARK_ROW_PX}px;width:{width:.0f}px",
            title=f"{clock(mark.time_s)} {mark.label}",
            data_time=f"{mark.time_s:.3f}",
        )
        for mark, width, row in zip(found, widths, rows, strict=True)
    )
    lines = (tag("i", class_=f"hair {mark.kind}", style=_at(mark.time_s)) for mark in found)
    height = (max(rows, default=0) + 1) * MARK_ROW_PX
    return join(
        tag("div", *lines, class_="hairs", aria_hidden="true"),
        tag(
            "div",
            tag("div", tag("span", "What happened"), class_="lane-name"),
            tag("div", *labels, class_="lane-body", style=f"height:{height}px"),
            class_="lane mark-lane",
        ),
    )


def _at(time_s: float) -> str:
    return f"--at:{time_s:.3f}"


def _between(start_s: float, end_s: float) -> str:
    return f"--at:{start_s:.3f};--extent:{max(0.0, end_s - start_s):.3f}"


def _range(span: Span) -> str:
    return f"{clock(span.start_s)} to {clock(span.end_s)}"
