"""The page about reconnecting shows the machines as they are."""

from __future__ import annotations

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "docs" / "render_reconnect.py"


def test_the_pages_tables_are_the_machines():
    spec = importlib.util.spec_from_file_location("render_reconnect", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = script.PAGE.read_text(encoding="utf-8")
    assert script.render(page) == page, "run: python docs/render_reconnect.py"
