"""The page: everything of a recording in one file that needs no network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import attrs

from voicetrio.cli.report.conversation import render_conversation
from voicetrio.cli.report.html import Html, join, tag
from voicetrio.cli.report.recording import Figure, Recording
from voicetrio.cli.report.timeline import clock, render_overview, render_timeline
from voicetrio.cli.report.track import sound_as_data_uri

__all__ = ["render_report", "write_report"]

_LEGEND = (
    ("caller", "caller: speech by the VAD"),
    ("agent", "agent: a reply is audible"),
    ("listening", "listening"),
    ("thinking", "thinking"),
    ("speaking", "speaking"),
)


def write_report(recording: Recording, path: str | os.PathLike[str]) -> None:
    """Write the page of ``recording`` to ``path``.  Raises OSError when that is not possible."""
    Path(path).write_text(render_report(recording), encoding="utf-8")


def render_report(recording: Recording) -> str:
    """Return the page of ``recording``: one HTML document with its styles, its script and its sound."""
    body = join(
        _header(recording),
        tag(
            "main",
            _section("What was measured", _figures(recording.figures), "measured")
            if recording.figures
            else "",
            _section("Timeline", _timeline(recording), "timeline"),
            _section("Conversation", render_conversation(recording), "talk"),
            _section("How it ended", _ending(recording), "ending"),
            _section("Every event", _events(recording), "events"),
        ),
        _player(recording),
    )
    head = join(
        Html('<meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="color-scheme" content="light dark">'),
        tag("title", recording.title),
        tag("style", _asset("report.css")),
    )
    script = tag("script", _asset("report.js"))
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}{script}</body></html>\n'


def _asset(name: str) -> Html:
    return Html(files(__package__).joinpath("assets", name).read_text(encoding="utf-8"))


def _header(recording: Recording) -> Html:
    turns = len(recording.turns)
    reason = recording.session_end.get("reason")
    about = [
        f"{clock(recording.duration_s)} minutes"
        if recording.duration_s >= 60
        else f"{recording.duration_s:.1f} s",
        f"{turns} turn{'' if turns == 1 else 's'}",
        *([f"session end: {reason}"] if reason is not None else []),
    ]
    return tag("header", tag("h1", recording.title), tag("p", " · ".join(about)))


def _section(title: str, content: Html, name: str) -> Html:
    heading = tag("h2", title, id=f"{name}-title")
    return tag("section", heading, content, class_=name, aria_labelledby=f"{name}-title")


def _figures(figures: tuple[Figure, ...]) -> Html:
    words = {True: "as wanted", False: "not as wanted"}
    return tag(
        "dl",
        *(
            tag(
                "div",
                tag("dt", figure.label),
                tag("dd", figure.value),
                *([tag("dd", figure.note, class_="note")] if figure.note else []),
                *([tag("dd", words[figure.good], class_="verdict")] if figure.good is not None else []),
                class_={True: "good", False: "bad", None: ""}[figure.good],
            )
            for figure in figures
        ),
        class_="tiles",
    )


def _timeline(recording: Recording) -> Html:
    if recording.duration_s <= 0:
        return tag("p", "Nothing was recorded.")
    zoom = tag(
        "div",
        tag("button", "−", type="button", id="zoom-out", aria_label="Zoom out"),
        tag("button", "+", type="button", id="zoom-in", aria_label="Zoom in"),
        class_="zoom",
    )
    legend = tag(
        "ul",
        *(tag("li", tag("i", class_=f"swatch {kind}"), text) for kind, text in _LEGEND),
        tag("li", tag("s", "struck out"), ": not heard"),
        class_="legend",
    )
    return join(
        tag("div", legend, zoom, class_="tools"),
        render_overview(recording),
        render_timeline(recording),
    )


def _ending(recording: Recording) -> Html:
    rows = (
        tag("tr", tag("th", key, scope="row"), tag("td", _plain(value)))
        for key, value in recording.session_end.items()
    )
    return tag("table", tag("tbody", *rows), class_="facts")


def _plain(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(_plain, value)) or "none"
        case dict():
            return ", ".join(f"{key}: {_plain(inner)}" for key, inner in value.items()) or "none"
    return str(value)


def _events(recording: Recording) -> Html:
    rows = (
        tag(
            "tr",
            tag("td", tag("button", clock(at_s), type="button", class_="time", data_time=f"{at_s:.3f}")),
            tag("td", type(event).__name__),
            tag("td", ", ".join(_fields(event))),
        )
        for at_s, event in recording.events
    )
    names = tag("tr", *(tag("th", name, scope="col") for name in ("time", "event", "what it says")))
    table = tag("table", tag("thead", names), tag("tbody", *rows), class_="log")
    return tag("details", tag("summary", f"{len(recording.events)} events"), tag("div", table, class_="wide"))


def _fields(event: Any) -> Iterator[str]:
    for field in attrs.fields(type(event)):
        value = getattr(event, field.name)
        if field.name not in ("time", "words") and value is not None:
            yield f"{field.name}: {value}"


def _player(recording: Recording) -> Html:
    """Return the bar that plays both sides, or nothing when the sound is too long to be held."""
    uri = sound_as_data_uri(recording)
    if uri is None:
        return Html("")
    return tag(
        "footer",
        tag("audio", controls=True, preload="auto", id="sound", src=uri),
        tag("span", "left: the caller, right: what the caller heard"),
        class_="player",
    )
