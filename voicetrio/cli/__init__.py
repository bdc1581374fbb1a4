"""The ``voicetrio`` command: one module a subcommand, loaded when it is asked for."""

from __future__ import annotations

from voicetrio.cli.command_line import app, main

__all__ = ["app", "main"]
