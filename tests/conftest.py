"""For every test: the plugin that the package brings, also where the package is not installed."""

from __future__ import annotations

pytest_plugins = ("voicetrio.testing.plugin", "pytester")
