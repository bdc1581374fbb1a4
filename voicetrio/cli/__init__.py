"""The ``voicetrio`` command: one module a subcommand, loaded when it is asked for."""

from __future__ import annotations

from voicetrio.cli.app import app, main

__all__ = ["app", "main"]
