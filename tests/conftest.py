"""For every test: the plugin that the package brings, also where the package is not installed, and drawn
examples that are the same in every run (``--hypothesis-profile default`` draws new ones)."""

from __future__ import annotations

from hypothesis import settings

pytest_plugins = ("voicetrio.testing.plugin", "pytester")

settings.register_profile("fixed", derandomize=True)
settings.load_profile("fixed")
