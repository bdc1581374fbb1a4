"""Write the tables of ``docs/reconnect.md`` from the machines; a test compares the two.

Run ``python docs/render_reconnect.py`` after a change of the machines reconnect or breaker.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import attrs

from voicetrio.machines.breaker import BREAKER_TABLE, BreakerSettings
from voicetrio.machines.reconnect import TABLE, ReconnectEvent, ReconnectSettings

PAGE = Path(__file__).with_name("reconnect.md")


def transitions(table: Mapping[str, Mapping[str, str]], events: list[str]) -> str:
    """Return a Markdown table: a row an event, a column a state."""
    states = list(table)
    lines = ["| what happens | " + " | ".join(f"**{state}**" for state in states) + " |"]
    lines.append("|---" * (len(states) + 1) + "|")
    for event in events:
        cells = [table[state].get(event, "") for state in states]
        lines.append(f"| {event} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def defaults(settings: type) -> str:
    """Return a Markdown table of a settings class and its defaults."""
    lines = ["| setting | default |", "|---|---|"]
    lines += [f"| `{field.name}` | {field.default:g} |" for field in attrs.fields(settings)]
    return "\n".join(lines)


def render(page: str) -> str:
    """Return ``page`` with its tables as they should be."""
    tables = {
        "reconnect": transitions(TABLE, list(get_args(ReconnectEvent))),
        "reconnect settings": defaults(ReconnectSettings),
        "breaker": transitions(BREAKER_TABLE, ["success", "failure", "trip", "due"]),
        "breaker settings": defaults(BreakerSettings),
    }
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        page, count = pattern.subn(f"{begin}\n\n{table}\n\n{end}", page)
        if count != 1:
            raise SystemExit(f"{PAGE.name} must have one place for {name!r}, and has {count}")
    return page


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
